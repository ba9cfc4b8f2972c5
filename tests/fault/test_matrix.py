"""Every verb that changes a guest, under every fault: at most one effect, and the truth about it.

The truth is what the simulated cluster's own journal and state show; faults and their meaning
are those of `pveops.sim.faults.KINDS`, which come from what PVE and its proxies do.
"""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import pytest

from pveops.domain.trash import TRASH_TAG, TrashMark, write_mark
from pveops.engine.apply import apply_plan, resume_run
from pveops.engine.approve import Consent
from pveops.engine.change import request_change
from pveops.engine.outcome import Receipt
from pveops.engine.request import Ask
from pveops.errors import PveopsError, StalePlanError
from pveops.operations.plan import Scalar
from pveops.sim.guest import Guest
from tests.world import World, join_world, make_world

VERBS: dict[str, tuple[str, dict[str, Scalar]]] = {
    "start-vm": ("guest.start", {"name": "windows-lab"}),
    "start-ct": ("guest.start", {"name": "dns02"}),
    "shutdown-vm": ("guest.shutdown", {"name": "web02"}),
    "shutdown-ct": ("guest.shutdown", {"name": "proxy"}),
    "stop-vm": ("guest.stop", {"name": "web02"}),
    "stop-ct": ("guest.stop", {"name": "proxy"}),
    "stop-ha": ("guest.stop", {"name": "vault"}),
    "reboot-vm": ("guest.reboot", {"name": "web02"}),
    "reset-vm": ("guest.reset", {"name": "web02"}),
    "suspend-vm": ("guest.suspend", {"name": "web02"}),
    "suspend-to-disk": ("guest.suspend", {"name": "web02", "to_disk": True}),
    "resume-vm": ("guest.resume", {"name": "batch"}),
    "snapshot-vm": ("snapshot.create", {"name": "web02", "snapname": "new"}),
    "snapshot-ct": ("snapshot.create", {"name": "proxy", "snapname": "new"}),
    "rollback-vm": ("snapshot.rollback", {"name": "web02", "snapname": "old"}),
    "delsnapshot-vm": ("snapshot.delete", {"name": "web02", "snapname": "old"}),
    "delsnapshot-ct": ("snapshot.delete", {"name": "proxy", "snapname": "old"}),
    "set-vm": ("guest.set", {"name": "web02", "memory": 8192, "startup": "order=2"}),
    "set-stopped": ("guest.set", {"name": "windows-lab", "cores": 4}),
    "tag-vm": ("guest.tag", {"name": "web02", "add": "blue"}),
    "note-vm": ("guest.note", {"name": "web02", "text": "rack 3"}),
    "revert-vm": ("guest.revert", {"name": "web02", "key": "memory"}),
    "grow-vm": ("disk.grow", {"name": "web02", "disk": "scsi0", "to": "100G"}),
    "move-vm": ("disk.move", {"name": "mail01", "disk": "scsi0", "storage": "local-lvm"}),
    "detach-vm": ("disk.detach", {"name": "windows-lab", "disk": "scsi0"}),
    "attach-vm": ("disk.attach", {"name": "windows-lab", "disk": "unused0", "slot": "scsi3"}),
    "delete-stopped": ("guest.delete", {"name": "windows-lab"}),
    "undelete-vm": ("guest.undelete", {"name": "windows-lab"}),
    "purge-vm": ("guest.purge", {"name": "windows-lab"}),
    "purge-ct": ("guest.purge", {"name": "sandbox"}),
    "clone-vm": ("guest.clone", {"name": "debian-13-template", "params.name": "new"}),
    "clone-ct": ("guest.clone", {"name": "sandbox", "params.name": "new"}),
    "backup-vm": ("backup.run", {"name": "web02"}),
    "backup-ct": ("backup.run", {"name": "proxy"}),
    "migrate-vm": ("guest.migrate", {"name": "web02", "node": "pve3"}),
    "migrate-stopped": ("guest.migrate", {"name": "windows-lab", "node": "pve1"}),
    "migrate-ct": ("guest.migrate", {"name": "proxy", "node": "pve3", "restart": True}),
    "migrate-ha": ("guest.migrate", {"name": "vault", "node": "pve3"}),
    "template-vm": ("guest.convert-to-template", {"name": "windows-lab"}),
}
WITHOUT_TASK = {
    "set-vm",
    "set-stopped",
    "tag-vm",
    "note-vm",
    "revert-vm",
    "detach-vm",
    "attach-vm",
    "delete-stopped",
    "undelete-vm",
}
WITH_TASK = [verb for verb in VERBS if verb not in WITHOUT_TASK]
KILLED_AT = [
    (verb, line) for verb in VERBS for line in (1, 2, 3, 4) if line < 4 or verb in WITH_TASK
]
"""The journal has intent, answer, end of the task if there is one, and outcome."""
CALL = r"/status/(start|shutdown|stop|reboot|reset|suspend|resume)$"
DISKS = {
    "disk.grow": ("PUT", "/resize$"),
    "disk.move": ("POST", "/move_disk$"),
    "guest.convert-to-template": ("POST", "/template$"),
    "guest.clone": ("POST", "/clone$"),
    "backup.run": ("POST", "/vzdump$"),
    "guest.migrate": ("POST", "/migrate$"),
}
CONFIG = r"/config$"
SNAPSHOT = r"/snapshot(/old(/rollback)?)?$"
NEVER_EXECUTED: dict[str, dict[str, Any]] = {
    "refused": {"kind": "refuse", "status": 500, "reason": "storage 'x' does not exist"},
    "forbidden": {"kind": "refuse", "status": 403, "reason": "Permission check failed"},
    "unauthorized": {"kind": "refuse", "status": 401, "reason": "Authentication failed!"},
    "no-route": {"kind": "refuse", "status": 595, "reason": "No route to host"},
    "flock": {
        "kind": "refuse",
        "status": 500,
        "reason": "can't lock file '/var/lock/qemu-server/lock-102.conf' - got timeout",
        "times": 0,
    },
    "lost-before": {"kind": "lost-before"},
    "hang": {"kind": "hang"},
    "foreign-page": {"kind": "html"},
    "empty-answer": {"kind": "empty"},
}
EXECUTED: dict[str, dict[str, Any]] = {
    "lost-after": {"kind": "lost-after"},
    "hang-after": {"kind": "hang-after"},
    "596": {"kind": "status-after", "status": 596, "reason": "Connection timed out"},
    "597": {"kind": "status-after", "status": 597, "reason": "Broken pipe"},
    "599": {"kind": "status-after", "status": 599, "reason": "Too many redirections"},
    "foreign-page-after": {"kind": "html-after"},
    "empty-after": {"kind": "empty-after"},
    "truncated": {"kind": "truncated"},
}


