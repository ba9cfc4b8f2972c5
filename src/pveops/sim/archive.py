"""What a backup holds, and how a guest is made from it again.

The words of the logs are those of pve-manager's VZDump.pm, qemu-server and pve-container.
"""

from __future__ import annotations

import re
from collections.abc import Generator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from pveops.sim.property_string import format_properties, parse_properties
from pveops.sim.refusal import die
from pveops.sim.volume import FILE_TYPES, Volume

if TYPE_CHECKING:
    from pveops.sim.model import Node
    from pveops.sim.tasks import Task

_DRIVE = re.compile(r"(ide|sata|scsi|virtio|efidisk|tpmstate)\d+")
_MOUNT = re.compile(r"rootfs|mp\d+")
_DROPPED = re.compile(r"lock|parent|snapshots|digest|pending|unused\d+")
_READ_RATE = 1 << 30
"""Bytes a second that backup and restore read; most of a disk is empty."""


@dataclass(frozen=True, slots=True)
class ArchivedDisk:
    """One disk of a backup."""

    key: str
    volid: str
    format: str
    size_bytes: int
    used_bytes: int
    text: str
    """Its line in the configuration."""


@dataclass(frozen=True, slots=True)
class Archive:
    """A guest as it was when it was backed up."""

    kind: str
    """qemu or lxc."""
    vmid: int
    config: dict[str, Any]
    disks: tuple[ArchivedDisk, ...]
    has_snapshots: bool
    created_at: float

    def config_text(self) -> str:
        """The configuration as `GET vzdump/extractconfig` shows it."""
        config = dict(self.config)
        notes = str(config.pop("description", "")).rstrip("\n")
        head = "".join(f"#{line}\n" for line in notes.split("\n")) if notes else ""
        body = "".join(f"{key}: {value}\n" for key, value in sorted(config.items()))
        if self.kind == "lxc":
            return head + body
        gap = "\n" if self.has_snapshots else ""
        maps = "".join(
            f"#qmdump#map:{disk.key}:drive-{disk.key}:{disk.volid.partition(':')[0]}:"
            f"{disk.format}:\n"
            for disk in self.disks
        )
        return head + body + gap + maps


@dataclass(slots=True)
class BackupVolume:
    """A volume in a guest's configuration, and whether a backup takes it."""

    key: str
    volid: str
    is_included: bool
    reason: str
    options: dict[str, str] = field(default_factory=dict)
    text: str = ""


def backup_volumes(kind: str, config: Mapping[str, Any]) -> list[BackupVolume]:
    """Each volume of a guest with the decision (get_backup_volumes)."""
    found = []
    for key, value in sorted(config.items()):
        if kind == "qemu" and _DRIVE.fullmatch(key):
            options = parse_properties(str(value), "file")
            if options.get("media") == "cdrom" or options.get("file") == "none":
                continue
            is_included = options.get("backup", "1") not in ("0", "no", "off")
            reason = "backup=no" if "backup" in options else "backup=yes"
            if key.startswith("efidisk") and config.get("bios") != "ovmf":
                is_included, reason = False, "efidisk but no OVMF BIOS"
            found.append(
                BackupVolume(key, options["file"], is_included, reason, options, str(value))
            )
        elif kind == "lxc" and _MOUNT.fullmatch(key):
            options = parse_properties(str(value), "volume")
            options.setdefault("mp", "/")
            is_included, reason = _is_mount_included(key, options)
            found.append(
                BackupVolume(key, options["volume"], is_included, reason, options, str(value))
            )
    return sorted(found, key=lambda volume: volume.key != "rootfs")


def _is_mount_included(key: str, options: Mapping[str, str]) -> tuple[bool, str]:
    if key == "rootfs":
        return True, "rootfs"
    if options["volume"].startswith("/"):
        return False, "not a volume"
    if options.get("backup", "0") in ("1", "yes", "on"):
        return True, "enabled"
    return False, "disabled"


def make_archive(
    node: Node, kind: str, vmid: int, config: Mapping[str, Any], now: float
) -> Archive:
    """Read a guest."""
    kept = {key: value for key, value in config.items() if not _DROPPED.fullmatch(key)}
    disks = []
    for wanted in backup_volumes(kind, config):
        volume = node.cluster.storages.find_volume(node, wanted.volid)
        if wanted.is_included and volume is not None:
            disks.append(
                ArchivedDisk(
                    wanted.key,
                    wanted.volid,
                    volume.format,
                    volume.size_bytes,
                    volume.used_bytes,
                    wanted.text,
                )
            )
    has_snapshots = bool(config.get("snapshots")) or "parent" in config
    return Archive(kind, vmid, kept, tuple(disks), has_snapshots, now)


