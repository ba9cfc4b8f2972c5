"""The volumes that a guest's configuration names: drives of a VM, mount points of a container."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from pveops.sim.property_string import format_properties, parse_properties

if TYPE_CHECKING:
    from pveops.sim.guest import Guest, Kind
    from pveops.sim.storage import Storages

_DRIVE = re.compile(r"(?:ide|sata|scsi|virtio|efidisk|tpmstate)\d+")
_MOUNT = re.compile(r"rootfs|mp\d+")
_UNUSED = re.compile(r"unused\d+")
_HIGHEST_UNUSED = 255


class GuestVolume(NamedTuple):
    """One volume of a configuration."""

    key: str
    volid: str
    """`STORAGE:NAME`, or a path, or `none`."""
    options: dict[str, str]
    """The other parts of the line."""

    @property
    def is_cdrom(self) -> bool:
        """A CD drive, the one of cloud-init among them."""
        return self.options.get("media") == "cdrom"

    @property
    def is_on_storage(self) -> bool:
        """Neither a path nor an empty drive."""
        return ":" in self.volid and not self.volid.startswith("/")


def is_volume_key(kind: Kind, key: str) -> bool:
    """Whether a key names a drive or a mount point."""
    return (_DRIVE if kind == "qemu" else _MOUNT).fullmatch(key) is not None


def is_unused_key(key: str) -> bool:
    """`unused0` and the like: a volume that was detached."""
    return _UNUSED.fullmatch(key) is not None


def parse_volume(kind: Kind, key: str, text: str) -> GuestVolume:
    """Take a line apart."""
    default = "file" if kind == "qemu" else "volume"
    options = parse_properties(text, default)
    volid = options.pop(default, "")
    return GuestVolume(key, volid, options)


def format_volume(volume: GuestVolume) -> str:
    """The line again."""
    return format_properties({"volume": volume.volid, **volume.options}, "volume")


def list_volumes(
    kind: Kind, config: Mapping[str, Any], *, with_unused: bool = False
) -> list[GuestVolume]:
    """All volumes of a configuration in the order of their keys, `rootfs` first."""
    keys = [
        key for key in config if is_volume_key(kind, key) or (with_unused and is_unused_key(key))
    ]
    keys.sort(key=lambda key: (key != "rootfs", is_unused_key(key), _ordinal(key)))
    return [parse_volume(kind, key, str(config[key])) for key in keys]


def _ordinal(key: str) -> tuple[str, int]:
    slot = key.rstrip("0123456789")
    return slot, int(key[len(slot) :] or 0)


def all_volids(guest: Guest) -> list[str]:
    """Every volume on a storage that the guest has to do with: now, pending, in snapshots."""
    found: dict[str, None] = {}
    for config in (guest.config, guest.pending, *guest.snapshots.values()):
        for volume in list_volumes(guest.kind, config, with_unused=True):
            if volume.is_on_storage:
                found[volume.volid] = None
        if config.get("vmstate"):
            found[str(config["vmstate"])] = None
    return list(found)


def is_owned(storages: Storages, guest: Guest, volid: str) -> bool:
    """Whether a volume carries the guest's id, so that it goes with the guest."""
    storage, name = storages.resolve(volid)
    parsed = storages.parse(storage, name)
    return (
        parsed is not None
        and parsed.content in ("images", "rootdir")
        and parsed.vmid == guest.vmid
    )


def is_in_use(guest: Guest, volid: str, *, config: Mapping[str, Any] | None = None) -> bool:
    """Whether the configuration or a snapshot names the volume (is_volume_in_use)."""
    present = guest.config if config is None else config
    for candidate in (present, guest.pending, *guest.snapshots.values()):
        if candidate.get("vmstate") == volid:
            return True
        if any(volume.volid == volid for volume in list_volumes(guest.kind, candidate)):
            return True
    return False


def add_unused(config: dict[str, Any], volid: str) -> str:
    """Note a detached volume under the lowest free `unusedN` (add_unused_volume); its key."""
    for key, value in config.items():
        if is_unused_key(key) and value == volid:
            return key
    for number in range(_HIGHEST_UNUSED + 1):
        key = f"unused{number}"
        if key not in config:
            config[key] = volid
            return key
    return ""


def size_text(size_bytes: int) -> str:
    """`32G`, `1536M`: the largest unit that divides the size (JSONSchema.pm format_size)."""
    kib, rest = divmod(size_bytes, 1024)
    if rest:
        return str(size_bytes)
    mib, rest = divmod(kib, 1024)
    if rest:
        return f"{kib}K"
    gib, rest = divmod(mib, 1024)
    if rest:
        return f"{mib}M"
    tib, rest = divmod(gib, 1024)
    return f"{gib}G" if rest else f"{tib}T"
