"""Tokens by tier, and their rotation, as an agent and a person meet them."""

from __future__ import annotations

import io
import json
import secrets
import shlex
import sys
from pathlib import Path

import pytest

from pveops.api.port import Request, Response
from pveops.cli import connection
from pveops.cli.call import Call
from pveops.cli.process import run_call
from pveops.config.paths import find_paths
from pveops.config.profiles import (
    Config,
    EndpointConfig,
    Profile,
    TierToken,
    binding_of,
    save_config,
)
from pveops.config.secrets import load_token, save_token
from pveops.engine.store import Store
from pveops.sim.access import Entry, Token
from pveops.sim.inprocess import InProcess
from pveops.sim.seeds import Seed, build
from pveops.sim.timeline import Timeline
from pveops.sim.version import VERSIONS
from tests.commandline import Outcome
from tests.secrets_scan import find_leaks, leak_in, note_secret
from tests.world import START, SimTransport

LOOK, OPERATE = "agent@pve!look", "agent@pve!ops"
PLACE = (EndpointConfig("pve1:8006"),)
READING = Profile(PLACE, trust="system")
BY_TIER = READING._replace(tier_tokens=(TierToken(2, "change.txt"),))


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


class Watched(SimTransport):
    """Writes down who asks: (token id, method)."""

    def __init__(self, inner: InProcess, node: str) -> None:
        super().__init__(inner, node)
        self.seen: list[tuple[str, str]] = []

    def send(self, request: Request) -> Response:
        header = dict(request.headers).get("Authorization", "")
        who = header.removeprefix("PVEAPIToken=").partition("=")[0]
        self.seen.append((who, request.method))
        return super().send(request)


class Desk:
    """A configured machine before a simulated cluster."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.folder = folder
        self.seed: Seed = build("homelab", Timeline(START), VERSIONS["9.2"])
        self.cluster = self.seed.cluster
        self.cluster.auth_delay_s = 0.0
        self.environ = {"PVE_HOME": str(folder / "home"), "HOME": str(folder / "user")}
        self.paths = find_paths(self.environ)
        note_secret(self.seed.token_secret, self.seed.root_password)
        self.transport = Watched(InProcess(self.cluster, "pve1"), "pve1")
        monkeypatch.setattr(connection, "_over", lambda *_: self.transport)
        monkeypatch.setattr("getpass.getpass", lambda _prompt: self.seed.root_password)

    @property
    def tokens(self) -> dict[str, Token]:
        return self.cluster.access.users["agent@pve"].tokens

    def configure(self, profile: Profile, **stored: int) -> None:
        """stored: a token's name -> the tier that it is for."""
        save_config(self.paths, Config("home", {"home": profile}))
        now = self.cluster.timeline.now()
        for name, tier in stored.items():
            secret = self.tokens[name].secret
            note_secret(secret)
            save_token(
                self.paths, "home", profile, f"agent@pve!{name}", secret, now=now, tier=tier
            )

    def run(self, line: str, *, person: bool = False, typed: str = "") -> Outcome:
        make = Terminal if person else io.StringIO
        out, err = make(), io.StringIO()
        program, *arguments = shlex.split(line)
        call = Call(
            program,
            arguments,
            environ=self.environ,
            clock=self.cluster.timeline,
            stdin=make(typed),
            stdout=out,
            stderr=err,
        )
        code = run_call(call)
        note_secret(*(token.secret for token in self.tokens.values()))
        outcome = Outcome(code, out.getvalue(), err.getvalue())
        assert not leak_in((outcome.out + outcome.err).encode())
        return outcome

    def writers(self) -> list[str]:
        return [who for who, method in self.transport.seen if method != "GET"]


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Desk:
    return Desk(tmp_path, monkeypatch)


def test_only_the_writer_of_a_plan_uses_the_token_of_its_tier(desk: Desk) -> None:
    desk.configure(BY_TIER, look=0, ops=2)
    done = desk.run("pve snapshot create web02 --snapname before")
    assert done.code == 0, done.out
    assert desk.writers() == [OPERATE]
    assert {who for who, method in desk.transport.seen if method == "GET"} == {LOOK}


def test_an_answer_that_was_lost_is_looked_for_under_the_token_of_the_tier(desk: Desk) -> None:
    """A task is known by the token that began it."""
    desk.configure(BY_TIER, look=0, ops=2)
    desk.cluster.faults.add(kind="lost-after", method="POST", path="/snapshot")
    done = desk.run("pve snapshot create web02 --snapname before")
    assert done.code == 0, done.out
    assert desk.writers() == [OPERATE]


def test_a_read_opens_no_other_token(desk: Desk) -> None:
    desk.configure(BY_TIER, look=0)
    assert desk.run("pve guest list").code == 0
    assert desk.run("pve status").code == 0


