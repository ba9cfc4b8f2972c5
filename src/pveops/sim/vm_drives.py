"""Drives of VMs: from what a request says to volumes and lines of the configuration.

(qemu-server API2/Qemu.pm create_disks, QemuServer.pm clone_disk, QemuServer/Drive.pm)
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from pveops.sim.guest_volumes import (
    GuestVolume,
    is_volume_key,
    list_volumes,
    parse_volume,
    size_text,
)
from pveops.sim.property_string import format_properties
from pveops.sim.refusal import die
from pveops.sim.volume import FILE_TYPES, Volume, announce_format

if TYPE_CHECKING:
    from pveops.sim.model import Node
    from pveops.sim.storage import Storage

_NEW_DISK = re.compile(r"(?:([^/:\s]+):)?(\d+(?:\.\d+)?)")
_CLOUDINIT = re.compile(r"(?:([^/:\s]+):)?cloudinit")
_CLOUDINIT_BYTES = 4 << 20
_EFI_BYTES = 540672
_TPM_BYTES = 4 << 20
_UNITS = {"K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40}

Log = Callable[..., None]
"""Takes any number of lines."""


def new_disk(volume: GuestVolume) -> tuple[str, float] | None:
    """Storage ("": the default one) and GiB of a disk that is to be made, or None."""
    match = _NEW_DISK.fullmatch(volume.volid)
    return (match[1] or "", float(match[2])) if match else None


def cloudinit_storage(volume: GuestVolume) -> str | None:
    """The storage of a cloud-init drive that is to be made, or None."""
    match = _CLOUDINIT.fullmatch(volume.volid)
    return (match[1] or "") if match else None


def is_cloudinit(volume: GuestVolume) -> bool:
    """Whether a drive is, or will be, the one of cloud-init."""
    return _CLOUDINIT.fullmatch(volume.volid) is not None or "-cloudinit" in volume.volid


def to_bytes(text: str) -> int:
    """`3G`, `512M`, `1.5T`, or bytes without a unit."""
    unit = _UNITS.get(text[-1:], 1)
    number = text[:-1] if unit > 1 else text
    return int(float(number) * unit)


def drives_in(values: Mapping[str, Any]) -> list[GuestVolume]:
    """The drives among given options, in the order of their keys."""
    return [
        parse_volume("qemu", key, str(values[key]))
        for key in sorted(values)
        if is_volume_key("qemu", key)
    ]


def format_drive(volume: GuestVolume) -> str:
    """The line of a drive: the volume first, then its options by name (print_drive)."""
    options = {k: v for k, v in sorted(volume.options.items()) if k not in ("format", "file")}
    return format_properties({"file": volume.volid, **options}, "file")


def create_drive(
    log: Log, node: Node, vmid: int, drive: GuestVolume, default_storage: str | None = None
) -> tuple[str, Volume | None]:
    """Make what a drive asks for: its line, and the new volume if one was made."""
    storage = cloudinit_storage(drive)
    if storage is not None:
        return _create_cloudinit(log, node, vmid, drive, storage or default_storage)
    if "import-from" in drive.options:
        return _import(log, node, vmid, drive, default_storage)
    fresh = new_disk(drive)
    if fresh is not None and not drive.is_cdrom:
        return _create_empty(log, node, vmid, drive, fresh[0] or default_storage, fresh[1])
    return _attach(node, drive), None


def _required(storage: str | None) -> str:
    if not storage:
        raise die("no storage ID specified (and no default storage)")
    return storage


def _create_cloudinit(
    log: Log, node: Node, vmid: int, drive: GuestVolume, storage: str | None
) -> tuple[str, Volume]:
    target = node.cluster.storages.get_usable(_required(storage), node)
    is_file = target.type in FILE_TYPES
    format_ = drive.options.get("format") or ("qcow2" if is_file else "raw")
    volume = node.cluster.storages.allocate_disk(
        node, target.name, vmid, _CLOUDINIT_BYTES, format_, label="cloudinit"
    )
    line = format_drive(GuestVolume(drive.key, volume.volid, {**drive.options, "media": "cdrom"}))
    log(f"{drive.key}: successfully created disk '{line}'")
    return line, volume


def _create_empty(
    log: Log, node: Node, vmid: int, drive: GuestVolume, storage: str | None, size_gib: float
) -> tuple[str, Volume]:
    size_bytes = int(size_gib * (1 << 30))
    if drive.key.startswith("efidisk"):
        size_bytes = _EFI_BYTES
    elif drive.key.startswith("tpmstate"):
        size_bytes = _TPM_BYTES
    volume = allocate(log, node, vmid, _required(storage), size_bytes, drive.options.get("format"))
    line = _line(drive, volume, drive.options)
    log(f"{drive.key}: successfully created disk '{line}'")
    return line, volume


def allocate(
    log: Log, node: Node, vmid: int, storage: str, size_bytes: int, format_: str | None
) -> Volume:
    """Make an empty volume, and say so as qemu-img does."""
    target = node.cluster.storages.get_usable(storage, node)
    volume = node.cluster.storages.allocate_disk(
        node, storage, vmid, size_bytes, usable_format(target, format_)
    )
    announce_format(log, target, volume)
    return volume


def usable_format(storage: Storage, format_: str | None) -> str:
    """The wanted format where the storage has it, else its default one."""
    return format_ if format_ in storage.formats else storage.formats[0]


def _line(drive: GuestVolume, volume: Volume, options: Mapping[str, str]) -> str:
    kept = {k: v for k, v in options.items() if k != "import-from"}
    kept["size"] = size_text(volume.size_bytes)
    return format_drive(GuestVolume(drive.key, volume.volid, kept))


def _import(
    log: Log, node: Node, vmid: int, drive: GuestVolume, default_storage: str | None
) -> tuple[str, Volume]:
    fresh = new_disk(drive)
    if fresh is None or fresh[1] != 0:
        raise die(
            "'import-from' requires special syntax - use <storage ID>:0,import-from=<source>"
        )
    source = node.cluster.storages.get_volume(node, drive.options["import-from"])
    target = _required(fresh[0] or default_storage)
    key = _owner_key(node, source) or drive.key
    volume = copy_volume(
        log, node, vmid, key, source, target, drive.options.get("format") or source.format
    )
    log(*transfer_lines(source.size_bytes))
    line = _line(drive, volume, drive.options)
    log(f"{drive.key}: successfully created disk '{line}'")
    return line, volume


def _owner_key(node: Node, source: Volume) -> str | None:
    """How the guest that owns a volume calls it."""
    owner = node.cluster.guests.get(source.vmid or 0)
    if owner is None:
        return None
    volumes = list_volumes(owner.kind, owner.config)
    return next((volume.key for volume in volumes if volume.volid == source.volid), None)


def copy_volume(
    log: Log, node: Node, vmid: int, key: str, source: Volume, storage: str, format_: str | None
) -> Volume:
    """A full copy of a volume (clone_disk), with the lines of a stopped guest's."""
    log(f"create full clone of drive {key} ({source.volid})")
    volume = allocate(log, node, vmid, storage, source.size_bytes, format_)
    if node.version.at_least("9.0"):
        log(f"allocated target volume '{volume.volid}'")
    volume.used_bytes = max(volume.used_bytes, source.used_bytes)
    return volume


def transfer_lines(size_bytes: int) -> tuple[str, str]:
    """What qemu-img says of a copy at its start and its end."""
    shown = f"{size_bytes / (1 << 30):.1f} GiB"
    if size_bytes < 1 << 30:
        shown = f"{size_bytes / (1 << 20):.1f} MiB"
    return f"transferred 0.0 B of {shown} (0.00%)", f"transferred {shown} of {shown} (100.00%)"


def _attach(node: Node, drive: GuestVolume) -> str:
    """An existing volume, a CD, or an empty drive."""
    if not drive.is_on_storage:
        return format_drive(drive)
    volume = node.cluster.storages.get_volume(node, drive.volid)
    options = {**drive.options, "size": size_text(volume.size_bytes)}
    return format_drive(GuestVolume(drive.key, volume.volid, options))
