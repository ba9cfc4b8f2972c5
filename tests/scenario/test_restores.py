"""Restores, from an operator's words to the end state of the simulated cluster."""

from __future__ import annotations

from pathlib import Path

import pytest

from pveops.config.policy import Policy
from pveops.engine.apply import apply_plan, resume_run
from pveops.engine.approve import Consent
from pveops.engine.change import request_change
from pveops.engine.request import Ask
from pveops.errors import NotFoundError, PreflightError, UsageError
from pveops.operations.plan import Call, Scalar
from tests.fault.test_matrix import EXECUTED, NEVER_EXECUTED, KilledError, kill_at
from tests.scenario.test_configuration import agree, ask, guest_of, plan_of
from tests.world import World, join_world, make_world

RESTORE = {"method": "POST", "path": r"/(qemu|lxc)$"}


def newest_backup(world: World, vmid: int) -> str:
    volumes = [
        volume
        for backing in world.cluster.storages.backings.values()
        for volume in backing.volumes.values()
        if volume.content == "backup" and volume.vmid == vmid
    ]
    return max(volumes, key=lambda volume: volume.ctime).volid


def words_of(world: World, volid: str, **params: Scalar) -> list[str]:
    item = plan_of(ask(world, "backup.restore", volid, **params)).items[0]
    return [step.does for step in item.steps if isinstance(step, Call)]


def test_restore_from_last_night_makes_a_new_guest_that_meets_nobody(tmp_path: Path) -> None:
    world = make_world(tmp_path)
    old = guest_of(world, "web02")
    change = ask(world, "backup.restore", newest_backup(world, 102))
    plan = plan_of(change)
    assert plan.tier == 2
    assert plan.items[0].headline == "NEW, from the backup 7h old"
    told = {finding.code: finding.message for finding in plan.findings}
    assert "of web02 (102), 7h old" in told["restore.inside"]
    assert "memory 4096" in told["restore.inside"]
    receipt = agree(world, change)
    assert receipt.status == "done", receipt
    new = guest_of(world, "web02-restored")
    assert new.process is None
    assert str(new.config.get("onboot") or 0) == "0"
    assert "link_down=1" in str(new.config["net0"])
    mac = str(old.config["net0"]).split(",")[0].split("=")[1]
    assert mac not in str(new.config["net0"])
    assert new.config["smbios1"] != old.config["smbios1"]
    assert old.process is not None


def test_a_container_is_restored_to_where_its_root_was(tmp_path: Path) -> None:
    """Without a storage PVE would take `local`, which holds no containers."""
    world = make_world(tmp_path)
    change = ask(world, "backup.restore", newest_backup(world, 204), name="proxy2", start=True)
    receipt = agree(world, change)
    assert receipt.status == "done", receipt
    new = guest_of(world, "proxy2")
    assert str(new.config["rootfs"]).startswith("local-lvm:")
    assert "link_down=1" in str(new.config["net0"])
    assert new.process is not None


def test_connected_and_elsewhere_when_that_is_asked_for(tmp_path: Path) -> None:
    world = make_world(tmp_path)
    change = ask(world, "backup.restore", newest_backup(world, 103), connected=True, node="pve3")
    assert agree(world, change).status == "done"
    new = guest_of(world, "db01-restored")
    assert new.node == "pve3"
    assert "link_down" not in str(new.config["net0"])


def test_replacing_takes_a_code_and_a_fresh_backup_first(tmp_path: Path) -> None:
    world = make_world(tmp_path)
    assert agree(world, ask(world, "guest.shutdown", "web02")).status == "done"
    volid = newest_backup(world, 102)
    change = ask(world, "backup.restore", volid, replace=True)
    plan = plan_of(change)
    assert plan.tier == 3
    item = plan.items[0]
    assert "REPLACED by its backup" in item.headline
    assert "PVE destroys disks and snapshots" in item.losses[0]
    assert [step.does for step in item.steps if isinstance(step, Call)] == [
        "back up to backups",
        "destroy it and restore the backup in its place",
    ]
    receipt = agree(world, change)
    assert receipt.status == "done", receipt
    assert newest_backup(world, 102) != volid, "what it was before is kept"
    assert guest_of(world, "web02").vmid == 102


def test_a_running_or_protected_guest_is_not_replaced(tmp_path: Path) -> None:
    world = make_world(tmp_path)
    volid = newest_backup(world, 102)
    with pytest.raises(PreflightError, match="it runs"):
        ask(world, "backup.restore", volid, replace=True)
    assert agree(world, ask(world, "guest.shutdown", "web02")).status == "done"
    guest_of(world, "web02").config["protection"] = 1
    with pytest.raises(PreflightError, match="protected against removal"):
        ask(world, "backup.restore", volid, replace=True)


