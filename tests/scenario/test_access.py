"""Least privilege: a token that was made by the printed commands can do its tier, and no more.

What PVE asks for is what the simulated cluster checks, by the expressions of PVE's own schema
and by its handlers (pve-access-control RPCEnvironment.pm, and the API2 module of each method).
"""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from pveops.config.policy import GuestCommands, Policy
from pveops.domain.access import read_permissions
from pveops.engine.apply import apply_plan
from pveops.engine.approve import Consent
from pveops.engine.change import request_change
from pveops.engine.outcome import Receipt
from pveops.engine.request import Ask
from pveops.errors import PermissionDeniedError, PveopsError
from pveops.operations.access_check import check_operation
from pveops.operations.catalog import get_operation, list_changes
from pveops.operations.grade import Grade, grade_of
from pveops.operations.grant import Grant, Scope, Subject, decide_grant, write_script
from pveops.operations.operation import Operation
from pveops.operations.plan import Scalar
from pveops.sim.access import Entry
from pveops.sim.roles import all_privileges
from pveops.sim.version import VERSIONS
from tests.commandline import run_line
from tests.fault import test_matrix as matrix
from tests.pveum import Pveum, join_as
from tests.scenario.test_restores import newest_backup
from tests.scenario.test_uploads import file_of
from tests.world import World, make_world

BELOW = {Grade.OPERATE: Grade.READ, Grade.BUILD: Grade.OPERATE, Grade.DANGER: Grade.BUILD}
LISTED = Policy(guest_commands=(GuestCommands(names=("*",), commands=("hostname",)),))
URL = "https://cloud.debian.org/images/cloud/trixie/latest/debian-13-genericcloud-amd64.qcow2"

Step = tuple[str, tuple[str, ...], dict[str, Scalar]]
_RESTART: dict[str, Scalar] = {"allow_restart": True}
_JOB: dict[str, Scalar] = {"schedule": "21:00", "storage": "backups", "all": True}
TWO_NODES: dict[str, tuple[Step, ...]] = {
    "replicate": (("replication.run", ("101-0",), {}),),
}
CEPH: dict[str, tuple[Step, ...]] = {
    "cluster": (
        ("cluster.shutdown-plan", (), {"guests_only": True}),
        ("cluster.bring-back", (), {}),
    ),
    "rolling": (("cluster.rolling-reboot", (), _RESTART),),
    "evacuate": (
        ("node.evacuate", ("pve3",), _RESTART),
        ("node.return", ("pve3",), _RESTART),
    ),
    "node": (
        ("node.evacuate", ("pve3",), _RESTART),
        ("node.reboot", ("pve3",), {}),
        ("node.shutdown", ("pve3",), {}),
    ),
}
HOMELAB: dict[str, tuple[Step, ...]] = {
    "create-ct": (("guest.create", ("tools",), {"template": "debian-ct", "start": True}),),
    "restore": (("backup.restore", ("BACKUP",), {"start": True}),),
    "drill": (("backup.drill", ("web02",), {}),),
    "backups": (
        ("backup.protect", ("BACKUP",), {}),
        ("backup.unprotect", ("BACKUP",), {}),
        ("backup.delete", ("BACKUP",), {}),
        ("backup.prune", ("web02",), {"keep_last": 1}),
    ),
    "snapshots": (
        ("snapshot.create", ("web02",), {"snapname": "one"}),
        ("snapshot.prune", ("web02",), {"older_than": 0, "any": True}),
    ),
    "jobs": (
        ("job.create", ("extra",), {**_JOB, "keep_all": True}),
        ("job.change", ("extra",), {"schedule": "22:00"}),
        ("job.disable", ("extra",), {}),
        ("job.enable", ("extra",), {}),
    ),
    "ha": (
        ("ha.add", ("web02",), {}),
        ("ha.set-state", ("web02",), {"state": "stopped"}),
        ("ha.remove", ("web02",), {}),
        ("ha.migrate", ("vault",), {"node": "pve3"}),
    ),
    "ha-reset": (("ha.reset", ("vault",), {}),),
    "exec": (("guest.exec", ("web02",), {"command": "hostname"}),),
    "download": (
        ("storage.download", ("local",), {"url": URL, "content": "import", "node": "pve2"}),
    ),
    "files": (
        ("storage.upload", ("FILE",), {"storage": "local", "node": "pve1"}),
        ("storage.delete", ("local:iso/rescue.iso",), {"node": "pve1"}),
    ),
    "pools": (
        ("pool.create", ("fresh",), {}),
        ("pool.add", ("fresh",), {"members": "mail01"}),
        ("pool.remove", ("fresh",), {"members": "mail01"}),
        ("pool.delete", ("fresh",), {}),
    ),
    "cancel": (("task.cancel", ("TASK",), {}),),
    "sizes": (
        (
            "guest.set",
            ("windows-lab",),
            {"memory": 4096, "cores": 2, "onboot": "on"},
        ),
        ("guest.set", ("windows-lab",), {"option": "net0=virtio,bridge=vmbr0\nipconfig0=ip=dhcp"}),
        ("guest.set", ("proxy",), {"rename": "gate"}),
    ),
}