def ask_of(verb: str) -> Ask:
    """The request of a row of the table."""
    operation, given = VERBS[verb]
    params = {key.removeprefix("params."): value for key, value in given.items() if key != "name"}
    return Ask(operation, (str(given["name"]),), params=params)


def call_of(verb: str) -> dict[str, str]:
    """What the verb sends, as faults match it."""
    operation = VERBS[verb][0]
    if operation.startswith("snapshot."):
        return {"method": "DELETE" if verb.startswith("del") else "POST", "path": SNAPSHOT}
    if verb in WITHOUT_TASK:
        return {"method": "PUT", "path": CONFIG}
    if operation == "guest.purge":
        return {"method": "DELETE", "path": r"/(qemu|lxc)/\d+$"}
    if operation in DISKS:
        return {"method": DISKS[operation][0], "path": DISKS[operation][1]}
    return {"method": "POST", "path": CALL}


def world_of(verb: str, folder: Path) -> World:
    """A world in which the verb can succeed."""
    world = make_world(folder)
    if VERBS[verb][1].get("snapname") == "old":
        guest = guest_of(world, verb)
        guest.snapshots["old"] = {**guest.config, "snaptime": int(world.cluster.timeline.now())}
    if VERBS[verb][0] in {"guest.undelete", "guest.purge"}:
        put_into_trash(world, guest_of(world, verb))
    if verb == "attach-vm":
        guest = guest_of(world, verb)
        guest.config["unused0"] = str(guest.config.pop("scsi0")).partition(",")[0]
    if verb == "revert-vm":
        guest_of(world, verb).pending["memory"] = 8192
    return world


