"""Storages of the simulated cluster: definitions, space and volumes.

The definitions (storage.cfg) belong to the whole cluster. What lies on a storage is a
`Backing`: one for each node, or one for all when the storage is shared. Error texts are those
of pve-storage.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

from pveops.sim.refusal import die
from pveops.sim.volume import (
    DIRECTORIES,
    FILE_TYPES,
    Volume,
    VolumeName,
    disk_file,
    image_name,
    parse_name,
)

if TYPE_CHECKING:
    from pveops.sim.model import Node

SHARED_TYPES = frozenset({"nfs", "cifs", "cephfs", "rbd", "pbs", "iscsi", "iscsidirect", "zfs"})
"""Types that are shared by nature; others when their definition says `shared 1`."""
FORMATS = {
    "dir": ("raw", "qcow2", "vmdk", "subvol"),
    "nfs": ("raw", "qcow2", "vmdk"),
    "cifs": ("raw", "qcow2", "vmdk"),
    "btrfs": ("raw", "subvol"),
    "zfspool": ("raw", "subvol"),
}
"""Disk formats, the default one first; other types know `raw` alone."""
CONTENT_TYPES = {
    "dir": "images rootdir vztmpl iso backup snippets import none",
    "nfs": "images rootdir vztmpl iso backup snippets import",
    "cifs": "images rootdir vztmpl iso backup snippets import",
    "cephfs": "vztmpl iso backup snippets import",
    "btrfs": "images rootdir vztmpl iso backup snippets none import",
    "pbs": "backup none",
    "iscsi": "images none",
}
"""What a type can hold; other types hold images and rootdir."""
LARGEST_FILE_BYTES = (16 << 40) - 4096
"""The largest file of an ext4 file system."""


@dataclass(slots=True)
class Backing:
    """The space behind a storage and what lies in it."""

    total_bytes: int = 0
    used_elsewhere_bytes: int = 0
    """Used by what is not a volume."""
    reserved_bytes: int = 0
    """Free, and not for us."""
    is_online: bool = True
    offline_since: float = 0.0
    """When it was lost, while it is."""
    volumes: dict[str, Volume] = field(default_factory=dict)
    """By volume name."""
    growth_bytes_s: float = 0.0
    """How fast what is no volume grows, since and before `grown_at`."""
    grown_at: float = 0.0
    past: list[tuple[float, int, float]] = field(default_factory=list)
    """Until when what is no volume took so much, as of when; oldest first."""
    freed: list[tuple[float, float, int]] = field(default_factory=list)
    """Volumes that are gone: when each was made and deleted, and what it took."""

    def set_online(self, is_online: bool, now: float) -> None:
        """Lose it, or have it back."""
        if self.is_online and not is_online:
            self.offline_since = now
        self.is_online = is_online

    def fill(self, used_bytes: int, now: float) -> None:
        """So much is used by what is no volume, from now on."""
        self.past.append((now, self.used_elsewhere_bytes, self.grown_at))
        self.used_elsewhere_bytes, self.grown_at = used_bytes, now

    def used_bytes(self, moment: float) -> int:
        """What was in use then, in bytes: by what is there, and by what is not any more."""
        level, since = self.used_elsewhere_bytes, self.grown_at
        for until, before, as_of in reversed(self.past):
            if moment < until:
                level, since = before, as_of
        grown = self.growth_bytes_s * (moment - since)
        elsewhere = max(0, level + int(grown))
        held = sum(each.used_bytes for each in self.volumes.values() if each.ctime <= moment)
        held += sum(size for made, gone, size in self.freed if made <= moment < gone)
        return min(elsewhere + held, self.total_bytes)


class Usage(NamedTuple):
    """Space of a storage as seen by one node, in bytes."""

    total: int
    used: int
    avail: int


@dataclass(slots=True)
class Storage:
    """An entry of storage.cfg."""

    name: str
    type: str
    options: dict[str, Any] = field(default_factory=dict)
    """As in the file, `content` and `nodes` as comma-separated text."""

    @property
    def content(self) -> list[str]:
        """The content types in the order of the definition."""
        return [part for part in str(self.options.get("content", "")).split(",") if part]

    @property
    def is_shared(self) -> bool:
        """Whether every node sees the same volumes."""
        return self.type in SHARED_TYPES or bool(self.options.get("shared"))

    @property
    def is_disabled(self) -> bool:
        """Switched off in the definition."""
        return bool(self.options.get("disable"))

    @property
    def formats(self) -> tuple[str, ...]:
        """Formats of its disks, the default one first."""
        return FORMATS.get(self.type, ("raw",))

    def is_for(self, node: str) -> bool:
        """Whether the definition lets `node` use it."""
        nodes = str(self.options.get("nodes", ""))
        return not nodes or node in nodes.split(",")

    def path(self, name: str) -> str:
        """Where a volume lies: a file, a device, or a URL."""
        parsed = parse_name(self.type, name)
        file = parsed.file if parsed else name
        if self.type in FILE_TYPES:
            directory = DIRECTORIES.get(name.partition("/")[0], "images")
            if parsed and parsed.vmid is not None and parsed.content in ("images", "rootdir"):
                file = f"{parsed.vmid}/{file}"
            return f"{self.directory}/{directory}/{file}"
        group = self.options.get("vgname") or self.options.get("pool") or self.name
        if self.type == "rbd":
            return f"/dev/rbd-pve/{group}/{file}"
        if self.type == "zfspool":
            is_dataset = parsed is not None and parsed.format == "subvol"
            return f"/{group}/{file}" if is_dataset else f"/dev/zvol/{group}/{file}"
        if self.type == "pbs":
            repository = f"{self.options.get('server')}:{self.options.get('datastore')}"
            return f"pbs://{repository}/{name.removeprefix('backup/')}"
        return f"/dev/{group}/{file}"

    @property
    def directory(self) -> str:
        """The directory of a storage that keeps files."""
        return str(self.options.get("path") or f"/mnt/pve/{self.name}")


@dataclass(slots=True)
class Storages:
    """All storages of a cluster and what lies on them."""

    definitions: dict[str, Storage] = field(default_factory=dict)
    backings: dict[tuple[str, str], Backing] = field(default_factory=dict)
    """By (storage, node); the node is "" for a shared one."""
    file_text: str = ""
    """What storage.cfg holds: empty as long as only the built-in `local` exists."""

    def define(self, name: str, type_: str, options: dict[str, Any]) -> Storage:
        """Add an entry."""
        self.definitions[name] = storage = Storage(name, type_, options)
        return storage

    def remove(self, name: str) -> None:
        """Drop an entry; what lies on the storage stays there."""
        self.get(name)
        del self.definitions[name]

    def get(self, name: str) -> Storage:
        """The entry; dies as PVE::Storage::storage_config does."""
        storage = self.definitions.get(name)
        if storage is None:
            raise die(f"storage '{name}' does not exist")
        return storage

    def get_usable(self, name: str, node: Node) -> Storage:
        """The entry, enabled and meant for `node` (storage_check_enabled)."""
        storage = self.get(name)
        if storage.is_disabled:
            raise die(f"storage '{name}' is disabled")
        if not storage.is_for(node.name):
            raise die(f"storage '{name}' is not available on node '{node.name}'")
        return storage

    def get_active(self, name: str, node: Node) -> Storage:
        """`get_usable`, and its backing answers (activate_storage)."""
        storage = self.get_usable(name, node)
        if not self.backing(storage, node).is_online:
            raise die(_offline_text(storage))
        return storage

    def is_active(self, storage: Storage, node: Node) -> bool:
        """Whether volumes of the storage can be reached from `node`."""
        usable = storage.is_for(node.name) and not storage.is_disabled
        return usable and self.backing(storage, node).is_online

    def backing(self, storage: Storage, node: Node) -> Backing:
        """What lies behind the storage as `node` sees it."""
        key = (storage.name, "" if storage.is_shared else node.name)
        found = self.backings.get(key)
        if found is None:
            found = self.backings[key] = self._new_backing(storage, node)
        return found

    def _new_backing(self, storage: Storage, node: Node) -> Backing:
        """A storage without one of its own lies on the node's root file system, as local does."""
        local = self.definitions.get("local")
        if storage.type != "dir" or local is None or storage is local:
            return Backing()
        root = self.backing(local, node)
        return Backing(root.total_bytes, root.used_elsewhere_bytes, root.reserved_bytes)

    def usage(self, storage: Storage, node: Node) -> Usage:
        """Space in bytes; zeros when the storage is not active on `node`."""
        if not self.is_active(storage, node):
            return Usage(0, 0, 0)
        backing = self.backing(storage, node)
        used = backing.used_bytes(node.cluster.timeline.now())
        return Usage(
            backing.total_bytes, used, max(0, backing.total_bytes - used - backing.reserved_bytes)
        )

    def parse(self, storage: Storage, name: str) -> VolumeName | None:
        """What a volume's name says on this storage."""
        return parse_name(storage.type, name)

    def resolve(self, volid: str) -> tuple[Storage, str]:
        """Storage and volume name of a volume id; dies where parse_volume_id does."""
        name, separator, volume = volid.partition(":")
        if not separator or not volume:
            raise die(f"unable to parse volume ID '{volid}'")
        return self.get(name), volume

    def find_volume(self, node: Node, volid: str) -> Volume | None:
        """The volume as `node` sees it, or None."""
        storage, name = self.resolve(volid)
        return self.backing(storage, node).volumes.get(name)

    def get_volume(self, node: Node, volid: str) -> Volume:
        """The volume as `node` sees it; dies when it is not there."""
        volume = self.find_volume(node, volid)
        if volume is None:
            raise die(f"volume '{volid}' does not exist")
        return volume

    def list_volumes(self, node: Node, storage: Storage) -> list[Volume]:
        """Everything on a storage in PVE's order: by volume id, without regard to case."""
        volumes = self.backing(storage, node).volumes.values()
        return sorted(volumes, key=lambda volume: volume.volid.lower())

    def volumes_of_guest(self, node: Node, vmid: int) -> Iterator[Volume]:
        """Every disk image on the active storages of `node` that carries the guest's id."""
        for storage in list(self.definitions.values()):
            if self.is_active(storage, node):
                for volume in self.list_volumes(node, storage):
                    if volume.vmid == vmid and volume.content in ("images", "rootdir"):
                        yield volume

    def next_disk_label(self, node: Node, storage: Storage, vmid: int) -> str:
        """`disk-N` with the lowest N that no volume of the guest has (get_next_vm_diskname)."""
        taken = {
            parsed.file.split(".")[0].rsplit("-disk-", maxsplit=1)[-1]
            for volume in self.backing(storage, node).volumes.values()
            if volume.vmid == vmid and (parsed := parse_name(storage.type, volume.name))
        }
        number = 0
        while str(number) in taken:
            number += 1
        return f"disk-{number}"

    def allocate_disk(
        self,
        node: Node,
        storage_name: str,
        vmid: int,
        size_bytes: int,
        format_: str | None = None,
        *,
        label: str | None = None,
        file: str | None = None,
    ) -> Volume:
        """Make a disk (PVE::Storage::vdisk_alloc).

        label: what stands after the vmid (`cloudinit`, `state-s1`); default: the next `disk-N`.
        file: the whole file or device name instead.
        """
        storage = self.get_active(storage_name, node)
        chosen = format_ or storage.formats[0]
        if chosen not in storage.formats:
            raise die(f"unsupported format '{chosen}'")
        if file is None:
            label = label or self.next_disk_label(node, storage, vmid)
            file = disk_file(storage.type, vmid, label, chosen)
        name = image_name(storage.type, vmid, file)
        self._check_room(node, storage, name, chosen, size_bytes)
        return self.add_volume(
            node,
            Volume(
                storage=storage.name,
                name=name,
                content="rootdir" if chosen == "subvol" else "images",
                format=chosen,
                size_bytes=size_bytes,
                used_bytes=_initial_use(storage, chosen, size_bytes),
                ctime=int(node.cluster.timeline.now()),
                vmid=vmid,
            ),
        )

    def _check_room(
        self, node: Node, storage: Storage, name: str, format_: str, size_bytes: int
    ) -> None:
        parsed = parse_name(storage.type, name)
        if parsed is None:
            raise die(f"unable to parse volume name '{name}'")
        if storage.type in FILE_TYPES and parsed.format != format_:
            raise die(
                f"illegal name '{parsed.file}' - wrong extension for format "
                f"('{parsed.format} != '{format_}')"
            )
        path = storage.path(name)
        if name in self.backing(storage, node).volumes:
            raise die(_exists_text(storage, name))
        if storage.type in FILE_TYPES and format_ == "raw" and size_bytes > LARGEST_FILE_BYTES:
            raise die(
                f"unable to create image: qemu-img: {path}: "
                f"The image size is too large for file format '{format_}'"
            )
        needed = _initial_use(storage, format_, size_bytes)
        if needed and self.usage(storage, node).avail < needed:
            raise die(_full_text(storage, path))

    def add_volume(self, node: Node, volume: Volume) -> Volume:
        """Put a volume where it belongs, in place of one of the same name."""
        storage = self.get(volume.storage)
        self.backing(storage, node).volumes[volume.name] = volume
        return volume

    def free(self, node: Node, volid: str) -> bool:
        """Delete a volume (vdisk_free); False: there was none, of which PVE only warns."""
        storage, name = self.resolve(volid)
        self.get_active(storage.name, node)
        backing = self.backing(storage, node)
        volume = backing.volumes.get(name)
        # LVM-thin does not know what was cloned from a volume, and lets it go.
        has_clones = any(other.parent == name for other in backing.volumes.values())
        if has_clones and storage.type != "lvmthin":
            raise die(f"base volume '{name}' is still in use by linked clones")
        if volume is None:
            return False
        if volume.is_protected:
            raise die(f"cannot remove protected volume '{name}' on '{storage.name}'")
        del backing.volumes[name]
        now = node.cluster.timeline.now()
        backing.freed.append((float(volume.ctime), now, volume.used_bytes))
        return True

    def resize(self, node: Node, volid: str, size_bytes: int) -> None:
        """Grow a volume; dies when the storage has no room for what it takes at once."""
        volume = self.get_volume(node, volid)
        storage = self.get_active(volume.storage, node)
        growth = _initial_use(storage, volume.format, size_bytes) - _initial_use(
            storage, volume.format, volume.size_bytes
        )
        if growth > 0 and self.usage(storage, node).avail < growth:
            raise die(_full_text(storage, storage.path(volume.name)))
        volume.size_bytes = size_bytes
        volume.used_bytes += max(0, growth)

    def rename(self, node: Node, volid: str, name: str) -> Volume:
        """Give a volume another name on its storage (a disk that becomes a template's)."""
        volume = self.get_volume(node, volid)
        storage = self.get(volume.storage)
        volumes = self.backing(storage, node).volumes
        del volumes[volume.name]
        parsed = parse_name(storage.type, name)
        volume.name = name
        volume.vmid = parsed.vmid if parsed else volume.vmid
        volumes[name] = volume
        return volume

    def convert_to_base(self, node: Node, volid: str) -> Volume:
        """`vm-100-disk-0` becomes `base-100-disk-0` (create_base)."""
        _, name = self.resolve(volid)
        head, slash, file = name.rpartition("/")
        base = file.replace("subvol-", "basevol-", 1).replace("vm-", "base-", 1)
        return self.rename(node, volid, f"{head}{slash}{base}")

    def clone_base(self, node: Node, volid: str, vmid: int) -> Volume:
        """A linked clone of a template's disk (clone_image)."""
        base = self.get_volume(node, volid)
        storage = self.get_active(base.storage, node)
        label = self.next_disk_label(node, storage, vmid)
        file = disk_file(storage.type, vmid, label, base.format)
        is_named_by_base = storage.type in FILE_TYPES or storage.type in ("zfspool", "rbd")
        prefix = f"{base.name}/" if is_named_by_base else ""
        return self.add_volume(
            node,
            Volume(
                storage=storage.name,
                name=prefix + image_name(storage.type, vmid, file),
                content=base.content,
                format=base.format,
                size_bytes=base.size_bytes,
                used_bytes=200704 if storage.type in FILE_TYPES else 0,
                ctime=int(node.cluster.timeline.now()),
                vmid=vmid,
                parent=base.name,
            ),
        )