def test_a_backup_of_an_earlier_guest_replaces_nobody(tmp_path: Path) -> None:
    world = make_world(tmp_path)
    assert agree(world, ask(world, "guest.shutdown", "web02")).status == "done"
    now = int(world.cluster.timeline.now())
    guest_of(world, "web02").config["meta"] = f"creation-qemu=10.0.13,ctime={now}"
    with pytest.raises(PreflightError, match="of another guest that had this number"):
        ask(world, "backup.restore", newest_backup(world, 102), replace=True)
    assert agree(world, ask(world, "backup.restore", newest_backup(world, 102))).status == "done"


@pytest.mark.parametrize(
    ("params", "error", "text"),
    [
        ({"name": "web01"}, PreflightError, "called web01 already"),
        ({"name": "a b"}, UsageError, "is no name"),
        ({"pool": "nope"}, PreflightError, "there is no pool"),
        ({"storage": "fast"}, PreflightError, "no available storage"),
        ({"storage": "nope"}, NotFoundError, "there is no storage"),
        ({"storage": "fast", "node": "pve2"}, PreflightError, "free"),
        ({"live": True}, PreflightError, "only VMs from a Proxmox Backup Server"),
        ({"replace": True, "name": "x"}, UsageError, "is for a new guest"),
    ],
)
def test_what_cannot_be_is_refused(
    params: dict[str, Scalar], error: type[Exception], text: str, tmp_path: Path
) -> None:
    world = make_world(tmp_path)
    if params.get("storage") == "fast":
        world.cluster.storages.definitions["fast"].type = "lvm"
    with pytest.raises(error, match=text):
        ask(world, "backup.restore", newest_backup(world, 106), **params)
    assert world.writes() == []


def test_a_backup_that_is_not_there_is_not_found(tmp_path: Path) -> None:
    world = make_world(tmp_path)
    with pytest.raises(NotFoundError):
        ask(world, "backup.restore", "backups:backup/vzdump-qemu-102-2020_01_01-00_00_00.vma.zst")
    with pytest.raises(UsageError, match="no volume id"):
        ask(world, "backup.restore", "web02")


def plan_restore(world: World) -> tuple[str, Consent]:
    change = request_change(world.session, Ask("backup.restore", (newest_backup(world, 102),)))
    return change.plan_id, Consent("code", world.code)


@pytest.mark.parametrize("fault", EXECUTED)
def test_a_lost_answer_is_settled(fault: str, tmp_path: Path) -> None:
    world = make_world(tmp_path)
    plan, consent = plan_restore(world)
    world.cluster.faults.add(**RESTORE, **EXECUTED[fault])
    receipt = apply_plan(world.session, plan, consent)
    assert receipt.status == "done", receipt
    assert len(world.effects()) == 2


@pytest.mark.parametrize("fault", NEVER_EXECUTED)
def test_what_never_happened_is_told(fault: str, tmp_path: Path) -> None:
    world = make_world(tmp_path)
    plan, consent = plan_restore(world)
    world.cluster.faults.add(**RESTORE, **NEVER_EXECUTED[fault])
    item = apply_plan(world.session, plan, consent).items[0]
    assert item.status in {"not-executed", "unknown"}
    assert world.effects() == []


@pytest.mark.parametrize("before", [True, False], ids=["before", "after"])
@pytest.mark.parametrize("line", range(1, 7))
@pytest.mark.parametrize("replaces", [True, False], ids=["replace", "new"])
def test_a_killed_restore_is_picked_up(
    replaces: bool, line: int, before: bool, tmp_path: Path
) -> None:
    world = make_world(tmp_path)
    if replaces:
        assert agree(world, ask(world, "guest.shutdown", "web02")).status == "done"
        world.cluster.journal.clear()
    change = ask(world, "backup.restore", newest_backup(world, 102), replace=replaces)
    kill_at(world, line, before=before)
    with pytest.raises(KilledError):
        apply_plan(world.session, change.plan_id, Consent("code", world.code))
    heir = join_world(tmp_path, world.seed)
    receipt = resume_run(heir.session, heir.session.store.list_runs()[0].id)
    assert receipt.items[0].status in {"done", "not-executed", "failed"}, receipt
    paths = [entry["path"] for entry in world.effects()]
    assert len(paths) == len(set(paths))


def test_a_restore_that_fails_over_a_guest_says_what_is_left(tmp_path: Path) -> None:
    world = make_world(tmp_path)
    assert agree(world, ask(world, "guest.shutdown", "web02")).status == "done"
    change = ask(world, "backup.restore", newest_backup(world, 102), replace=True)
    world.cluster.faults.add("task-error", **RESTORE, reason="no space left on device")
    receipt = agree(world, change)
    assert receipt.status == "failed"
    assert "done before that: back up to backups" in receipt.items[0].message


def test_a_policy_decides_where_new_guests_are_tier_1_but_restores_stay_tier_2(
    tmp_path: Path,
) -> None:
    world = make_world(tmp_path, policy=Policy(create_pools=("sandbox",)))
    change = ask(world, "backup.restore", newest_backup(world, 102), pool="sandbox")
    assert plan_of(change).tier == 2
