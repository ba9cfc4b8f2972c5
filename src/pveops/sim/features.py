"""What volumes can do: snapshots, linked clones, templates, copies (volume_has_feature).

By type of storage, as the plugins of pve-storage list it (Plugin.pm, LvmThinPlugin.pm,
ZFSPoolPlugin.pm, RBDPlugin.pm, LVMPlugin.pm, BTRFSPlugin.pm).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from pveops.sim.guest_volumes import list_volumes
from pveops.sim.volume import FILE_TYPES

if TYPE_CHECKING:
    from pveops.sim.guest import Guest
    from pveops.sim.model import Node
    from pveops.sim.storage import Storage

_IMAGES = ("qcow2", "raw", "vmdk")
_FILES: dict[str, dict[str, tuple[str, ...]]] = {
    "snapshot": {"current": ("qcow2",), "snap": ("qcow2",)},
    "clone": {"base": _IMAGES},
    "template": {"current": (*_IMAGES, "subvol")},
    "copy": {"base": (*_IMAGES, "subvol"), "current": (*_IMAGES, "subvol"), "snap": ("qcow2",)},
}
_ANY = ("raw", "subvol")
_BLOCKS: dict[str, dict[str, tuple[str, ...]]] = {
    "lvmthin": {
        "snapshot": ("current",),
        "clone": ("base",),
        "template": ("current",),
        "copy": ("base", "current", "snap"),
    },
    "zfspool": {
        "snapshot": ("current", "snap"),
        "clone": ("base",),
        "template": ("current",),
        "copy": ("base", "current"),
    },
    "rbd": {
        "snapshot": ("current", "snap"),
        "clone": ("base", "snap"),
        "template": ("current",),
        "copy": ("base", "current", "snap"),
    },
    "btrfs": {
        "snapshot": ("current", "snap"),
        "clone": ("base", "current", "snap"),
        "template": ("current",),
        "copy": ("base", "current", "snap"),
    },
    "lvm": {"copy": ("base", "current")},
}


def volume_has_feature(storage: Storage, name: str, feature: str, snapname: str = "") -> bool:
    """Whether a volume can do something; with `snapname`, whether its snapshot can."""
    file = name.rpartition("/")[2]
    is_base = file.startswith(("base-", "basevol-"))
    what = "snap" if snapname else "base" if is_base else "current"
    if storage.type in FILE_TYPES - {"btrfs"}:
        format_ = file.rpartition(".")[2]
        return format_ in _FILES.get(feature, {}).get(what, ())
    return what in _BLOCKS.get(storage.type, {}).get(feature, ())


def has_feature(
    node: Node,
    guest: Guest,
    feature: str,
    config: Mapping[str, Any] | None = None,
    snapname: str = "",
) -> bool:
    """Whether every volume of a guest can do something; CD drives do not count."""
    for volume in list_volumes(guest.kind, guest.config if config is None else config):
        if volume.is_cdrom:
            continue
        if not volume.is_on_storage:
            return False
        storage, name = node.cluster.storages.resolve(volume.volid)
        if not volume_has_feature(storage, name, feature, snapname):
            return False
    return True


def feature_nodes(node: Node, guest: Guest) -> list[str]:
    """The nodes that reach all storages of a guest (shared_nodes)."""
    cluster = node.cluster
    names = list(cluster.nodes)
    for volume in list_volumes(guest.kind, guest.config):
        if not volume.is_on_storage:
            continue
        storage = cluster.storages.get(volume.volid.partition(":")[0])
        if storage.is_shared:
            names = [name for name in names if storage.is_for(name)]
        else:
            names = [name for name in names if name == node.name]
    return names