def put_into_trash(world: World, guest: Guest) -> None:
    """As `guest delete` did ten days ago."""
    mark = TrashMark(int(world.cluster.timeline.now()) - 10 * 86_400, True, "running")
    guest.config["tags"] = TRASH_TAG
    guest.config["description"] = write_mark("", mark, guest.vmid)


def guest_of(world: World, verb: str) -> Guest:
    return next(g for g in world.cluster.guests.values() if g.name == VERBS[verb][1]["name"])


def plan_of(world: World, verb: str) -> tuple[str, Consent]:
    """A stored plan with the consent that it needs, whatever the policy says."""
    from pveops.engine.apply import store_plan
    from pveops.engine.request import propose

    proposal = propose(world.session, ask_of(verb))
    assert proposal.plan is not None
    assert proposal.verdict is not None
    if proposal.verdict.action == "at_once":
        return store_plan(world.session, proposal.plan).id, Consent("policy")
    change = request_change(world.session, ask_of(verb))
    return change.plan_id, Consent("code", world.code)


def check_truth(world: World, receipt: Receipt) -> None:
    """What the receipt says is what the simulated cluster did."""
    effects = world.effects()
    assert len(effects) <= 1, effects
    item = receipt.items[0]
    if item.status == "not-executed":
        assert effects == []
        assert receipt.exit_code not in {0, 8, 13}
    if item.status == "done":
        assert len(effects) == 1
        assert receipt.exit_code == 0
    if item.status == "unknown":
        assert receipt.exit_code == 13
    assert world.session.audit.verify().is_whole


@pytest.mark.parametrize("verb", VERBS)
def test_without_a_fault_it_is_done_once(verb: str, tmp_path: Path) -> None:
    world = world_of(verb, tmp_path)
    receipt = apply_plan(world.session, *plan_of(world, verb))
    assert receipt.status == "done", receipt
    check_truth(world, receipt)


@pytest.mark.parametrize("fault", NEVER_EXECUTED)
@pytest.mark.parametrize("verb", VERBS)
def test_what_was_never_executed_is_never_called_done(
    verb: str, fault: str, tmp_path: Path
) -> None:
    world = world_of(verb, tmp_path)
    plan, consent = plan_of(world, verb)
    world.cluster.faults.add(**call_of(verb), **NEVER_EXECUTED[fault])
    receipt = apply_plan(world.session, plan, consent)
    assert world.effects() == []
    assert receipt.items[0].status in {"not-executed", "unknown"}, receipt
    check_truth(world, receipt)


@pytest.mark.parametrize("fault", EXECUTED)
@pytest.mark.parametrize("verb", VERBS)
def test_a_lost_answer_is_settled_by_looking(verb: str, fault: str, tmp_path: Path) -> None:
    world = world_of(verb, tmp_path)
    plan, consent = plan_of(world, verb)
    world.cluster.faults.add(**call_of(verb), **EXECUTED[fault])
    receipt = apply_plan(world.session, plan, consent)
    assert len(world.effects()) == 1
    assert receipt.items[0].status == "done", receipt
    check_truth(world, receipt)


