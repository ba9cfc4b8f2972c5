"""`pve doctor`: each finding appears exactly when it should, on simulated clusters."""

from __future__ import annotations

import io
import socket
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from pveops.api.auth import Authenticated, Secret, TokenAuth
from pveops.api.port import Transport
from pveops.cli.call import Call
from pveops.cli.process import run_call
from pveops.cli.wiring import Connection
from pveops.config.paths import find_paths
from pveops.config.profiles import (
    Config,
    ConsentConfig,
    EndpointConfig,
    Profile,
    choose_profile,
    save_config,
)
from pveops.config.secrets import save_token
from pveops.operations.checkup.check import CODES
from pveops.operations.grade import Grade
from pveops.operations.grant import Subject, decide_grant, write_script
from pveops.sim.access import Entry
from pveops.sim.inprocess import InProcess
from pveops.sim.membership import power_off_node
from tests.commandline import Outcome
from tests.pveum import Pveum
from tests.world import SimTransport, World, make_world

DAY_S = 86_400
NODES = ("pve1", "pve2", "pve3")


@dataclass
class Desk:
    """A configured machine in front of a simulated cluster."""

    world: World
    folder: Path
    sender: tuple[str, ...] = ("send",)
    nodes: tuple[str, ...] = NODES

    @property
    def environ(self) -> dict[str, str]:
        return {"PVE_HOME": str(self.folder / "pve"), "HOME": str(self.folder / "me")}

    @property
    def now(self) -> float:
        return self.world.cluster.timeline.now()

    def set_up(self, *, expires_in_s: int = 90 * DAY_S) -> Desk:
        """As `pve init` and `pve secrets add` leave it."""
        paths = find_paths(self.environ)
        endpoints = tuple(EndpointConfig(f"{node}:8006") for node in self.nodes)
        profile = Profile(endpoints=endpoints, trust="system")
        save_config(paths, Config("sim", {"sim": profile}))
        seed = self.world.seed
        expires = int(self.now) + expires_in_s if expires_in_s else 0
        save_token(
            paths,
            "sim",
            profile,
            seed.token_id,
            seed.token_secret,
            now=self.now,
            expires=expires,
        )
        return self

    def grant(self, grade: str, release: str = "9.2", user: str = "bot@pve") -> Desk:
        """Work with a token of that tier from now on."""
        subject = Subject(user, grade, int(self.now) + 90 * DAY_S)
        lines = write_script(decide_grant(Grade(grade), release), subject)
        ((token_id, secret),) = Pveum(self.world).run(lines).tokens.items()
        self.world.seed = self.world.seed._replace(token_id=token_id, token_secret=secret)
        return self

    def run(self, line: str = "pve doctor --json") -> Outcome:
        stdout, stderr = io.StringIO(), io.StringIO()
        program, *arguments = line.split()
        call = Call(
            program,
            arguments,
            environ=self.environ,
            clock=self.world.cluster.timeline,
            stdin=io.StringIO(),
            stdout=stdout,
            stderr=stderr,
            connect=lambda _call, _wiring: self._connection(),
        )
        return Outcome(run_call(call), stdout.getvalue(), stderr.getvalue())

    def _connection(self) -> Connection:
        seed = self.world.seed
        endpoints = tuple((node, self._transport(node)) for node in self.nodes)
        first = next(each for name, each in endpoints if self.world.cluster.nodes[name].is_online)
        return Connection(
            "sim", "sim", seed.token_id, first, ConsentConfig(self.sender), endpoints=endpoints
        )

    def _transport(self, node: str) -> Transport:
        seed = self.world.seed
        return Authenticated(
            SimTransport(InProcess(self.world.cluster, node), node),
            TokenAuth(seed.token_id, Secret(seed.token_secret)),
        )

    def examine(self) -> dict[str, list[dict[str, Any]]]:
        """The lines that are not ok, by code."""
        found: dict[str, list[dict[str, Any]]] = {}
        for check in self.run().json["data"]["items"]:
            if check["level"] != "ok":
                found.setdefault(check["code"], []).append(check)
        return found

    def fine(self) -> dict[str, str]:
        """The messages of what is ok, by code."""
        checks = self.run().json["data"]["items"]
        return {check["code"]: check["message"] for check in checks if check["level"] == "ok"}


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    """A good machine: a token of tier operate, codes to a person, root's own policy."""
    return Desk(make_world(tmp_path / "world"), tmp_path).grant("operate").set_up()