def test_without_a_token_for_its_tier_a_plan_is_not_spent(desk: Desk) -> None:
    profile = READING._replace(tier_tokens=(TierToken(1, "change.txt"),))
    desk.configure(profile, look=0, ops=1)
    asked = desk.run("pve guest stop web01 --json", person=True, typed="web01\n")
    assert asked.code == 7, asked.out
    assert "no token for changes of tier" in asked.out
    assert desk.writers() == []
    assert [row.state for row in Store(desk.paths.store_file).list_plans()] == ["open"]
    assert Store(desk.paths.store_file).list_runs() == ()


def test_the_status_lists_every_token_with_its_expiry(desk: Desk) -> None:
    desk.configure(BY_TIER, look=0)
    now = desk.cluster.timeline.now()
    save_token(
        desk.paths,
        "home",
        BY_TIER,
        OPERATE,
        desk.tokens["ops"].secret,
        now=now,
        expires=int(now + 2 * 86_400),
        tier=2,
    )
    shown = desk.run("pve secrets status")
    assert shown.code == 0, shown.out
    assert f"for changes up to tier 2: {OPERATE}; it expires: in 2 days" in shown.out
    assert f"warning: the token {OPERATE} expires in 2 days" in shown.out
    item = desk.run("pve secrets status --json").json["data"]["tiers"][0]
    assert (item["tier"], item["token_id"], item["problem"]) == (2, OPERATE, None)


def test_a_command_gives_the_token_of_a_whole_call(desk: Desk) -> None:
    answer = {
        "version": 1,
        "token_id": LOOK,
        "secret": desk.tokens["look"].secret,
        "bound": binding_of(desk.paths, READING),
    }
    given = json.dumps(answer).encode().hex()
    program = f"import sys; sys.stdin.read(); print(bytes.fromhex({given!r}).decode())"
    desk.configure(READING._replace(token_command=(sys.executable, "-c", program)))
    assert desk.run("pve guest list").code == 0
    status = desk.run("pve secrets status")
    assert f"has the token {LOOK}" in status.out
    moved = READING._replace(endpoints=(EndpointConfig("pve9:8006"),))
    moved = moved._replace(token_command=(sys.executable, "-c", program))
    desk.configure(moved)
    told = desk.run("pve secrets status")
    assert told.code == 7
    assert binding_of(desk.paths, moved) in told.out
    refused = desk.run("pve secrets rotate", person=True)
    assert refused.code == 7
    assert "cannot keep a new one" in refused.out


def test_a_person_rotates_the_token_and_everything_goes_on(desk: Desk) -> None:
    desk.configure(BY_TIER, look=0, ops=2)
    before = desk.tokens["ops"].secret
    done = desk.run("pve secrets rotate --tier 2 --days 30 --reason yearly", person=True)
    assert done.code == 0, done.out
    assert "the token agent@pve!ops-b now; agent@pve!ops is deleted" in done.out
    assert set(desk.tokens) == {"look", "ops-b"}
    now = desk.cluster.timeline.now()
    assert load_token(desk.paths, "home", BY_TIER, now, 2).secret not in {"", before}
    assert desk.run("pve snapshot create web02 --snapname after").code == 0
    log = [json.loads(line) for line in desk.paths.audit_file.read_text().splitlines()]
    rotated = [r for r in log if r.get("operation") == "secrets.rotate"]
    assert {(r["auth_id"], r["tier"], r["reason"]) for r in rotated} == {("root@pam", 3, "yearly")}
    assert find_leaks(desk.folder) == []


def test_an_agent_cannot_rotate(desk: Desk) -> None:
    desk.configure(READING, ops=0)
    refused = desk.run("pve secrets rotate")
    assert refused.code == 4
    assert "by a person at a terminal" in refused.out
    desk.environ["OPENCLAW_SHELL"] = "1"
    assert desk.run("pve secrets rotate", person=True).code == 4
    assert desk.cluster.journal == []


