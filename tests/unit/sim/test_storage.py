"""Storages and volumes of the simulated cluster."""

from __future__ import annotations

import pytest

from pveops.sim.model import Cluster, Node
from pveops.sim.refusal import ApiError
from pveops.sim.storage import Backing
from pveops.sim.timeline import Timeline
from pveops.sim.version import VERSIONS
from pveops.sim.volume import parse_name

_GIB = 1 << 30


@pytest.fixture
def node() -> Node:
    """A node with one storage of each kind."""
    cluster = Cluster(Timeline(1_800_000_000.0), VERSIONS["9.2"], None)
    node = Node(cluster, "pve1", "192.0.2.2", 1, VERSIONS["9.2"])
    other = Node(cluster, "pve2", "192.0.2.3", 2, VERSIONS["9.2"])
    cluster.nodes.update(pve1=node, pve2=other)
    storages = cluster.storages
    storages.define("local", "dir", {"path": "/var/lib/vz", "content": "images,iso,backup"})
    storages.define("thin", "lvmthin", {"vgname": "pve", "thinpool": "data", "content": "images"})
    storages.define("tank", "zfspool", {"pool": "tank", "content": "images,rootdir"})
    storages.define("share", "nfs", {"server": "nas", "export": "/x", "content": "images"})
    for name in ("local", "thin", "tank", "share"):
        storages.backings[name, "" if name == "share" else "pve1"] = Backing(100 * _GIB)
    return node


@pytest.mark.parametrize(
    ("storage", "format_", "volid"),
    [
        ("local", "qcow2", "local:100/vm-100-disk-0.qcow2"),
        ("local", "raw", "local:100/vm-100-disk-0.raw"),
        ("thin", None, "thin:vm-100-disk-0"),
        ("tank", "subvol", "tank:subvol-100-disk-0"),
        ("share", "qcow2", "share:100/vm-100-disk-0.qcow2"),
    ],
)
def test_a_new_disk_is_named_as_its_type_of_storage_does(
    node: Node, storage: str, format_: str | None, volid: str
) -> None:
    """Names as in pve-storage's plugins and in the recorded exchanges."""
    volume = node.cluster.storages.allocate_disk(node, storage, 100, _GIB, format_)
    assert volume.volid == volid
    assert parse_name(node.cluster.storages.get(storage).type, volume.name) is not None


def test_the_next_disk_takes_the_lowest_free_number(node: Node) -> None:
    storages = node.cluster.storages
    names = [storages.allocate_disk(node, "thin", 100, _GIB).name for _ in range(3)]
    assert names == ["vm-100-disk-0", "vm-100-disk-1", "vm-100-disk-2"]
    storages.free(node, "thin:vm-100-disk-1")
    assert storages.allocate_disk(node, "thin", 100, _GIB).name == "vm-100-disk-1"


def test_a_volume_on_a_shared_storage_is_seen_by_every_node(node: Node) -> None:
    storages, other = node.cluster.storages, node.cluster.nodes["pve2"]
    shared = storages.allocate_disk(node, "share", 100, _GIB)
    local = storages.allocate_disk(node, "local", 100, _GIB)
    assert storages.find_volume(other, shared.volid) is shared
    assert storages.find_volume(other, local.volid) is None


def test_a_disk_that_exists_is_not_made_again(node: Node) -> None:
    """Plugin.pm alloc_image."""
    storages = node.cluster.storages
    storages.allocate_disk(node, "local", 100, _GIB, file="vm-100-disk-9.raw")
    with pytest.raises(ApiError) as refused:
        storages.allocate_disk(node, "local", 100, _GIB, file="vm-100-disk-9.raw")
    path = "/var/lib/vz/images/100/vm-100-disk-9.raw"
    assert refused.value.message == f"disk image '{path}' already exists"


def test_a_protected_volume_is_not_deleted(node: Node) -> None:
    """Recorded: volume delete protected, vm 100 | task log."""
    storages = node.cluster.storages
    volume = storages.allocate_disk(node, "local", 100, _GIB)
    volume.is_protected = True
    with pytest.raises(ApiError) as refused:
        storages.free(node, volume.volid)
    text = "cannot remove protected volume '100/vm-100-disk-0.raw' on 'local'"
    assert refused.value.message == text


def test_the_disk_of_a_template_outlives_its_linked_clones(node: Node) -> None:
    storages = node.cluster.storages
    base = storages.convert_to_base(node, storages.allocate_disk(node, "local", 100, _GIB).volid)
    clone = storages.clone_base(node, base.volid, 120)
    assert clone.volid == "local:100/base-100-disk-0.raw/120/vm-120-disk-0.raw"
    with pytest.raises(ApiError, match="is still in use by linked clones"):
        storages.free(node, base.volid)
    storages.free(node, clone.volid)
    assert storages.free(node, base.volid)


def test_deleting_what_is_not_there_is_no_error(node: Node) -> None:
    """free_image only warns; recorded: volume delete again."""
    assert not node.cluster.storages.free(node, "local:100/vm-100-disk-7.raw")


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"disable": 1}, "storage 'local' is disabled"),
        ({"nodes": "pve2"}, "storage 'local' is not available on node 'pve1'"),
    ],
)
def test_a_storage_that_is_not_for_the_node_refuses(
    node: Node, change: dict[str, object], text: str
) -> None:
    """PVE::Storage::storage_check_enabled."""
    node.cluster.storages.get("local").options.update(change)
    with pytest.raises(ApiError) as refused:
        node.cluster.storages.allocate_disk(node, "local", 100, _GIB)
    assert refused.value.message == text


def test_an_offline_storage_has_no_space_to_show(node: Node) -> None:
    storages = node.cluster.storages
    share = storages.get("share")
    assert storages.usage(share, node).total == 100 * _GIB
    storages.backing(share, node).is_online = False
    assert storages.usage(share, node) == (0, 0, 0)
    with pytest.raises(ApiError, match="storage 'share' is not online"):
        storages.get_active("share", node)


def test_a_full_storage_takes_no_disk(node: Node) -> None:
    storages = node.cluster.storages
    storages.backing(storages.get("local"), node).used_elsewhere_bytes = 100 * _GIB
    with pytest.raises(ApiError, match="No space left on device"):
        storages.allocate_disk(node, "local", 100, _GIB, "qcow2")


@pytest.mark.parametrize(
    ("type_", "name", "content", "vmid", "format_"),
    [
        ("dir", "iso/debian.iso", "iso", None, "iso"),
        ("dir", "vztmpl/alpine_3.20_amd64.tar.gz", "vztmpl", None, "tgz"),
        ("dir", "backup/vzdump-qemu-100-2026_01_31-02_00_00.vma.zst", "backup", 100, "vma.zst"),
        ("dir", "backup/vzdump-lxc-200-2026_01_31-02_00_00.tar.zst", "backup", 200, "tar.zst"),
        ("pbs", "backup/vm/100/2026-01-31T02:00:00Z", "backup", 100, "pbs-vm"),
        ("rbd", "base-9-disk-0/vm-100-disk-0", "images", 100, "raw"),
    ],
)
def test_a_name_tells_what_the_volume_is(
    type_: str, name: str, content: str, vmid: int | None, format_: str
) -> None:
    parsed = parse_name(type_, name)
    assert parsed is not None
    assert (parsed.content, parsed.vmid, parsed.format) == (content, vmid, format_)


@pytest.mark.parametrize(("type_", "name"), [("dir", "nosuch"), ("lvmthin", "nosuch")])
def test_what_is_no_name_is_not_taken_for_one(type_: str, name: str) -> None:
    assert parse_name(type_, name) is None