ALWAYS = {"policy.writable", "access.wide"}
"""A test owns its policy; and the token of the machine is for all guests."""


def test_a_machine_that_is_set_up_well_has_nothing_to_mend(desk: Desk) -> None:
    outcome = desk.run()
    assert outcome.code == 0, outcome.out
    assert set(desk.examine()) == ALWAYS
    fine = desk.fine()
    assert fine["clock.skew"] == "the clocks agree: pve1, pve2, pve3"
    assert fine["api.endpoint"] == "every endpoint answers: pve1, pve2, pve3"
    assert "expires in 90 days" in fine["token.expiry"]
    assert desk.world.writes() == [
        entry for entry in desk.world.writes() if entry["path"].startswith("/api2/json/access/")
    ]


def test_every_line_has_a_code_of_the_table_and_a_level_that_goes_with_it(desk: Desk) -> None:
    known = {code.code: code.levels for code in CODES}
    for check in desk.run().json["data"]["items"]:
        assert check["level"] in known[check["code"]], check
        assert check["level"] == "ok" or check["fix"], check


def test_each_line_is_told_in_text_with_its_fix(desk: Desk) -> None:
    out = desk.run("pve doctor --full").out
    assert out.startswith("0 to mend, 2 to think about, of ")
    assert "policy.writable" in out


# -- the level of consent ----------------------------------------------------------------


def levels(desk: Desk) -> str:
    checks = desk.run().json["data"]["items"]
    return " | ".join(c["message"] for c in checks if c["code"] == "consent.level")


def test_a_token_that_only_reads_is_g0(desk: Desk) -> None:
    assert levels(desk.grant("read")).startswith("G0 for every change: the token can only read")
    assert "access.critical" not in desk.examine()


def test_codes_to_a_person_are_g2_and_what_they_do_not_stop_is_said(desk: Desk) -> None:
    told = levels(desk)
    assert "G2 for what cannot be undone" in told
    assert "it can read the token and call PVE by itself, and it can edit the policy" in told
    assert "G1 for other changes" in told


def test_without_a_sender_a_terminal_is_g1_and_that_is_a_warning(desk: Desk) -> None:
    desk.sender = ()
    found = desk.examine()
    assert [c["message"].partition(":")[0] for c in found["consent.level"]] == [
        "G1 for what cannot be undone"
    ]
    assert "consent.sender" in found


def test_without_any_way_to_agree_no_level_is_in_force(desk: Desk) -> None:
    desk.sender = ()
    write_policy(desk, "consent: {allow_terminal: false}\n")
    (check,) = desk.examine()["consent.level"]
    assert check["message"].startswith("no level for what cannot be undone")


def test_a_token_without_the_privileges_of_what_is_final_is_g4(desk: Desk) -> None:
    """PVE takes VM.Snapshot for a rollback, and VM.Backup for deleting backups.

    So it is a token without these alone that cannot destroy anything.
    """
    lines = (
        "pveum role add JustPower --privs VM.Audit,VM.PowerMgmt,Sys.Audit",
        "pveum user add power@pve",
        "pveum user token add power@pve only --privsep 1",
        "pveum acl modify / --users power@pve --tokens power@pve!only --roles JustPower",
    )
    ((token_id, secret),) = Pveum(desk.world).run(lines).tokens.items()
    desk.world.seed = desk.world.seed._replace(token_id=token_id, token_secret=secret)
    assert levels(desk).startswith("G4 for what cannot be undone")


def name_broker(desk: Desk, socket_path: Path) -> None:
    paths = find_paths(desk.environ)
    name, profile = choose_profile(paths)
    save_config(paths, Config(name, {name: profile._replace(broker=str(socket_path))}))


def test_a_broker_that_does_not_answer_is_bad(desk: Desk) -> None:
    desk.grant("read")
    name_broker(desk, desk.folder / "nobody.sock")
    (check,) = desk.examine()["consent.broker"]
    assert check["level"] == "bad"
    assert "nobody.sock" in check["message"]


def test_a_broker_of_the_same_account_is_called_no_boundary(desk: Desk) -> None:
    """In a folder of its own: the path of a socket has at most 107 bytes."""
    desk.grant("read")
    with (
        tempfile.TemporaryDirectory() as folder,
        socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener,
    ):
        listener.bind(f"{folder}/b.sock")
        listener.listen()
        name_broker(desk, Path(folder) / "b.sock")
        (check,) = desk.examine()["consent.broker"]
        assert "under this very account" in check["message"]
        assert levels(desk).startswith("G2 for every change: the broker decides")


