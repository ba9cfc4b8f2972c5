"""Restores (recorded in phase restores: `restore over existing with force`, `ct restore`)."""

from __future__ import annotations

from typing import Any

import pytest

from pveops.sim.backup import BackupJob
from pveops.sim.call import Call, Identity
from pveops.sim.guest import Guest, start_process
from pveops.sim.handlers.restores import start_vm_restore
from pveops.sim.model import Cluster, Node
from pveops.sim.refusal import ApiError
from pveops.sim.storage import Backing
from pveops.sim.tasks import start_task
from pveops.sim.timeline import Timeline
from pveops.sim.version import VERSIONS

_GIB = 1 << 30


@pytest.fixture
def node() -> Node:
    """A node with VM 100 and a backup of it."""
    cluster = Cluster(Timeline(1_800_000_000.0), VERSIONS["9.2"], None)
    node = cluster.nodes["pve1"] = Node(cluster, "pve1", "192.0.2.2", 1, VERSIONS["9.2"])
    cluster.storages.define("local", "dir", {"path": "/var/lib/vz", "content": "images,backup"})
    cluster.storages.backings["local", "pve1"] = Backing(100 * _GIB)
    disk = cluster.storages.allocate_disk(node, "local", 100, _GIB, "qcow2")
    config = {
        "name": "web01",
        "scsi0": f"{disk.volid},size=1G",
        "net0": "virtio=BC:24:11:00:00:01,bridge=vmbr0",
    }
    cluster.guests[100] = Guest(100, "qemu", "pve1", config)
    params = {"vmid": "100", "storage": "local", "compress": "zstd"}
    job = BackupJob(node, [100], [], params, frozenset({100}), [])
    start_task(node, "vzdump", 100, "root@pam", job.run)
    cluster.timeline.advance(60)
    return node


def _restore(node: Node, vmid: int, **params: Any) -> str:
    storages = node.cluster.storages
    volumes = storages.list_volumes(node, storages.get("local"))
    volid = next(volume.volid for volume in volumes if volume.content == "backup")
    given = {"vmid": vmid, "archive": volid, "node": node.name, **params}
    template = "/nodes/{node}/qemu"
    call = Call(node.cluster, node, node, "POST", template, given, Identity("root@pam"))
    upid = start_vm_restore(call)
    node.cluster.timeline.advance(60)
    return str(node.tasks[upid].exitstatus)


def test_a_restore_to_a_new_id_makes_the_guest_again(node: Node) -> None:
    assert _restore(node, 140) == "OK"
    restored = node.cluster.guests[140]
    assert restored.config["scsi0"] == "local:140/vm-140-disk-0.qcow2,size=1G"
    assert restored.config["name"] == "web01"
    assert restored.lock == ""


def test_only_a_unique_restore_has_new_addresses(node: Node) -> None:
    _restore(node, 140)
    _restore(node, 141, unique=1)
    original = node.cluster.guests[100].config["net0"]
    assert node.cluster.guests[140].config["net0"] == original
    assert node.cluster.guests[141].config["net0"] != original


def test_an_existing_guest_is_not_overwritten_without_force(node: Node) -> None:
    with pytest.raises(ApiError) as refused:
        _restore(node, 100)
    text = "unable to restore VM 100 - VM 100 already exists on node 'pve1'"
    assert refused.value.message == text


def test_a_running_guest_is_not_overwritten_at_all(node: Node) -> None:
    start_process(node.cluster, node, node.cluster.guests[100])
    with pytest.raises(ApiError, match="unable to restore VM 100 - vm is running"):
        _restore(node, 100, force=1)


def test_force_destroys_the_old_disks_first(node: Node) -> None:
    storages = node.cluster.storages
    node.cluster.guests[100].config["scsi1"] = storages.allocate_disk(
        node, "local", 100, _GIB, "raw"
    ).volid
    assert _restore(node, 100, force=1) == "OK"
    names = [v.name for v in storages.volumes_of_guest(node, 100)]
    assert names == ["100/vm-100-disk-0.qcow2"]


def test_a_failed_restore_over_a_guest_leaves_it_without_disks(node: Node) -> None:
    """qemu-server: the old disks are gone before the data is read."""
    storages = node.cluster.storages
    storages.define("full", "dir", {"path": "/mnt/full", "content": "images"})
    storages.backings["full", "pve1"] = Backing(1)
    status = _restore(node, 100, force=1, storage="full")
    assert "VM 100 state is NOT cleaned up." in status
    assert "scsi0" not in node.cluster.guests[100].config


def test_a_failed_restore_to_a_new_id_leaves_nothing(node: Node) -> None:
    storages = node.cluster.storages
    storages.define("full", "dir", {"path": "/mnt/full", "content": "images"})
    storages.backings["full", "pve1"] = Backing(1)
    _restore(node, 140, storage="full")
    assert 140 not in node.cluster.guests
