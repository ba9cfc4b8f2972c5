"""Root file systems and mount points of containers: made by size, or taken as they are.

(pve-container LXC.pm create_disks, alloc_disk)
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from pveops.sim.guest_volumes import GuestVolume, format_volume, size_text
from pveops.sim.refusal import die, parameter_error
from pveops.sim.tasks import TaskError

if TYPE_CHECKING:
    from pveops.sim.model import Node
    from pveops.sim.storage import Storage
    from pveops.sim.volume import Volume

_NEW = re.compile(r"(?:(?P<storage>[^:/\s]+):)?(?P<size>\d+(?:\.\d+)?)")
DEFAULT_SIZE_GIB = 4
_SUBVOLUMES = ("zfspool", "btrfs")


def new_volume(volume: GuestVolume, default_storage: str) -> tuple[str, int] | None:
    """(storage, size in bytes) of a volume that is to be made; None for one that exists."""
    match = _NEW.fullmatch(volume.volid)
    if match is None:
        return None
    return match["storage"] or default_storage, int(float(match["size"]) * (1 << 30))


def check_storage(node: Node, name: str) -> Storage:
    """The storage, if containers may lie on it; 400 otherwise."""
    storage = node.cluster.storages.get_usable(name, node)
    if "rootdir" not in storage.content:
        text = f"storage '{name}' does not support container directories"
        raise parameter_error({"storage": text})
    return storage


def create_volume(
    node: Node, vmid: int, volume: GuestVolume, default_storage: str
) -> tuple[str, Volume | None]:
    """The line as it is stored, and the volume if one was made."""
    fresh = new_volume(volume, default_storage)
    if fresh is None:
        return _attach(node, volume), None
    name, size = fresh
    storage = node.cluster.storages.get_usable(name, node)
    if "rootdir" not in storage.content:
        raise TaskError(f"storage '{name}' does not support container directories")
    made = node.cluster.storages.allocate_disk(node, name, vmid, size, _format_for(storage, size))
    options = {**volume.options, "size": size_text(size)}
    return format_volume(GuestVolume(volume.key, made.volid, options)), made


def _format_for(storage: Storage, size_bytes: int) -> str:
    """Directories without a quota take a size of 0, and a folder; ZFS has file systems."""
    if storage.type in _SUBVOLUMES or ("subvol" in storage.formats and size_bytes == 0):
        return "subvol"
    return "raw"


def _attach(node: Node, volume: GuestVolume) -> str:
    if not volume.is_on_storage:
        return format_volume(volume)
    stored = node.cluster.storages.get_volume(node, volume.volid)
    options = {**volume.options, "size": size_text(stored.size_bytes)}
    return format_volume(GuestVolume(volume.key, stored.volid, options))


def get_mount(volumes: dict[str, GuestVolume], key: str) -> GuestVolume:
    """A mount point on a storage; dies when there is none."""
    if key not in volumes or not volumes[key].is_on_storage:
        raise die(f"no {key} disk" if key in volumes else f"disk '{key}' does not exist")
    return volumes[key]
