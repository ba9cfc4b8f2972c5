"""Goals about a guest's disks: as large as wanted, on the storage, in the slot."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pveops.domain.disk import Disk, list_disks
from pveops.domain.guest import read_guest_config, read_guest_state
from pveops.engine.goals.place import ref_of
from pveops.engine.goals.sight import Look, Sight, Sought
from pveops.units import format_size

if TYPE_CHECKING:
    from pveops.api.client import Client


def _find(client: Client, sought: Sought) -> Disk | None:
    ref = ref_of(sought.target)
    slot = sought.expect["disk"]
    disks = list_disks(ref.kind, read_guest_config(client, ref))
    return next((disk for disk in disks if disk.slot == slot), None)


def _look_at_size(client: Client, sought: Sought) -> Sight:
    """`expect`: `disk` and `size_bytes`; reached when the disk has at least that."""
    disk, slot = _find(client, sought), sought.expect["disk"]
    if disk is None or disk.size_bytes is None:
        return Sight(False, f"without a known size of {slot}", {"disk": slot, "size": None})
    size = format_size(disk.size_bytes)
    is_reached = disk.size_bytes >= int(sought.expect["size_bytes"] or 0)
    return Sight(is_reached, f"with {slot} of {size}", {"disk": slot, "size": size})


def _look_at_storage(client: Client, sought: Sought) -> Sight:
    """`expect`: `disk` and `storage`; reached when the volume lies there and no lock is left."""
    disk, slot = _find(client, sought), sought.expect["disk"]
    if disk is None:
        return Sight(False, f"without {slot}", {"disk": slot, "volume": None})
    lock = read_guest_state(client, ref_of(sought.target)).lock
    is_there = disk.storage == sought.expect["storage"]
    word = f"locked ({lock})" if lock else f"with {slot} on {disk.storage}"
    return Sight(is_there and not lock, word, {"disk": slot, "volume": disk.volid})


def _look_at_volume(client: Client, sought: Sought) -> Sight:
    """`expect`: `disk` and `volume`; reached when the slot holds that volume."""
    disk, slot = _find(client, sought), sought.expect["disk"]
    volid = disk.volid if disk else None
    is_reached = volid == sought.expect["volume"]
    word = f"with {volid} as {slot}" if volid else f"without {slot}"
    return Sight(is_reached, word, {"disk": slot, "volume": volid})


GOALS: dict[str, Look] = {
    "disk.size": _look_at_size,
    "disk.on-storage": _look_at_storage,
    "disk.volume": _look_at_volume,
}