STORIES = {
    story: (seed, steps)
    for seed, stories in (
        ("homelab", HOMELAB),
        ("three-node-ceph", CEPH),
        ("two-node", TWO_NODES),
    )
    for story, steps in stories.items()
}


def grant(
    world: World, folder: Path, grade: Grade, include: tuple[Operation, ...] = (), **scope: object
) -> World:
    """A session with a token that the printed commands made, and with no other one there."""
    release = world.cluster.version.version
    decided = decide_grant(grade, release, Scope(**scope), include)  # type: ignore[arg-type]
    subject = Subject("bot@pve", "tok", int(world.cluster.timeline.now()) + 86_400)
    folder.mkdir(exist_ok=True)
    joined = join_as(world, folder, Pveum(world).run(write_script(decided, subject)))
    joined.session = joined.session._replace(policy=world.session.policy)
    return joined


def decide(grade: Grade, version: str = "9.2") -> Grant:
    return decide_grant(grade, version)


def carry_out(world: World, asked: Ask) -> Receipt:
    change = request_change(world.session, asked)
    if change.receipt is not None:
        return change.receipt
    return apply_plan(world.session, change.plan_id, Consent("code", world.code))


# -- a token can do its tier ---------------------------------------------------------------


@pytest.mark.parametrize("version", ["8.4", "9.2"])
@pytest.mark.parametrize("verb", matrix.VERBS)
def test_a_token_of_the_tier_carries_the_change_out(
    verb: str, version: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(matrix, "make_world", lambda folder: make_world(folder, version=version))
    world = matrix.world_of(verb, tmp_path)
    operation = get_operation(matrix.VERBS[verb][0])
    bot = grant(world, tmp_path / "bot", grade_of(operation))
    receipt = carry_out(bot, matrix.ask_of(verb))
    assert receipt.status == "done", receipt


@pytest.mark.parametrize("version", ["8.4", "9.2"])
@pytest.mark.parametrize("story", STORIES)
def test_what_the_matrix_has_not_is_carried_out_too(
    story: str, version: str, tmp_path: Path
) -> None:
    """What belongs to no tier is included by name, as the script says that it can be."""
    seed, steps = STORIES[story]
    world = make_world(tmp_path, seed=seed, version=version, policy=LISTED)
    operations = [get_operation(step[0]) for step in steps]
    grade = max((grade_of(each) for each in operations), key=list(Grade).index)
    decided = decide(grade, version)
    lacking = {each.operation.id for each in decided.left_out}
    lacking |= {row.id for row, _ in decided.parts}
    include = tuple(each for each in operations if each.id in lacking)
    prepare(world, story)
    bot = grant(world, tmp_path / "bot", grade, include)
    for operation, names, params in steps:
        asked = Ask(operation, tuple(fill(world, name, tmp_path) for name in names), params=params)
        receipt = carry_out(bot, asked)
        assert receipt.status == "done", (operation, receipt)


def prepare(world: World, story: str) -> None:
    """What a story needs to begin with."""
    if story == "ha-reset":
        world.cluster.ha.resources["vm:108"].current = "error"
    if story == "cancel":
        request = "/nodes/pve1/vzdump"
        world.session.make_writer().write("POST", request, {"vmid": 101, "storage": "backups"})


def fill(world: World, name: str, folder: Path) -> str:
    if name == "FILE":
        return str(file_of(folder))
    if name == "BACKUP":
        return newest_backup(world, 102)
    if name == "TASK":
        tasks = [t for node in world.cluster.nodes.values() for t in node.tasks.values()]
        return str(next(task.upid for task in tasks if task.is_running))
    return name


def test_every_change_of_the_catalogue_is_tried_here() -> None:
    tried = {operation for operation, _ in matrix.VERBS.values()}
    tried |= {step[0] for steps in (steps for _, steps in STORIES.values()) for step in steps}
    assert {row.id for row in list_changes()} - tried == set()


# -- and no more ---------------------------------------------------------------------------


@pytest.mark.parametrize("verb", matrix.VERBS)
def test_the_tier_below_is_refused_with_the_privilege_named(verb: str, tmp_path: Path) -> None:
    """Unless PVE cannot keep the two apart, which the script says by name."""
    world = matrix.world_of(verb, tmp_path)
    operation = get_operation(matrix.VERBS[verb][0])
    below = BELOW[grade_of(operation)]
    bot = grant(world, tmp_path / "bot", below)
    if operation.id in {row.id for row in decide(below).beyond}:
        assert carry_out(bot, matrix.ask_of(verb)).status == "done"
        return
    told = refusal(bot, matrix.ask_of(verb))
    assert bot.effects() == [e for e in bot.effects() if "/access/" in e["path"]]
    permissions = read_permissions(bot.session.reader)
    checked = check_operation(operation, "9.2", permissions, {})
    named = {name for each in checked.missing for name in each.privileges}
    assert checked.is_refused
    assert any(name in told for name in named), (told, named)


def refusal(world: World, asked: Ask) -> str:
    """What is said of a change that PVE, or a preflight, refuses."""
    try:
        receipt = carry_out(world, asked)
    except PveopsError as error:
        return error.message
    assert receipt.items[0].status == "not-executed", receipt
    assert receipt.items[0].error == PermissionDeniedError.code
    return receipt.items[0].message


@pytest.mark.parametrize("version", ["8.4", "9.2"])
@pytest.mark.parametrize("grade", Grade)
def test_every_privilege_is_one_of_the_version(grade: Grade, version: str) -> None:
    names = {name for entry in decide(grade, version).entries for name in entry.privileges}
    assert names <= all_privileges(VERSIONS[version])


@pytest.mark.parametrize("version", ["8.4", "9.2"])
def test_a_token_that_reads_holds_nothing_that_changes(version: str) -> None:
    names = {n for e in decide(Grade.READ, version).entries for n in e.privileges}
    assert {name for name in names if not name.endswith(".Audit")} == set()


PARTS = {row.id for row, _ in decide(Grade.READ).parts}
READS = [row for row in decide(Grade.READ).operations if row.id not in PARTS and row.example]


@pytest.mark.parametrize("operation", READS, ids=lambda row: row.id)
def test_a_token_that_reads_sees_what_root_sees(operation: Operation, tmp_path: Path) -> None:
    """Whatever the example comes to: the same answer, and no privilege is missing."""
    world = make_world(tmp_path)
    root = join_as(world, tmp_path / "root", make_root_token(world, tmp_path / "root"))
    bot = grant(world, tmp_path / "bot", Grade.READ)
    seen, full = (run_line(each, tmp_path, f"{operation.example} --json") for each in (bot, root))
    assert seen.code == full.code
    assert seen.code != PermissionDeniedError.exit_code, seen.out
    for member in ("data", "findings"):
        assert seen.json.get(member) == full.json.get(member)


def make_root_token(world: World, folder: Path) -> Pveum:
    folder.mkdir()
    return Pveum(world).run(["pveum user token add root@pam all --privsep 0"])


def test_on_a_pool_the_others_are_neither_seen_nor_touched(tmp_path: Path) -> None:
    world = make_world(tmp_path)
    inside = {
        world.cluster.guests[vmid].name for vmid in world.cluster.pools.by_id["production"].vmids
    }
    bot = grant(world, tmp_path / "bot", Grade.OPERATE, pools=("production",))
    seen = run_line(bot, tmp_path, "pve guest list --json").json["data"]["items"]
    assert {row["name"] for row in seen} == inside
    stopped = carry_out(bot, Ask("guest.stop", (sorted(inside & running(world))[0],)))
    assert stopped.status == "done"


def running(world: World) -> set[str]:
    return {guest.name for guest in world.cluster.guests.values() if guest.is_running}


def test_guests_are_made_in_the_pool_that_the_token_is_for_and_nowhere_else(
    tmp_path: Path,
) -> None:
    world = make_world(tmp_path)
    scope = {"pools": ("sandbox",), "storages": ("local-lvm", "local"), "bridges": ("vmbr0",)}
    bot = grant(world, tmp_path / "bot", Grade.BUILD, **scope)
    params: dict[str, Scalar] = {"template": "debian-ct", "storage": "local-lvm"}
    made = carry_out(bot, Ask("guest.create", ("in",), params={**params, "pool": "sandbox"}))
    assert made.status == "done", made
    assert "Permission check failed" in refusal(bot, Ask("guest.create", ("out",), params=params))


# -- access check --------------------------------------------------------------------------


def test_the_check_names_what_a_named_operation_lacks_on_a_guest(tmp_path: Path) -> None:
    bot = grant(make_world(tmp_path), tmp_path / "bot", Grade.READ)
    outcome = run_line(bot, tmp_path, "pve access check guest.stop guest.show web02 --json")
    assert outcome.code == 6
    answer = outcome.json
    by_id = {row["operation"]: row for row in answer["data"]["items"]}
    assert by_id["guest.stop"]["missing"] == "VM.PowerMgmt on /vms/102"
    assert by_id["guest.show"]["verdict"] == "allowed"
    assert answer["error"]["details"] == {"path": "/vms/102", "privileges": ["VM.PowerMgmt"]}


@pytest.mark.parametrize("grade", Grade)
def test_the_check_of_a_tokens_own_tier_finds_what_was_left_out_and_nothing_else(
    grade: Grade, tmp_path: Path
) -> None:
    bot = grant(make_world(tmp_path), tmp_path / "bot", grade)
    rows = run_line(bot, tmp_path, f"pve access check --tier {grade} --json").json["data"]
    assert rows["refused"] == 0
    out = {row["operation"] for row in rows["items"] if row["verdict"] == "left out"}
    assert out == {each.operation.id for each in decide(grade).left_out}
    assert rows["unneeded"] == {}


def test_the_check_tells_where_alone_something_holds(tmp_path: Path) -> None:
    bot = grant(make_world(tmp_path), tmp_path / "bot", Grade.OPERATE, pools=("production",))
    data = run_line(bot, tmp_path, "pve access check guest.stop --json").json["data"]
    assert data["items"][0]["verdict"] == "allowed"
    assert "/pool/production" in data["items"][0]["only"]
    assert run_line(bot, tmp_path, "pve access check guest.stop 105").code == 5


def test_a_guest_on_which_nothing_holds_is_not_taken_for_one_that_inherits(
    tmp_path: Path,
) -> None:
    bot = grant(make_world(tmp_path), tmp_path / "bot", Grade.OPERATE)
    bot.cluster.access.roles["JustLook"] = frozenset({"VM.Audit"})
    bot.cluster.access.acl[Entry("/vms/102", "token", bot.seed.token_id, "JustLook")] = True
    assert run_line(bot, tmp_path, "pve access check guest.stop web01").code == 0
    outcome = run_line(bot, tmp_path, "pve access check guest.stop web02")
    assert outcome.code == 6
    assert "VM.PowerMgmt on /vms/102" in outcome.out


def test_what_is_beyond_need_is_named_and_its_commands_take_it_away(tmp_path: Path) -> None:
    world = make_world(tmp_path)
    line = "pve access check --tier read --json"
    data = run_line(world, tmp_path, line).json["data"]
    assert data["unneeded"]["VM.PowerMgmt"] == ["/"]
    assert "VM.Audit" not in data["unneeded"]
    Pveum(world).run(data["shrink"])
    assert run_line(world, tmp_path, line).json["data"]["unneeded"] == {}
    assert run_line(world, tmp_path, "pve guest list").code == 0


def test_without_operations_the_whole_catalogue_is_looked_at_and_nothing_fails(
    tmp_path: Path,
) -> None:
    bot = grant(make_world(tmp_path), tmp_path / "bot", Grade.OPERATE)
    outcome = run_line(bot, tmp_path, "pve access check --json")
    assert outcome.code == 0
    assert outcome.json["data"]["refused"] > 5


@pytest.mark.parametrize(
    ("line", "code", "text"),
    [
        ("guest.stpo", 2, "guest.stop"),
        ("guest.stop --tier read", 2, "not both"),
        ("guest.stop nobody", 5, "nobody"),
    ],
)
def test_a_slip_in_the_check_is_told(line: str, code: int, text: str, tmp_path: Path) -> None:
    outcome = run_line(make_world(tmp_path), tmp_path, f"pve access check {line}")
    assert outcome.code == code
    assert text in outcome.out


def test_a_refusal_of_pve_leads_to_the_check_of_that_very_operation(tmp_path: Path) -> None:
    bot = grant(make_world(tmp_path), tmp_path / "bot", Grade.READ)
    outcome = run_line(bot, tmp_path, "pve guest start windows-lab")
    assert outcome.code == 6
    assert "VM.PowerMgmt on /vms/901 is missing" in outcome.out, outcome.out
    assert "next: pve access check guest.start 901" in outcome.out


# -- the script -----------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["VM.GuestAgent.Unrestricted", "VM.Config.Disk"])
def test_what_the_script_of_a_tier_does_not_give_is_beyond_need(name: str, tmp_path: Path) -> None:
    bot = grant(make_world(tmp_path), tmp_path / "bot", Grade.OPERATE)
    access = bot.cluster.access
    access.roles["More"] = frozenset({name})
    for kind, who in (
        ("user", bot.seed.token_id.partition("!")[0]),
        ("token", bot.seed.token_id),
    ):
        access.acl[Entry("/vms/102", kind, who, "More")] = True
    data = run_line(bot, tmp_path, "pve access check --tier operate --json").json["data"]
    assert data["unneeded"] == {name: ["/vms/102"]}


def test_the_script_is_one_from_its_first_line(tmp_path: Path) -> None:
    line = "pve access grant-script --tier operate --pve-version 9.2"
    script = tmp_path / "g.sh"
    script.write_text(run_line(make_world(tmp_path), tmp_path, line).out)
    assert script.read_text().startswith("# ")
    done = subprocess.run(["sh", "-n", str(script)], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_the_script_is_for_the_clusters_own_version(tmp_path: Path) -> None:
    old = make_world(tmp_path / "old", version="8.4")
    line = "pve access grant-script --tier build --include guest.exec --json"
    assert "VM.Monitor" in run_line(old, tmp_path, line).json["data"]["script"]
    new = make_world(tmp_path / "new")
    script = run_line(new, tmp_path, line).json["data"]["script"]
    assert "VM.GuestAgent.Unrestricted" in script
    assert "VM.Monitor" not in script
    assert new.writes() == []


@pytest.mark.parametrize(
    ("words", "code", "text"),
    [
        ("--tier everything", 2, "everything"),
        ("--tier read --user root@pam", 2, "root@pam"),
        ("--tier read --user agent", 2, "USER@REALM"),
        ("--tier read --token a=b", 2, "no token's name"),
        ("--tier read --pool a,b", 2, "no pool's name"),
        ("--tier read --storage ../x", 2, "no storage's name"),
        ("--tier read --expire never", 2, "15m to 366d"),
        ("--tier read --expire 10y", 2, "15m to 366d"),
        ("--tier read --pve-version 7.4", 2, "not known here"),
        ("--tier read --pve-version new", 2, "no version"),
        ("--tier read --include guest.stpo", 2, "guest.stop"),
        ("--tier read --pool nopool", 5, "there is no pool 'nopool'"),
        ("--tier read --storage nowhere", 5, "there is no storage 'nowhere'"),
    ],
)
def test_nonsense_is_refused(words: str, code: int, text: str, tmp_path: Path) -> None:
    outcome = run_line(make_world(tmp_path), tmp_path, f"pve access grant-script {words}")
    assert outcome.code == code
    assert text in outcome.out
