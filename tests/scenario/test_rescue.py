"""Guests in trouble: what is told, how it is proved, and what is left to a person."""

from __future__ import annotations

from pathlib import Path

from pveops.domain.facts import Scene
from pveops.domain.guest_doctor import DoctorFacts, read_doctor_facts
from pveops.domain.inventory import read_inventory
from pveops.domain.selection import resolve_guest
from pveops.operations.findings import Finding
from pveops.operations.guest_doctor import examine
from pveops.sim.tasks import start_task
from tests.scenario.test_configuration import guest_of
from tests.world import World, make_world


def facts_about(world: World, name: str) -> DoctorFacts:
    reader = world.session.reader
    inventory = read_inventory(reader)
    scene = Scene(inventory, True, (name,), {}, reader.server_time())
    return read_doctor_facts(reader, resolve_guest(inventory, name), scene)


def examined(world: World, name: str) -> dict[str, Finding]:
    """The findings about a guest by their code; nothing was written to find them."""
    findings = examine(facts_about(world, name))
    assert world.writes() == []
    return {finding.code: finding for finding in findings}


def test_a_healthy_guest_has_nothing(tmp_path: Path) -> None:
    assert examined(make_world(tmp_path), "web02") == {}


def test_vm_is_locked_unlock_it_a_stale_lock_is_proved_and_left_to_root(tmp_path: Path) -> None:
    """`gitlab`: the backup of last night failed and left its lock behind."""
    found = examined(make_world(tmp_path), "gitlab")["lock.stale"]
    assert "locked (backup)" in found.message
    assert "no task about it runs" in found.evidence
    assert "the last vzdump ended 7h ago: job errors" in found.evidence
    assert found.remedy.startswith("on pve2, as root: `qm monitor 105`")
    assert "qm unlock 105" in found.remedy


def test_a_lock_with_its_task_at_work_is_held(tmp_path: Path) -> None:
    world = make_world(tmp_path)
    writer = world.session.make_writer()
    params = {"vmid": 102, "storage": "backups", "mode": "snapshot", "remove": False}
    upid = str(writer.write("POST", "/nodes/pve1/vzdump", params))
    world.cluster.timeline.advance(5)
    world.cluster.journal.clear()
    assert guest_of(world, "web02").config["lock"] == "backup"
    found = examined(world, "web02")
    assert "lock.stale" not in found
    assert found["lock.held"].evidence == upid
    assert found["lock.held"].remedy == f"wait for it: `pve task wait {upid}`"


def test_a_backup_of_many_guests_holds_the_lock_as_well(tmp_path: Path) -> None:
    """Its task names no guest (API2/VZDump.pm)."""
    world = make_world(tmp_path)
    node = world.cluster.nodes["pve2"]

    def body(_task: object) -> object:
        yield 3600.0

    start_task(node, "vzdump", "", "root@pam", body)  # type: ignore[arg-type]
    assert "lock.held" in examined(world, "gitlab")


def test_who_sees_only_its_own_tasks_proves_nothing(tmp_path: Path) -> None:
    world = make_world(tmp_path)
    role = world.cluster.access.roles
    role["AgentOperate"] = role["AgentOperate"] - {"Sys.Audit"}
    found = examined(world, "gitlab")
    assert "lock.stale" not in found
    assert "Sys.Audit" in found["lock.unproved"].evidence
    assert "unlock" not in found["lock.unproved"].remedy


def test_io_error_names_the_full_storage(tmp_path: Path) -> None:
    found = examined(make_world(tmp_path), "mail01")["guest.io-error"]
    assert "fast is full" in found.remedy
    assert "pve guest resume 120" in found.remedy


def test_paused_pending_and_not_running_are_told(tmp_path: Path) -> None:
    world = make_world(tmp_path)
    assert examined(world, "batch")["guest.paused"].remedy == "pve guest resume 132"
    assert "memory" in examined(world, "reports")["config.pending"].message
    assert examined(world, "dns02")["guest.should-run"].remedy == "pve guest start 202"


def test_orphaned_and_unused_disks_are_named(tmp_path: Path) -> None:
    world = make_world(tmp_path)
    node = world.cluster.nodes["pve1"]
    unused = world.cluster.storages.allocate_disk(node, "local-lvm", 102, 1 << 30)
    orphan = world.cluster.storages.allocate_disk(node, "local-lvm", 102, 2 << 30)
    guest_of(world, "web02").config["unused0"] = unused.volid
    found = examined(world, "web02")
    assert unused.volid in found["disk.unused"].message
    assert orphan.volid in found["disk.orphan"].message
    assert "rescan" in found["disk.orphan"].remedy


def test_a_copy_that_a_migration_left_on_another_node_is_found(tmp_path: Path) -> None:
    world = make_world(tmp_path)
    world.cluster.storages.allocate_disk(world.cluster.nodes["pve3"], "local-lvm", 102, 1 << 30)
    found = examined(world, "web02")["disk.orphan"]
    assert "on pve3" in found.message


def test_what_a_snapshot_names_is_no_orphan(tmp_path: Path) -> None:
    world = make_world(tmp_path)
    node = world.cluster.nodes["pve1"]
    volume = world.cluster.storages.allocate_disk(node, "local-lvm", 102, 1 << 30)
    guest = guest_of(world, "web02")
    guest.snapshots["old"] = {**guest.config, "scsi1": volume.volid, "snaptime": 1_795_000_000}
    assert "disk.orphan" not in examined(world, "web02")


def test_a_disk_that_is_gone_and_a_storage_that_is_down_are_problems(tmp_path: Path) -> None:
    world = make_world(tmp_path)
    guest_of(world, "web02").config["scsi1"] = "local-lvm:vm-102-disk-9,size=4G"
    assert "vm-102-disk-9" in examined(world, "web02")["disk.missing"].message
    guest_of(world, "web02").config["scsi1"] = "gone:vm-102-disk-9,size=4G"
    found = examined(world, "web02")
    assert "gone, which is not available" in found["storage.down"].message


def test_a_half_snapshot_and_a_half_clone(tmp_path: Path) -> None:
    world = make_world(tmp_path)
    guest = guest_of(world, "web02")
    guest.snapshots["half"] = {
        **guest.config,
        "snaptime": 1_795_000_000,
        "snapstate": "delete",
    }
    assert examined(world, "web02")["snapshot.half"].remedy == "pve snapshot delete 102 half"
    guest_of(world, "sandbox").config["lock"] = "create"
    found = examined(world, "sandbox")["lock.stale"]
    assert "pct unlock 210" in found.remedy
    assert "never finished" in found.remedy


def test_a_hibernated_guest_is_not_stuck(tmp_path: Path) -> None:
    world = make_world(tmp_path)
    guest_of(world, "windows-lab").config["lock"] = "suspended"
    found = examined(world, "windows-lab")
    assert found["guest.state-lock"].remedy == "pve guest start 901"
    assert "lock.stale" not in found


def test_a_silent_agent_is_told(tmp_path: Path) -> None:
    found = examined(make_world(tmp_path), "legacy-erp")
    assert "does not answer" in found["agent.silent"].message


def test_what_cannot_be_seen_is_unknown(tmp_path: Path) -> None:
    world = make_world(tmp_path)
    role = world.cluster.access.roles
    role["AgentOperate"] = role["AgentOperate"] - {"VM.Config.Disk"}
    found = examined(world, "web02")["doctor.unseen"]
    assert "VM.Config.Disk" in found.message
