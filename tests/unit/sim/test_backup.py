"""Backups on the simulated cluster. Log lines as recorded (phases backups and restores)."""

from __future__ import annotations

from collections.abc import Generator

import pytest

from pveops.sim import ha
from pveops.sim.archive import get_archive, restore_vm_disks
from pveops.sim.backup import BackupJob, command_line
from pveops.sim.guest import Guest, start_process
from pveops.sim.model import Cluster, Node
from pveops.sim.storage import Backing
from pveops.sim.tasks import Task, start_task
from pveops.sim.timeline import Timeline
from pveops.sim.version import VERSIONS
from pveops.sim.volume import Volume

_GIB = 1 << 30


@pytest.fixture
def node() -> Node:
    """A node with VM 100 (one disk) on `local`."""
    cluster = Cluster(Timeline(1_800_000_000.0), VERSIONS["9.2"], None)
    node = cluster.nodes["pve1"] = Node(cluster, "pve1", "192.0.2.2", 1, VERSIONS["9.2"])
    cluster.storages.define("local", "dir", {"path": "/var/lib/vz", "content": "images,backup"})
    cluster.storages.backings["local", "pve1"] = Backing(100 * _GIB)
    disk = cluster.storages.allocate_disk(node, "local", 100, _GIB, "qcow2")
    cluster.guests[100] = Guest(
        100, "qemu", "pve1", {"name": "web01", "scsi0": f"{disk.volid},size=1G", "memory": "512"}
    )
    return node


def _run(node: Node, vmid: int = 100, **params: object) -> Task:
    given = {"vmid": str(vmid), "storage": "local", "compress": "zstd", **params}
    job = BackupJob(node, [vmid], [], given, frozenset({vmid}), [])
    return start_task(node, "vzdump", vmid, "root@pam", job.run)


def test_a_backup_of_a_stopped_vm_starts_and_stops_kvm(node: Node) -> None:
    task = _run(node)
    node.cluster.timeline.advance(60)
    assert task.exitstatus == "OK"
    for line in (
        "INFO: Starting Backup of VM 100 (qemu)",
        "INFO: status = stopped",
        "INFO: backup mode: stop",
        "INFO: include disk 'scsi0' 'local:100/vm-100-disk-0.qcow2' 1G",
        "INFO: starting kvm to execute backup task",
        "INFO: stopping kvm after backup task",
        "INFO: Backup job finished successfully",
    ):
        assert line in task.log_lines


def test_the_guest_is_locked_as_long_as_its_backup_runs(node: Node) -> None:
    _run(node)
    assert node.cluster.guests[100].lock == "backup"
    node.cluster.timeline.advance(60)
    assert node.cluster.guests[100].lock == ""


def test_a_node_makes_one_backup_at_a_time(node: Node) -> None:
    """VZDump.pm getlock, with its words."""
    first, second = _run(node), _run(node)
    assert second.log_lines[-1] == "INFO: trying to get global lock - waiting..."
    node.cluster.timeline.advance(60)
    assert (first.exitstatus, second.exitstatus) == ("OK", "OK")
    assert second.log_lines[1] == "INFO: got global lock"


def test_who_waits_for_too_long_leaves_without_a_last_word(node: Node) -> None:
    """API2/VZDump.pm ends the worker with exit(-1)."""
    first, second = _run(node), _run(node, lockwait=0)
    node.cluster.timeline.advance(60)
    assert (first.exitstatus, second.exitstatus) == ("OK", "unexpected status")


def test_a_run_that_was_killed_holds_nobody_up(node: Node) -> None:
    _run(node).abort()
    second = _run(node)
    node.cluster.timeline.advance(60)
    assert second.exitstatus == "OK"


def test_stop_mode_shuts_a_vm_down_and_lets_it_run_again(node: Node) -> None:
    guest = node.cluster.guests[100]
    start_process(node.cluster, node, guest)
    before = guest.process
    task = _run(node, mode="stop")
    node.cluster.timeline.advance(120)
    assert task.exitstatus == "OK"
    assert "INFO: stopping virtual guest" in task.log_lines
    assert guest.is_running
    assert guest.process is not before


def test_a_vm_runs_again_after_an_aborted_backup_in_stop_mode(node: Node) -> None:
    guest = node.cluster.guests[100]
    start_process(node.cluster, node, guest)
    task = _run(node, mode="stop")
    node.cluster.timeline.advance(guest.temper.shutdown_s or 0)
    task.abort()
    assert guest.is_running
    assert guest.lock == ""