@pytest.mark.parametrize("verb", WITH_TASK)
def test_a_failed_task_is_not_success(verb: str, tmp_path: Path) -> None:
    world = world_of(verb, tmp_path)
    plan, consent = plan_of(world, verb)
    world.cluster.faults.add("task-error", **call_of(verb), reason="got no worker")
    receipt = apply_plan(world.session, plan, consent)
    expected = {"done"} if verb == "reset-vm" else {"failed"}
    assert receipt.items[0].status in expected, receipt
    check_truth(world, receipt)


@pytest.mark.parametrize("verb", WITH_TASK)
def test_a_vanished_worker_is_unknown_until_the_state_tells(verb: str, tmp_path: Path) -> None:
    world = world_of(verb, tmp_path)
    plan, consent = plan_of(world, verb)
    world.cluster.faults.add("task-vanish", **call_of(verb))
    receipt = apply_plan(world.session, plan, consent)
    expected = {"done"} if verb == "reset-vm" else {"unknown"}
    assert receipt.items[0].status in expected, receipt
    check_truth(world, receipt)


@pytest.mark.parametrize("verb", VERBS)
def test_a_stale_plan_is_refused(verb: str, tmp_path: Path) -> None:
    world = world_of(verb, tmp_path)
    plan, consent = plan_of(world, verb)
    guest = guest_of(world, verb)
    guest.config["description"] = "edited by somebody"
    receipt = apply_plan(world.session, plan, consent)
    assert receipt.items[0].error == StalePlanError.code
    assert "digest" in receipt.items[0].message
    check_truth(world, receipt)


def code_of(world: World, plan: str, consent: Consent) -> int:
    """What the run says; or why there is none, and then the plan and its consent are unspent."""
    before = len(world.effects())
    try:
        receipt = apply_plan(world.session, plan, consent)
    except PveopsError as error:
        assert len(world.effects()) == before
        assert world.session.store.get_plan(plan).state == "open"
        return error.exit_code
    check_truth(world, receipt)
    return receipt.exit_code


@pytest.mark.parametrize("verb", VERBS)
def test_a_dead_node_is_told_and_nothing_is_sent(verb: str, tmp_path: Path) -> None:
    from pveops.sim.membership import power_off_node

    world = world_of(verb, tmp_path)
    plan, consent = plan_of(world, verb)
    guest = guest_of(world, verb)
    power_off_node(world.cluster, world.cluster.nodes[guest.node])
    assert code_of(world, plan, consent) == 12


@pytest.mark.parametrize("verb", VERBS)
def test_a_revoked_token_is_told(verb: str, tmp_path: Path) -> None:
    world = world_of(verb, tmp_path)
    plan, consent = plan_of(world, verb)
    world.cluster.access.revoked.add(world.seed.token_id)
    assert code_of(world, plan, consent) == 6


@pytest.mark.parametrize("verb", ["start-vm", "start-ct", "resume-vm"])
def test_without_quorum_nothing_is_started(verb: str, tmp_path: Path) -> None:
    """`cluster not ready - no quorum?` (qemu-server, pve-container)."""
    from pveops.sim.membership import power_off_node

    world = world_of(verb, tmp_path)
    plan, consent = plan_of(world, verb)
    guest = guest_of(world, verb)
    for name, node in world.cluster.nodes.items():
        if name not in {guest.node, "pve1"} or (name == "pve1" and guest.node != "pve1"):
            power_off_node(world.cluster, node)
    world = join_world(tmp_path, world.seed, node=guest.node)
    receipt = apply_plan(world.session, plan, consent)
    if verb != "resume-vm":
        assert receipt.exit_code == 12, receipt
    check_truth(world, receipt)


def test_two_applies_of_one_plan_have_one_effect(tmp_path: Path) -> None:
    world = make_world(tmp_path)
    plan, consent = plan_of(world, "stop-vm")
    other = join_world(tmp_path, world.seed)
    apply_plan(world.session, plan, consent)
    with pytest.raises(PveopsError) as caught:
        apply_plan(other.session, plan, consent)
    assert caught.value.exit_code in {4, 9}
    assert len(world.effects()) == 1
    assert world.session.audit.verify().is_whole


