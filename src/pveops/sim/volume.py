"""Volumes: their values and their names on each type of storage.

A volume id is `STORAGE:VOLNAME`; what a VOLNAME looks like depends on the type of the storage
(pve-storage, Plugin.pm, LvmThinPlugin.pm, ZFSPoolPlugin.pm, RBDPlugin.pm, PBSPlugin.pm).
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from pveops.sim.storage import Storage

FILE_TYPES = frozenset({"dir", "nfs", "cifs", "cephfs", "btrfs"})
"""Types that keep volumes as files below a path."""

DIRECTORIES = {
    "iso": "template/iso",
    "vztmpl": "template/cache",
    "backup": "dump",
    "snippets": "snippets",
    "import": "import",
    "images": "images",
    "rootdir": "private",
}
"""Where a file storage keeps each content, below its path."""

_FILE_IMAGE = re.compile(
    r"(?:(?P<base>\d+/base-[^/\s]+)/)?(?P<vmid>\d+)/"
    r"(?P<file>[^/\s]+\.(?P<format>raw|qcow2|vmdk|subvol))"
)
_BLOCK_IMAGE = re.compile(
    r"(?:(?P<base>(?:base|basevol)-\d+-[^/\s]+)/)?"
    r"(?P<file>(?:vm|base|subvol|basevol)-(?P<vmid>\d+)-[^/\s]+)"
)
_BACKUP = re.compile(
    r"(?P<stem>vzdump-(?P<kind>qemu|lxc|openvz)-(?P<vmid>\d+)-.*?)"
    r"\.(?P<format>(?:tgz|tar|vma)(?:\.(?:gz|lzo|zst|bz2))?)"
)
_PBS = re.compile(
    r"backup/(?P<kind>vm|ct|host)/(?P<vmid>[^/]+)/(?P<time>\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ)"
)
_TEMPLATE = re.compile(r".+\.(tar\.(?:gz|xz|zst|bz2)|tgz|txz)", re.IGNORECASE)


class VolumeName(NamedTuple):
    """What a name says."""

    content: str
    file: str
    """The last part: the file's or the block device's name."""
    format: str
    vmid: int | None = None
    base: str | None = None
    """The name of the template's volume that a linked clone builds on."""
    subtype: str | None = None
    """Of a backup: `qemu` or `lxc`."""


@dataclass(slots=True)
class Volume:
    """A disk, an image, a template or a backup on a storage."""

    storage: str
    name: str
    content: str
    format: str
    size_bytes: int
    used_bytes: int
    ctime: int
    vmid: int | None = None
    parent: str | None = None
    """Volume name of the template's disk."""
    notes: str | None = None
    is_protected: bool = False
    subtype: str | None = None
    verification: str = ""
    """Of a backup on a Proxmox Backup Server: `ok`, `failed`, or nothing yet."""
    snapshots: list[str] = field(default_factory=list)
    archive: Any = None
    """What a backup holds: the guest as it was."""

    @property
    def volid(self) -> str:
        """`STORAGE:VOLNAME`."""
        return f"{self.storage}:{self.name}"


def parse_name(storage_type: str, name: str) -> VolumeName | None:
    """Take a volume name apart; None: not a name that this type of storage knows."""
    if storage_type in FILE_TYPES:
        return _parse_file_name(name)
    if storage_type == "pbs":
        return _parse_pbs_name(name)
    match = _BLOCK_IMAGE.fullmatch(name)
    if match is None:
        return None
    is_subvolume = match["file"].startswith(("subvol-", "basevol-"))
    return VolumeName(
        "rootdir" if is_subvolume else "images",
        match["file"],
        "subvol" if is_subvolume else "raw",
        int(match["vmid"]),
        match["base"],
    )


def _parse_file_name(name: str) -> VolumeName | None:
    image = _FILE_IMAGE.fullmatch(name)
    if image:
        content = "rootdir" if image["format"] == "subvol" else "images"
        return VolumeName(
            content, image["file"], image["format"], int(image["vmid"]), image["base"]
        )
    content, separator, file = name.partition("/")
    if not separator or not file or "/" in file:
        return None
    if content == "backup":
        return parse_backup_file(file)
    if content == "iso" and re.fullmatch(r".+\.(iso|img)", file, re.IGNORECASE):
        return VolumeName("iso", file, "iso")
    if content == "vztmpl" and (match := _TEMPLATE.fullmatch(file)):
        return VolumeName("vztmpl", file, "t" + match[1].rpartition(".")[2].lstrip("t"))
    if content == "snippets":
        return VolumeName("snippets", file, "snippet")
    if content == "import" and (match := re.fullmatch(r".+\.(ova|raw|qcow2|vmdk)", file)):
        return VolumeName("import", file, match[1])
    return None


def parse_backup_file(file: str) -> VolumeName | None:
    """The parts of `vzdump-qemu-100-2026_01_31-02_00_00.vma.zst`."""
    match = _BACKUP.fullmatch(file)
    if match is None:
        return None
    kind = "lxc" if match["kind"] == "openvz" else match["kind"]
    return VolumeName("backup", file, match["format"], int(match["vmid"]), subtype=kind)


def _parse_pbs_name(name: str) -> VolumeName | None:
    match = _PBS.fullmatch(name)
    if match is None:
        return None
    vmid = int(match["vmid"]) if match["vmid"].isdigit() else None
    subtype = {"vm": "qemu", "ct": "lxc"}.get(match["kind"])
    return VolumeName("backup", match["time"], f"pbs-{match['kind']}", vmid, subtype=subtype)


def image_name(storage_type: str, vmid: int, file: str) -> str:
    """The volume name of a guest's disk from its file or device name."""
    return f"{vmid}/{file}" if storage_type in FILE_TYPES else file


def disk_file(storage_type: str, vmid: int, label: str, format_: str) -> str:
    """The file or device name of a disk: `vm-100-disk-0.qcow2`, `subvol-200-disk-0`.

    label: what stands after the vmid: `disk-0`, `cloudinit`, `state-before_upgrade`.
    """
    prefix = "subvol" if format_ == "subvol" else "vm"
    suffix = f".{format_}" if storage_type in FILE_TYPES else ""
    return f"{prefix}-{vmid}-{label}{suffix}"


def announce_format(log: Callable[[str], None], storage: Storage, volume: Volume) -> None:
    """The line that qemu-img writes when it makes a file."""
    if storage.type not in FILE_TYPES or volume.format == "subvol":
        return
    size = f"size={volume.size_bytes}"
    details = {
        "qcow2": (
            "cluster_size=65536 extended_l2=off preallocation=metadata compression_type=zlib "
            f"{size} lazy_refcounts=off refcount_bits=16"
        ),
        "raw": f"{size} preallocation=off",
    }
    path, format_ = storage.path(volume.name), volume.format
    log(f"Formatting '{path}', fmt={format_} {details.get(format_, size)}")
