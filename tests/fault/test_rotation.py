"""A token's rotation, interrupted everywhere: always a token that works, in the end no orphan.

The protocol is that of `engine.rotation`; what PVE does with tokens, their entries and their
secrets is in pve-access-control, API2/User.pm and API2/ACL.pm.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

from pveops.api.auth import Authenticated, Secret, TicketAuth, TokenAuth
from pveops.api.client import Client
from pveops.api.decorators import ReadOnly
from pveops.config.paths import Paths
from pveops.config.profiles import EndpointConfig, Profile
from pveops.config.rotation_files import Journal, RotationFiles
from pveops.config.secrets import StoredToken, load_token, save_token
from pveops.engine.audit import AuditLog
from pveops.engine.rotation import Rotated, Site, resume, rotate
from pveops.engine.token_calls import TokenCalls
from pveops.errors import (
    BusyError,
    ConflictError,
    FrozenError,
    NotFoundError,
    OutcomeUnknownError,
    PendingError,
    PveopsError,
    SecretError,
)
from pveops.sim.access import Token
from pveops.sim.inprocess import InProcess
from pveops.sim.seeds import build
from pveops.sim.timeline import Timeline
from pveops.sim.version import VERSIONS
from tests.secrets_scan import find_leaks, note_secret
from tests.world import START, SimTransport

BOTH = ("8.4", "9.2")
PROFILE = Profile((EndpointConfig("pve1:8006"),), trust="system")
USER, OLD, NEW = "agent@pve", "agent@pve!ops", "agent@pve!ops-b"
PROTOCOL = ("rotation.py", "rotation_files.py", "token_calls.py")


class KilledError(BaseException):
    """Nothing of ours catches it, as nothing catches SIGKILL."""


class Bench:
    """A simulated cluster, a profile with its token, and a person who can log in."""

    def __init__(self, folder: Path, version: str = "9.2") -> None:
        seed = build("homelab", Timeline(START), VERSIONS[version])
        note_secret(seed.token_secret, seed.root_password)
        self.seed, self.cluster, self.clock = seed, seed.cluster, seed.cluster.timeline
        self.cluster.auth_delay_s = 0.0
        self.folder = folder
        self.paths = Paths(folder / "c", folder / "d", folder / "s", folder / "i" / "identity.txt")
        self.audit = AuditLog(folder / "audit.jsonl", self.clock)
        self.freeze = folder / "freeze"
        save_token(
            self.paths, "home", PROFILE, OLD, seed.token_secret, now=self.clock.now(), expires=0
        )

    def site(self) -> Site:
        """As a process has it that was just started."""
        person = TicketAuth("root@pam", Secret(self.seed.root_password), self.clock)
        calls = TokenCalls(
            Client(Authenticated(self.transport(), person), self.clock),
            self.audit,
            self.freeze.exists,
            {"operation": "secrets.rotate"},
        )
        files = RotationFiles(self.paths, "home", PROFILE)
        return Site(files, calls, self.open_client, self.clock)

    def transport(self) -> SimTransport:
        return SimTransport(InProcess(self.cluster, "pve1"), "pve1")

    def open_client(self, token: StoredToken) -> Client:
        note_secret(token.secret)
        auth = TokenAuth(token.token_id, Secret(token.secret))
        return Client(ReadOnly(Authenticated(self.transport(), auth)), self.clock)

    @property
    def tokens(self) -> dict[str, Token]:
        return self.cluster.access.users[USER].tokens

    def break_once(self, **fault: Any) -> None:
        self.cluster.faults.add(**fault)

    def writes(self) -> list[dict[str, Any]]:
        return [e for e in self.cluster.journal if e["method"] != "GET"]

    def stored(self) -> StoredToken:
        return load_token(self.paths, "home", PROFILE, self.clock.now())

    def check_usable(self) -> StoredToken:
        """What is stored now is good for reading, with the rights that it always had."""
        token = self.stored()
        found = self.open_client(token).get("/access/permissions")
        assert isinstance(found, dict)
        assert "VM.PowerMgmt" in found["/"]
        return token

    def check_whole(self) -> None:
        """One token of ours in PVE, and it is the stored one; nothing else is left anywhere."""
        token = self.check_usable()
        assert set(self.tokens) == {"look", token.token_id.partition("!")[2]}
        entries = {e.ugid for e in self.cluster.access.acl if e.kind == "token"}
        assert entries == {f"{USER}!look", token.token_id}
        left = {path.name for path in self.paths.secrets_dir.iterdir()}
        assert {n for n in left if n.endswith((".next", ".rotation"))} == set()
        note_secret(*(each.secret for each in self.tokens.values()))
        assert find_leaks(self.folder) == []
        assert self.audit.verify().is_whole


@pytest.mark.parametrize("version", BOTH)
def test_a_rotation_leaves_one_new_token_with_the_same_rights(
    tmp_path: Path, version: str
) -> None:
    bench = Bench(tmp_path, version)
    before = bench.open_client(bench.stored()).get("/access/permissions")
    done = rotate(bench.site(), 90)
    assert (done.is_done, done.old, done.new) == (True, OLD, NEW)
    bench.check_whole()
    assert bench.open_client(bench.stored()).get("/access/permissions") == before
    assert bench.stored().expires == bench.tokens["ops-b"].expire == done.expires
    assert not (bench.paths.secrets_dir / "pve-token.txt.prev").exists()


def test_names_alternate_and_the_comment_keeps_what_people_wrote(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    rotate(bench.site(), 90)
    rotate(bench.site(), 90)
    assert bench.stored().token_id == OLD
    assert bench.tokens["ops"].comment.startswith("what the agent holds (rotation ")
    assert bench.tokens["ops"].comment.count("rotation") == 1
    bench.check_whole()


def test_a_token_without_privilege_separation_stays_without(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    bench.tokens["ops"].has_privsep = False
    rotate(bench.site(), 90)
    assert bench.tokens["ops-b"].has_privsep is False


def test_an_expired_token_can_be_rotated(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    token = bench.stored()
    past = int(bench.clock.now()) - 60
    bench.tokens["ops"].expire = past
    save_token(bench.paths, "home", PROFILE, OLD, token.secret, now=past, expires=past)
    with pytest.raises(SecretError):
        bench.stored()
    assert rotate(bench.site(), 90).is_done
    bench.check_whole()


# -- killed ------------------------------------------------------------------------


def run_until(act: Callable[[], object], stop_at: int) -> list[tuple[str, int]]:
    """Run it, and kill it before its `stop_at`-th step; the lines that it came by.

    The lock is left out: the system lets go of it when a process is killed.
    """
    steps: list[tuple[str, int]] = []

    def trace(frame: FrameType, event: str, _arg: object) -> Any:
        name = Path(frame.f_code.co_filename).name
        if name not in PROTOCOL or frame.f_code.co_name == "hold":
            return None
        if event == "line":
            if len(steps) == stop_at:
                raise KilledError
            steps.append((name, frame.f_lineno))
        return trace

    sys.settrace(trace)
    try:
        act()
    except KilledError:
        pass
    finally:
        sys.settrace(None)
    return steps


def each_line(folder: Path, version: str = "9.2") -> list[int]:
    """The steps at which a rotation comes to a line for the first and for the last time."""
    bench = Bench(folder, version)
    steps = run_until(lambda: rotate(bench.site(), 90), -1)
    bench.check_whole()
    first = {step: number for number, step in reversed(list(enumerate(steps)))}
    last = {step: number for number, step in enumerate(steps)}
    return sorted({*first.values(), *last.values()})


def finish(bench: Bench) -> Rotated | None:
    """As a person does who comes back."""
    try:
        return resume(bench.site())
    except NotFoundError:
        return None


@pytest.mark.parametrize("version", BOTH)
def test_killed_before_any_line_a_token_works_and_resume_leaves_no_orphan(
    tmp_path: Path, version: str
) -> None:
    numbers = each_line(tmp_path / "whole", version)
    assert len(numbers) > 80, "the protocol was not traced"
    for number in numbers[:: 1 if version == BOTH[-1] else 4]:
        bench = Bench(tmp_path / str(number), version)
        run_until(partial(rotate, bench.site(), 90), number)
        bench.check_usable()
        finish(bench)
        bench.check_whole()


def test_killed_again_while_it_resumes_it_still_ends_whole(tmp_path: Path) -> None:
    for number in each_line(tmp_path / "whole")[::9]:
        bench = Bench(tmp_path / str(number))
        run_until(partial(rotate, bench.site(), 90), number)
        for second in range(4, 100, 11):
            run_until(partial(finish, bench), second)
            bench.check_usable()
        finish(bench)
        bench.check_whole()


def test_a_second_call_ends_the_interrupted_one_first(tmp_path: Path) -> None:
    for number in each_line(tmp_path / "whole")[::9]:
        bench = Bench(tmp_path / str(number))
        run_until(partial(rotate, bench.site(), 90), number)
        assert rotate(bench.site(), 90).is_done
        bench.check_whole()


# -- the answer is lost, or is a refusal ---------------------------------------------

CALLS = [
    ("POST", "/access/users/.*/token/"),
    ("PUT", "/access/acl"),
    ("DELETE", "/token/ops$"),
    ("GET", "/access/permissions"),
    ("GET", "/access/acl"),
    ("GET", "/access/users/.*/token"),
]
KINDS = ("lost-before", "lost-after", "refuse", "hang-after", "truncated", "html-after")


@pytest.mark.parametrize("version", BOTH)
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("method", "path"), CALLS)
@pytest.mark.parametrize("after", [0, 1])
def test_whatever_answer_is_lost_nothing_is_left_behind(
    tmp_path: Path, version: str, kind: str, method: str, path: str, after: int
) -> None:
    bench = Bench(tmp_path, version)
    bench.break_once(kind=kind, method=method, path=path, after=after)
    try:
        rotate(bench.site(), 90)
    except PveopsError:
        bench.check_usable()
        finish(bench)
    bench.check_whole()


@pytest.mark.parametrize("version", BOTH)
@pytest.mark.parametrize(("method", "path"), CALLS[:3])
def test_a_cluster_that_stays_away_leaves_a_journal_for_later(
    tmp_path: Path, version: str, method: str, path: str
) -> None:
    """From that call on nothing that changes anything is answered."""
    bench = Bench(tmp_path, version)
    if method != "DELETE":
        bench.break_once(kind="lost-after", method=method, path=path, times=0)
    bench.break_once(kind="lost-before", method="DELETE", path="/token/", times=0)
    with pytest.raises(PveopsError) as caught:
        rotate(bench.site(), 90)
    bench.check_usable()
    if isinstance(caught.value, PendingError):
        assert caught.value.hint == "pve secrets rotate --resume"
        assert (bench.paths.secrets_dir / "pve-token.txt.rotation").exists()
    bench.cluster.faults.clear()
    finish(bench)
    bench.check_whole()


def test_the_secret_of_a_lost_answer_is_given_up_with_its_token(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    bench.break_once(kind="lost-after", method="POST", path="/token/")
    with pytest.raises(OutcomeUnknownError):
        rotate(bench.site(), 90)
    assert bench.stored().token_id == OLD
    bench.check_whole()


@pytest.mark.parametrize("again", ["resume", "rotate"])
def test_a_token_that_vanished_before_its_successor_was_made_ends_the_rotation(
    tmp_path: Path, again: str
) -> None:
    bench = Bench(tmp_path)
    bench.site().files.write_journal(Journal("making", "0badcafe", OLD, NEW, int(START) + 90))
    del bench.tokens["ops"]
    with pytest.raises(NotFoundError, match="has no token agent@pve!ops any more"):
        resume(bench.site()) if again == "resume" else rotate(bench.site(), 90)
    assert bench.site().files.read_journal() is None
    assert [each["path"] for each in bench.writes()] == ["/api2/json/access/ticket"]


def test_when_every_name_is_taken_it_says_so_and_changes_nothing(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    for letter in "bcdefghijklmnopqrstuvwxyz":
        bench.tokens[f"ops-{letter}"] = Token("x" * 36)
    with pytest.raises(ConflictError, match="every name from ops to ops-z is taken"):
        rotate(bench.site(), 90)
    assert bench.site().files.read_journal() is None
    assert [each["path"] for each in bench.writes()] == ["/api2/json/access/ticket"]


def test_rights_that_differ_undo_the_rotation(tmp_path: Path) -> None:
    """A lost answer to an ACL change that was never carried out, and then a refusal."""
    bench = Bench(tmp_path)
    calls = bench.site().calls
    calls.copy_entries = lambda old, new: None  # type: ignore[method-assign]
    with pytest.raises(ConflictError, match="may not do the same"):
        rotate(bench.site()._replace(calls=calls), 90)
    assert bench.stored().token_id == OLD
    bench.check_whole()


# -- others ------------------------------------------------------------------------


def test_only_one_process_rotates_at_a_time(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    with bench.site().files.hold(), pytest.raises(BusyError):
        rotate(bench.site(), 90)
    assert rotate(bench.site(), 90).is_done


def test_a_token_of_somebody_else_with_our_name_is_not_deleted(tmp_path: Path) -> None:
    """Between the look and the POST another machine takes the name: PVE refuses ours."""
    bench = Bench(tmp_path)
    calls = bench.site().calls
    create = calls.create

    def create_late(token_id: str, **more: Any) -> str:
        bench.tokens["ops-b"] = Token("x" * 36, comment="of another machine")
        return create(token_id, **more)

    calls.create = create_late  # type: ignore[method-assign]
    with pytest.raises(PveopsError):
        rotate(bench.site()._replace(calls=calls), 90)
    assert bench.tokens["ops-b"].comment == "of another machine"
    assert bench.check_usable().token_id == OLD
    assert rotate(bench.site(), 90).new == "agent@pve!ops-c"


def test_two_machines_that_rotate_one_token_at_once_both_keep_one_that_works(
    tmp_path: Path,
) -> None:
    """A lock cannot reach the other machine; the names and the marks keep them apart."""
    bench, other = Bench(tmp_path / "one"), Bench(tmp_path / "two")
    other.cluster, other.clock, other.seed = bench.cluster, bench.clock, bench.seed
    save_token(other.paths, "home", PROFILE, OLD, bench.seed.token_secret, now=bench.clock.now())
    others: list[Rotated] = []

    def open_late(token: StoredToken) -> Client:
        if not others:
            others.append(rotate(other.site(), 90))
        return bench.open_client(token)

    done = rotate(bench.site()._replace(open_client=open_late), 90)
    assert (done.new, others[0].new) == (NEW, "agent@pve!ops-c")
    assert bench.check_usable().token_id == NEW
    assert other.check_usable().token_id == "agent@pve!ops-c"
    assert set(bench.tokens) == {"look", "ops-b", "ops-c"}


def test_a_token_that_is_stored_meanwhile_is_not_overwritten(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    look = bench.tokens["look"]

    def open_late(token: StoredToken) -> Client:
        save_token(
            bench.paths, "home", PROFILE, f"{USER}!look", look.secret, now=bench.clock.now()
        )
        return bench.open_client(token)

    with pytest.raises(ConflictError, match="meanwhile"):
        rotate(bench.site()._replace(open_client=open_late), 90)
    assert bench.stored().token_id == f"{USER}!look"
    assert set(bench.tokens) == {"look", "ops"}


def test_while_all_is_frozen_nothing_is_sent(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    bench.freeze.touch()
    with pytest.raises((FrozenError, PendingError)):
        rotate(bench.site(), 90)
    assert [e for e in bench.writes() if "ticket" not in e["path"]] == []
    bench.freeze.unlink()
    finish(bench)
    bench.check_whole()


def test_each_change_is_recorded_without_the_secret(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    rotate(bench.site(), 90)
    calls = [r["call"] for r in bench.audit.read() if r["kind"] == "intent"]
    assert calls == [
        f"POST /access/users/{USER}/token/ops-b",
        "PUT /access/acl",
        f"DELETE /access/users/{USER}/token/ops",
    ]
    assert bench.tokens["ops-b"].secret not in (tmp_path / "audit.jsonl").read_text()