# -- the token ------------------------------------------------------------------------------


def test_the_seeds_token_is_too_strong_and_the_commands_that_shrink_it_work(
    tmp_path: Path,
) -> None:
    desk = Desk(make_world(tmp_path / "world"), tmp_path).set_up()
    desk.world.cluster.access.roles["AgentOperate"] |= {"Permissions.Modify"}
    outcome = desk.run()
    assert outcome.code == 7
    (check,) = desk.examine()["access.critical"]
    assert "Permissions.Modify" in check["message"]
    assert check["fix"].startswith("pveum role modify AgentOperate --privs ")
    Pveum(desk.world).run(check["fix"].split("; "))
    assert "access.critical" not in desk.examine()
    assert "VM.PowerMgmt" in desk.fine()["access.level"]


def test_the_role_that_must_be_the_tokens_is_found_where_pve_shows_no_entries(
    desk: Desk,
) -> None:
    """GET /access/acl shows entries with Sys.Audit on /access; GET /access/roles is for all."""
    desk.world.cluster.access.roles["OpsOperateNodes"] |= {"Sys.PowerMgmt"}
    (check,) = desk.examine()["access.critical"]
    look, mend = check["fix"].split("; ")
    assert look.startswith("pveum acl list")
    assert mend == "pveum role modify OpsOperateNodes --privs Sys.Audit"
    Pveum(desk.world).run([mend])
    assert "access.critical" not in desk.examine()


def test_all_fixes_of_a_strong_token_one_after_the_other_leave_it_weak(tmp_path: Path) -> None:
    """No line gives back what a line before it has taken away."""
    desk = Desk(make_world(tmp_path / "world"), tmp_path).set_up()
    found = desk.examine()
    for code in ("access.critical", "access.wide"):
        commands = [c for c in found[code][0]["fix"].split("; ") if c.startswith("pveum")]
        Pveum(desk.world).run(commands)
    assert not {"access.critical", "access.wide"} & set(desk.examine())


def test_a_role_of_pves_own_is_replaced(desk: Desk) -> None:
    token_id = desk.world.seed.token_id
    for kind, ugid in (("token", token_id), ("user", "bot@pve")):
        desk.world.cluster.access.acl[Entry("/nodes", kind, ugid, "Administrator")] = True
    see_accounts(desk)
    (check,) = desk.examine()["access.critical"]
    Pveum(desk.world).run(check["fix"].split("; "))
    assert "access.critical" not in desk.examine()
    assert Entry("/nodes", "token", token_id, "LessAdministrator") in desk.world.cluster.access.acl


def test_a_token_that_may_destroy_within_a_pool_only_is_not_wide(desk: Desk) -> None:
    assert "VM.Config.Options on /vms" in desk.examine()["access.wide"][0]["message"]
    for entry in [e for e in desk.world.cluster.access.acl if e.path == "/vms"]:
        desk.world.cluster.access.acl.pop(entry)
        moved = Entry("/pool/prod", entry.kind, entry.ugid, entry.role)
        desk.world.cluster.access.acl[moved] = True
    assert "access.wide" not in desk.examine()
    assert "cannot see some guests" in desk.examine()["access.blind"][0]["message"]


def test_a_token_without_privileges_is_told_instead_of_empty_lists(desk: Desk) -> None:
    for entry in [e for e in desk.world.cluster.access.acl if e.kind == "token"]:
        desk.world.cluster.access.acl.pop(entry)
    assert "access.none" in desk.examine()


def test_a_policy_that_lets_nobody_change_makes_changing_privileges_an_excess(
    desk: Desk,
) -> None:
    deny = "{tier1: deny, tier2: deny, tier3: deny}"
    write_policy(desk, f"actors: {{person: {deny}, agent: {deny}, unattended: {deny}}}\n")
    assert "VM.PowerMgmt" in desk.examine()["access.unused"][0]["message"]


@pytest.mark.parametrize(
    ("days", "level"), [(90, "ok"), (13, "warn"), (1, "warn")], ids=["far", "soon", "tomorrow"]
)
def test_a_token_that_expires_soon_is_told(desk: Desk, days: int, level: str) -> None:
    desk.set_up(expires_in_s=days * DAY_S)
    assert ("token.expiry" in desk.examine()) == (level == "warn")