def test_a_vm_that_does_not_go_down_is_not_backed_up_in_stop_mode(node: Node) -> None:
    guest = node.cluster.guests[100]
    guest.temper.shutdown_s = None
    start_process(node.cluster, node, guest)
    task = _run(node, mode="stop")
    node.cluster.timeline.advance(3600)
    assert task.exitstatus == "job errors"
    assert guest.is_running


def test_stop_mode_is_refused_for_what_ha_keeps_running(node: Node) -> None:
    """pve-manager VZDump.pm."""
    ha.add_resource(node.cluster, ha.Resource("vm:100", "started"))
    task = _run(node, mode="stop")
    node.cluster.timeline.advance(1)
    assert any("stop mode on a HA managed" in line for line in task.log_lines)


def test_a_locked_guest_is_not_backed_up_and_keeps_its_lock(node: Node) -> None:
    node.cluster.guests[100].config["lock"] = "migrate"
    task = _run(node)
    node.cluster.timeline.advance(60)
    assert task.exitstatus == "job errors"
    assert "ERROR: Backup of VM 100 failed - VM is locked (migrate)" in task.log_lines
    assert node.cluster.guests[100].lock == "migrate"


def test_an_aborted_backup_leaves_neither_lock_nor_archive(node: Node) -> None:
    task = _run(node)
    task.abort()
    storages = node.cluster.storages
    names = [v.content for v in storages.list_volumes(node, storages.get("local"))]
    assert names == ["images"]
    assert task.exitstatus == "interrupted by signal"
    assert node.cluster.guests[100].lock == ""


def test_an_unknown_guest_fails_visibly(node: Node) -> None:
    task = _run(node, 999)
    node.cluster.timeline.advance(60)
    assert "ERROR: Backup of VM 999 failed - unable to find VM '999'" in task.log_lines


def test_notes_are_made_from_their_template(node: Node) -> None:
    _run(node, **{"notes-template": "{{guestname}} on {{node}}"})
    node.cluster.timeline.advance(60)
    assert _newest(node).notes == "web01 on pve1"


def test_a_backup_prunes_by_the_retention_of_its_storage(node: Node) -> None:
    node.cluster.storages.get("local").options["prune-backups"] = "keep-last=2"
    for _ in range(3):
        _run(node)
        node.cluster.timeline.advance(60)
    assert len(_backups(node)) == 2


def test_without_remove_a_full_retention_refuses(node: Node) -> None:
    node.cluster.storages.get("local").options["prune-backups"] = "keep-last=1"
    _run(node, remove=0)
    node.cluster.timeline.advance(60)
    task = _run(node, remove=0)
    node.cluster.timeline.advance(60)
    assert any("There is a max backup limit of 1 enforced" in line for line in task.log_lines)


def test_a_restored_disk_is_a_new_volume_of_the_same_size(node: Node) -> None:
    _run(node)
    node.cluster.timeline.advance(60)
    volid = _newest(node).volid
    lines: dict[str, str] = {}

    def body(task: Task) -> Generator[float, None, None]:
        lines.update((yield from restore_vm_disks(task, node, volid, 140, None)))

    task = start_task(node, "qmrestore", 140, "root@pam", body)
    node.cluster.timeline.advance(60)
    assert lines == {"scsi0": "local:140/vm-140-disk-0.qcow2,size=1G"}
    assert "new volume ID is 'local:140/vm-140-disk-0.qcow2'" in task.log_lines
    assert node.cluster.storages.get_volume(node, "local:140/vm-140-disk-0.qcow2")


def test_the_archive_shows_the_configuration_without_the_lock(node: Node) -> None:
    _run(node)
    node.cluster.timeline.advance(60)
    text = get_archive(node, _newest(node).volid).config_text()
    assert "lock:" not in text
    assert text.endswith("#qmdump#map:scsi0:drive-scsi0:local:qcow2:\n")


def test_the_command_is_quoted_for_a_shell() -> None:
    line = command_line({"vmid": "100,101", "notes-template": "{{guestname}}", "remove": 0})
    assert line == "vzdump 100 101 --notes-template '{{guestname}}' --remove 0"


def _backups(node: Node) -> list[Volume]:
    storages = node.cluster.storages
    volumes = storages.list_volumes(node, storages.get("local"))
    return [volume for volume in volumes if volume.content == "backup"]


def _newest(node: Node) -> Volume:
    return max(_backups(node), key=lambda volume: volume.ctime)