def test_a_wrong_password_rotates_nothing(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """What an agent with a terminal of its own comes to: PVE asks for what it does not have."""
    desk.configure(READING, ops=0)
    monkeypatch.setattr("getpass.getpass", lambda _prompt: secrets.token_hex(8))
    assert desk.run("pve secrets rotate", person=True).code == 6
    assert set(desk.tokens) == {"look", "ops"}
    assert desk.run("pve guest list").code == 0


@pytest.mark.parametrize("rule", ["freeze", "deny"])
def test_what_forbids_every_change_forbids_this_one(desk: Desk, rule: str) -> None:
    desk.configure(READING, ops=0)
    if rule == "freeze":
        desk.paths.freeze_file.touch()
    else:
        desk.paths.policy_file.write_text("actors: {person: {tier3: deny}}\n")
        desk.paths.policy_file.chmod(0o600)
    refused = desk.run("pve secrets rotate", person=True)
    assert refused.code == 4, refused.out
    assert desk.cluster.journal == []


def test_nothing_to_resume_says_so(desk: Desk) -> None:
    desk.configure(READING, ops=0)
    assert desk.run("pve secrets rotate --resume", person=True).code == 5


def test_a_login_that_may_not_make_tokens_leaves_everything_as_it_was(desk: Desk) -> None:
    desk.configure(READING, ops=0)
    access = desk.cluster.access
    access.users["agent@pve"].password = desk.seed.root_password
    access.acl.pop(Entry("/", "user", "agent@pve", "AgentOperate"))
    access.acl[Entry("/", "user", "agent@pve", "AgentLook")] = True
    refused = desk.run("pve secrets rotate --login agent@pve", person=True)
    assert refused.code != 0
    assert set(desk.tokens) == {"look", "ops"}


@pytest.mark.parametrize("given", ["root@pam!ops", ""])
def test_a_token_of_root_is_not_taken(given: str, desk: Desk) -> None:
    """Whatever an operator offers in a hurry: an agent gets a token of its own."""
    save_config(desk.paths, Config("home", {"home": READING}))
    secret = secrets.token_hex(16)
    note_secret(secret)
    refused = desk.run(f"pve secrets add '{given}' --stdin", typed=f"root@pam!ops={secret}\n")
    assert refused.code == 4
    assert "pve access grant-script" in refused.out
    assert not list(desk.paths.secrets_dir.rglob("*"))


def test_a_token_is_tried_before_it_takes_the_place_of_another(desk: Desk) -> None:
    desk.configure(READING, look=0)
    wrong = secrets.token_hex(16)
    note_secret(wrong)
    refused = desk.run(f"pve secrets add {OPERATE} --stdin", typed=f"{wrong}\n")
    assert refused.code == 6
    assert f"PVE does not accept this secret for {OPERATE}; nothing was stored" in refused.out
    past = desk.run(f"pve secrets add {OPERATE} --stdin --expires 2020-02-01", typed=f"{wrong}\n")
    assert past.code == 2
    assert load_token(desk.paths, "home", READING, START).token_id == LOOK
    secret = desk.tokens["ops"].secret
    done = desk.run(f"pve secrets add {OPERATE} --stdin", typed=f"{secret}\n")
    assert done.code == 0, done.out
    assert f"it replaces {LOOK}" in done.out
    assert "PVE accepts it" in done.out


def test_a_token_is_stored_where_no_cluster_answers_and_that_is_told(desk: Desk) -> None:
    save_config(desk.paths, Config("home", {"home": READING}))
    desk.cluster.faults.add(kind="lost-before", path="/version", times=0)
    typed = f"{desk.tokens['ops'].secret}\n"
    done = desk.run(f"pve secrets add {OPERATE} --stdin", typed=typed)
    assert done.code == 0, done.out
    assert "not tried" in done.out


def test_the_status_of_a_token_that_has_expired_is_shown(desk: Desk) -> None:
    desk.configure(READING, look=0)
    secret = desk.tokens["look"].secret
    save_token(desk.paths, "home", READING, LOOK, secret, now=START, expires=int(START) + 60)
    desk.cluster.timeline.advance(120)
    shown = desk.run("pve secrets status")
    assert shown.code == 7
    assert f"has the token {LOOK}; it has expired" in shown.out
    assert "next: make a new one in PVE" in shown.out


def test_a_wrong_password_is_called_that(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    desk.configure(READING, look=0)
    monkeypatch.setattr("getpass.getpass", lambda _prompt: "mistyped")
    refused = desk.run("pve secrets rotate", person=True)
    assert refused.code == 6
    assert "the password of root@pam was not accepted" in refused.out
    assert "check the stored token" not in refused.out


def test_the_doctor_looks_at_the_token_of_each_tier(desk: Desk) -> None:
    desk.configure(BY_TIER, look=0)
    (lacking,) = _checks(desk, "token.stored", "bad")
    assert lacking["message"].startswith("for changes up to tier 2: ")
    desk.configure(BY_TIER, look=0, ops=2)
    assert _checks(desk, "token.stored", "bad") == []
    assert len(_checks(desk, "token.stored", "ok")) == 2


def _checks(desk: Desk, code: str, level: str) -> list[dict[str, str]]:
    items = desk.run("pve doctor --json --full").json["data"]["items"]
    return [each for each in items if (each["code"], each["level"]) == (code, level)]