class KilledError(BaseException):
    """The process is gone, as far as the test can tell."""


def kill_at(world: World, line: int, *, before: bool) -> None:
    """Let the process die right before or after the n-th line of the journal: every thread."""
    store = world.session.store
    write, lines = store.write_entry, itertools.count(1)

    def dying(*arguments: Any) -> None:
        number = next(lines)
        if number > line or (number == line and before):
            raise KilledError
        write(*arguments)
        if number == line:
            raise KilledError

    store.write_entry = dying  # type: ignore[method-assign]


@pytest.mark.parametrize("before", [True, False], ids=["before", "after"])
@pytest.mark.parametrize(("verb", "line"), KILLED_AT)
def test_a_killed_run_is_picked_up_without_a_second_effect(
    verb: str, before: bool, line: int, tmp_path: Path
) -> None:
    world = world_of(verb, tmp_path)
    plan, consent = plan_of(world, verb)
    kill_at(world, line, before=before)
    with pytest.raises(KilledError):
        apply_plan(world.session, plan, consent)
    heir = join_world(tmp_path, world.seed)
    run = heir.session.store.list_runs()[0]
    receipt = resume_run(heir.session, run.id)
    assert len(world.effects()) <= 1
    assert receipt.items[0].status in {"done", "not-executed"}, receipt
    check_truth(world, receipt)


@pytest.mark.parametrize("fault", ["lost-after", "hang-after"])
@pytest.mark.parametrize("line", [2, 3])
def test_a_run_killed_while_its_answer_is_lost_is_still_settled(
    fault: str, line: int, tmp_path: Path
) -> None:
    world = make_world(tmp_path)
    plan, consent = plan_of(world, "reboot-vm")
    world.cluster.faults.add(method="POST", path=CALL, **EXECUTED[fault])
    kill_at(world, line, before=True)
    with pytest.raises(KilledError):
        apply_plan(world.session, plan, consent)
    heir = join_world(tmp_path, world.seed)
    receipt = resume_run(heir.session, heir.session.store.list_runs()[0].id)
    assert receipt.status == "done", receipt
    check_truth(world, receipt)


def test_what_was_not_begun_is_not_begun_after_the_plan_expired(tmp_path: Path) -> None:
    world = make_world(tmp_path)
    plan, consent = plan_of(world, "stop-vm")
    kill_at(world, 1, before=True)
    with pytest.raises(KilledError):
        apply_plan(world.session, plan, consent)
    world.cluster.timeline.advance(4000)
    heir = join_world(tmp_path, world.seed)
    receipt = resume_run(heir.session, heir.session.store.list_runs()[0].id)
    assert (receipt.status, receipt.exit_code) == ("not-executed", 9)
    assert world.effects() == []


def test_a_guest_with_an_unknown_outcome_is_held_until_somebody_has_looked(tmp_path: Path) -> None:
    from pveops.engine.apply import close_run
    from pveops.errors import ConflictError
    from pveops.sim.membership import power_off_node, power_on_node

    world = make_world(tmp_path)
    plan, consent = plan_of(world, "stop-ct")
    world.cluster.faults.add("lost-after", method="POST", path=CALL)
    world.cluster.faults.add("refuse", path="/tasks", status=595, reason="No route", times=0)
    receipt = apply_plan(world.session, plan, consent)
    assert (receipt.status, receipt.exit_code) == ("unknown", 13)
    world.cluster.faults.clear()
    power_off_node(world.cluster, world.cluster.nodes["pve2"])
    power_on_node(world.cluster, world.cluster.nodes["pve2"])
    again, code = plan_of(world, "stop-ct")
    with pytest.raises(ConflictError):
        apply_plan(world.session, again, code)
    assert close_run(world.session, receipt.run) == 1
    assert apply_plan(world.session, again, code).status == "done"