def test_an_expired_token_is_not_sent(desk: Desk) -> None:
    desk.set_up(expires_in_s=-1)
    assert "expired" in desk.examine()["token.stored"][0]["message"]


def test_an_expiry_that_is_not_known_is_no_promise(desk: Desk) -> None:
    desk.set_up(expires_in_s=0)
    (check,) = desk.examine()["token.expiry"]
    assert check["message"] == "PVE tells no token when it expires"


def see_accounts(desk: Desk) -> None:
    """Sys.Audit on /access shows a token its own account."""
    lines = (
        "pveum role add SeeAccounts --privs Sys.Audit",
        f"pveum acl modify /access --users bot@pve --tokens {desk.world.seed.token_id} "
        "--roles SeeAccounts",
    )
    Pveum(desk.world).run(lines)


def test_where_pve_shows_the_account_its_word_counts(desk: Desk) -> None:
    see_accounts(desk)
    user = desk.world.cluster.access.users["bot@pve"]
    assert set(desk.examine()) == ALWAYS
    user.expire = int(desk.now) + 3 * DAY_S
    user.tokens["operate"].expire = int(desk.now) + 2 * DAY_S
    found = desk.examine()
    assert found["token.account"][0]["message"] == "the user bot@pve expires in 3 days"
    assert found["token.expiry"][0]["message"] == "the token, by PVE, expires in 2 days"
    user.expire = 0
    user.tokens["operate"].expire = 0
    found = desk.examine()
    assert "token.account" not in found
    assert found["token.expiry"][0]["message"] == "PVE lets the token never expire"


def test_a_token_without_separation_is_bad(desk: Desk) -> None:
    see_accounts(desk)
    desk.world.cluster.access.users["bot@pve"].tokens["operate"].has_privsep = False
    assert "no privilege separation" in desk.examine()["token.privsep"][0]["message"]


def test_what_a_token_without_separation_has_is_taken_from_its_user(desk: Desk) -> None:
    see_accounts(desk)
    desk.world.cluster.access.users["bot@pve"].tokens["operate"].has_privsep = False
    entry = Entry("/nodes", "user", "bot@pve", "Administrator")
    desk.world.cluster.access.acl[entry] = True
    (check,) = desk.examine()["access.critical"]
    assert "--users bot@pve" in check["fix"]
    Pveum(desk.world).run(check["fix"].split("; "))
    assert "access.critical" not in desk.examine()


def test_a_token_of_root_is_bad(desk: Desk) -> None:
    lines = ("pveum user token add root@pam all --privsep 0",)
    ((token_id, secret),) = Pveum(desk.world).run(lines).tokens.items()
    desk.world.seed = desk.world.seed._replace(token_id=token_id, token_secret=secret)
    found = desk.examine()
    assert "token.root" in found
    assert "token.privsep" in found


# -- this machine ----------------------------------------------------------------------------


def write_policy(desk: Desk, text: str) -> Path:
    path = find_paths(desk.environ).policy_file
    path.write_text(text, encoding="utf-8")
    return path


def test_nothing_configured_is_said_and_nothing_else_is_guessed(desk: Desk) -> None:
    find_paths(desk.environ).config_file.unlink()
    found = desk.examine()
    assert "pve init" in found["config.failed"][0]["fix"]
    assert "api.failed" not in found


@pytest.mark.parametrize("name", ["store_file", "audit_file", "secrets_dir"])
def test_what_others_may_read_is_told_with_the_command(desk: Desk, name: str) -> None:
    desk.run()
    desk.world.session.audit.append("policy", {"operation": "x"})
    path: Path = getattr(find_paths(desk.environ), name)
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    path.chmod(0o755 if path.is_dir() else 0o644)
    (check,) = desk.examine()["files.modes"]
    assert check["fix"] == f"chmod go-rwx {path}"
    subprocess.run(check["fix"].split(), check=True)
    assert "files.modes" not in desk.examine()


def test_rules_that_others_may_write_are_told(desk: Desk) -> None:
    path = write_policy(desk, "max_targets: 4\n")
    path.chmod(0o666)
    (check,) = desk.examine()["files.modes"]
    assert check["fix"] == f"chmod go-w {path}"


def git(folder: Path, *words: str) -> None:
    subprocess.run(["git", "-C", str(folder), *words], check=True, capture_output=True)