def get_archive(node: Node, volid: str) -> Archive:
    """The content of a backup; dies when there is none of that name."""
    volume = node.cluster.storages.get_volume(node, volid)
    if volume.content != "backup":
        raise die(f"unable to use volume {volid} - content type needs to be 'backup'")
    if not isinstance(volume.archive, Archive):
        raise die(f"unable to find configuration in archive '{volid}'")
    return volume.archive


def restore_vm_disks(
    task: Task, node: Node, volid: str, vmid: int, storage: str | None
) -> Generator[float, None, dict[str, str]]:
    """Make the disks of a VM from a backup; their lines for its configuration by key.

    storage: where all of them go; None: where each was.
    """
    archive, path = get_archive(node, volid), _archive_path(node, volid)
    pipe = f"/var/tmp/vzdumptmp{task.upid.pid}"  # noqa: S108
    extraction = f"vma extract -v -r {pipe}.fifo - {pipe}"
    decompression = {"zst": "zstd -q -d -c", "gz": "zcat", "lzo": "lzop -d -c"}
    tool = decompression.get(path.rpartition(".")[2])
    direct = f"vma extract -v -r {pipe}.fifo {path} {pipe}"
    task.log(f"restore vma archive: {f'{tool} {path} | {extraction}' if tool else direct}")
    text = archive.config_text()
    task.log(f"CFG: size: {len(text)} name: qemu-server.conf")
    for number, disk in enumerate(archive.disks, 1):
        task.log(f"DEV: dev_id={number} size: {disk.size_bytes} devname: drive-{disk.key}")
    created = datetime.fromtimestamp(archive.created_at, UTC)
    task.log(f"CTIME: {created:%a %b} {created.day:2} {created:%H:%M:%S %Y}")
    lines = {}
    for disk in archive.disks:
        volume = _make_disk(task, node, disk, vmid, storage)
        lines[disk.key] = _disk_line(disk, volume, "file")
    yield from _report_progress(task, sum(disk.size_bytes for disk in archive.disks))
    return lines


def _make_disk(
    task: Task, node: Node, disk: ArchivedDisk, vmid: int, storage: str | None
) -> Volume:
    storages = node.cluster.storages
    target = storages.get_usable(storage or disk.volid.partition(":")[0], node)
    format_ = disk.format if disk.format in target.formats else target.formats[0]
    volume = storages.allocate_disk(node, target.name, vmid, disk.size_bytes, format_)
    path = target.path(volume.name)
    if target.type in FILE_TYPES:
        task.log(f"Formatting '{path}', fmt={format_} size={disk.size_bytes}")
    volume.used_bytes = max(volume.used_bytes, disk.used_bytes)
    task.log(
        f"new volume ID is '{volume.volid}'",
        f"map 'drive-{disk.key}' to '{path}' (write zeros = 0)",
    )
    return volume


def _disk_line(disk: ArchivedDisk, volume: Volume, key: str) -> str:
    return format_properties({**parse_properties(disk.text, key), key: volume.volid}, key)


def _report_progress(task: Task, total_bytes: int) -> Generator[float, None, None]:
    duration_s = total_bytes / _READ_RATE
    for percent in range(1, 101):
        if percent % 10 == 0:
            yield duration_s / 10
        read = total_bytes * percent // 100
        task.log(
            f"progress {percent}% (read {read} bytes, "
            f"duration {int(duration_s * percent / 100)} sec)"
        )
    task.log(
        f"total bytes read {total_bytes}, sparse bytes {total_bytes} (100%)",
        "space reduction due to 4K zero blocks 100%",
        "rescan volumes...",
    )


def restore_ct_volumes(
    task: Task, node: Node, volid: str, vmid: int, storage: str | None
) -> Generator[float, None, dict[str, str]]:
    """Make the volumes of a container from a backup; their lines by key."""
    archive, path = get_archive(node, volid), _archive_path(node, volid)
    task.log(f"recovering backed-up configuration from '{volid}'")
    lines = {}
    storages = node.cluster.storages
    for disk in archive.disks:
        target = storages.get_usable(storage or disk.volid.partition(":")[0], node)
        format_ = disk.format if disk.format in target.formats else target.formats[0]
        volume = storages.allocate_disk(node, target.name, vmid, disk.size_bytes, format_)
        volume.used_bytes = max(volume.used_bytes, disk.used_bytes)
        lines[disk.key] = _disk_line(disk, volume, "volume")
    task.log(f"restoring '{volid}' now..", f"extracting archive '{path}'")
    used = sum(disk.used_bytes for disk in archive.disks)
    yield max(used / _READ_RATE, 0.2)
    task.log(f"Total bytes read: {used} (392MiB/s)")
    task.log("merging backed-up and given configuration..")
    return lines


def _archive_path(node: Node, volid: str) -> str:
    storage, name = node.cluster.storages.resolve(volid)
    return storage.path(name)