def _initial_use(storage: Storage, format_: str, size_bytes: int) -> int:
    """What an empty disk takes at once: all of it on plain LVM, its metadata elsewhere."""
    if storage.type == "lvm":
        return size_bytes
    if storage.type in FILE_TYPES and format_ == "qcow2":
        return 196608 + size_bytes // 8192
    return 4096 if storage.type in FILE_TYPES else 0


def _offline_text(storage: Storage) -> str:
    if storage.type in ("nfs", "cifs"):
        return f"storage '{storage.name}' is not online"
    if storage.type == "pbs":
        server = storage.options.get("server", "")
        return (
            f"{storage.name}: error fetching datastores - 500 Can't connect to {server}:8007 "
            f"(No route to host)"
        )
    if storage.type == "zfspool":
        pool = storage.options.get("pool", storage.name)
        return f"could not activate storage '{storage.name}', zpool '{pool}' not found"
    if storage.type in ("lvm", "lvmthin"):
        group, pool = storage.options.get("vgname"), storage.options.get("thinpool")
        return f"no such logical volume {group}/{pool}"
    return (
        f"unable to activate storage '{storage.name}' - directory is expected to be a mount "
        f"point but is not mounted: '{storage.directory}'"
    )


def _exists_text(storage: Storage, name: str) -> str:
    if storage.type in FILE_TYPES:
        return f"disk image '{storage.path(name)}' already exists"
    if storage.type in ("lvm", "lvmthin"):
        group = storage.options.get("vgname")
        return (
            f"lvcreate '{group}/{name}' error:   "
            f'Logical Volume "{name}" already exists in volume group "{group}"'
        )
    return f"volume '{storage.name}:{name}' already exists"


def _full_text(storage: Storage, path: str) -> str:
    if storage.type == "lvm":
        return f"not enough free space on storage '{storage.name}'"
    return f"unable to create image: qemu-img: {path}: No space left on device"