def test_a_token_in_a_repository_is_told_unless_git_leaves_it_out(desk: Desk) -> None:
    folder = find_paths(desk.environ).secrets_dir
    git(desk.folder, "init", "--quiet")
    assert "which ignores it" in desk.fine()["secrets.git"]
    (folder / ".gitignore").unlink()
    (check,) = desk.examine()["secrets.git"]
    assert "does not ignore it" in check["message"]
    git(desk.folder, "add", "--force", str(folder))
    (check,) = desk.examine()["secrets.git"]
    assert check["level"] == "bad"


def test_a_frozen_policy_and_a_broken_one_are_told(desk: Desk) -> None:
    assert desk.run("pve policy freeze").code == 0
    assert "policy.frozen" in desk.examine()
    write_policy(desk, "max_targts: 4\n")
    assert "max_targts" in desk.examine()["policy.failed"][0]["message"]


def test_a_torn_record_is_a_warning_and_a_changed_one_is_not(desk: Desk) -> None:
    path = find_paths(desk.environ).audit_file
    desk.run("pve policy freeze")
    whole = path.read_bytes()
    path.write_bytes(whole + b'{"half')
    found = desk.examine()
    assert "audit.torn" in found
    assert "audit.chain" not in found
    path.write_bytes(whole.replace(b"freeze", b"freezE"))
    assert "audit.chain" in desk.examine()


def test_records_that_were_set_aside_are_told(desk: Desk) -> None:
    path = find_paths(desk.environ).audit_file
    path.parent.mkdir(parents=True, exist_ok=True)
    path.with_name("audit.jsonl.torn").write_bytes(b'{"half\n')
    assert "audit.torn" in desk.examine()


def test_a_store_that_is_no_database_is_told(desk: Desk) -> None:
    assert "schema 1" in desk.fine()["store.health"]
    path = find_paths(desk.environ).store_file
    for each in path.parent.glob("store.sqlite3*"):
        each.unlink()
    path.write_bytes(b"not a database, and long enough to be read as one" * 100)
    assert "store.failed" in desk.examine()


# -- the cluster --------------------------------------------------------------------------------


def test_an_endpoint_that_is_down_is_told_though_another_one_answers(desk: Desk) -> None:
    power_off_node(desk.world.cluster, desk.world.cluster.nodes["pve3"])
    found = desk.examine()
    (check,) = found["api.endpoint"]
    assert check["message"].startswith("the endpoint pve3 ")
    assert [c["message"].partition(":")[0] for c in found["cluster.node"]] == ["pve3"]


def test_nodes_that_are_no_endpoints_are_told(desk: Desk) -> None:
    desk.nodes = ("pve1",)
    assert "1 of 3 nodes are endpoints" in desk.examine()["api.endpoints"][0]["message"]


@pytest.mark.parametrize(
    ("ahead_s", "level"), [(3, None), (-3, None), (20, "warn"), (-20, "warn"), (-300, "bad")]
)
def test_a_clock_that_is_off_is_told_with_its_node(
    desk: Desk, ahead_s: float, level: str | None
) -> None:
    desk.world.cluster.nodes["pve2"].clock_offset_s = ahead_s
    found = desk.examine().get("clock.skew", [])
    assert [check["level"] for check in found] == ([level] if level else [])
    if found:
        assert "pve2" in found[0]["message"]


def test_mixed_versions_are_told(tmp_path: Path) -> None:
    world = make_world(tmp_path / "world", seed="mixed-versions", version="9.0")
    desk = Desk(world, tmp_path).set_up()
    (check,) = desk.examine()["cluster.versions"]
    assert "on pve1, pve2" in check["message"]
    assert "on pve3" in check["message"]


def test_a_cluster_that_does_not_answer_is_told_and_the_rest_is_still_looked_at(
    desk: Desk,
) -> None:
    desk.world.cluster.faults.add("refuse", status=401, reason="no such token", times=0)
    found = desk.examine()
    assert "E_AUTH" in found["api.failed"][0]["message"]
    assert "access.none" not in found
    assert "audit.chain" in desk.fine()


def test_a_blind_spot_is_told_with_the_privilege(desk: Desk) -> None:
    for entry in [e for e in desk.world.cluster.access.acl if e.path == "/storage"]:
        desk.world.cluster.access.acl.pop(entry)
    (check,) = desk.examine()["access.blind"]
    assert check["fix"] == "grant Datastore.Audit on /storage"


def test_the_chosen_profile_is_named(desk: Desk) -> None:
    name, _ = choose_profile(find_paths(desk.environ))
    assert f"profile {name!r}" in desk.fine()["config.profile"]
