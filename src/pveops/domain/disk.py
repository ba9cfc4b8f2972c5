"""The disks of guests: slots, their volumes and sizes; and what is known before one is changed."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from pveops.domain.facts import GuestFacts, Scene, read_guest_facts
from pveops.domain.guest import Guest, GuestConfig, Kind, disks_of
from pveops.domain.snapshot import read_snapshots
from pveops.domain.storage import Storage
from pveops.units import parse_size

if TYPE_CHECKING:
    from pveops.api.client import Client

_SPECIAL = ("efidisk", "tpmstate")


class Disk(NamedTuple):
    """One slot of a guest's configuration that holds a volume, or a passed-through device."""

    slot: str
    volid: str
    storage: str
    """Empty for a device or a directory of the node."""
    size_bytes: int | None
    """As the configuration says; None when it does not (unused ones)."""
    options: str
    """Everything behind the volume but the size, as stored."""

    @property
    def is_unused(self) -> bool:
        """Detached: kept, and attached to nothing."""
        return self.slot.startswith("unused")

    @property
    def is_special(self) -> bool:
        """Firmware variables or a TPM's state: of a fixed size."""
        return self.slot.startswith(_SPECIAL)


def is_backed_up(kind: Kind, disk: Disk) -> bool:
    """Whether vzdump takes a volume (QemuServer.pm; LXC/Config.pm asks mount points)."""
    options = disk.options.split(",")
    if disk.is_unused:
        return False
    if kind == "qemu":
        return "backup=0" not in options
    return disk.slot == "rootfs" or (bool(disk.storage) and "backup=1" in options)


def list_disks(kind: Kind, config: GuestConfig) -> tuple[Disk, ...]:
    """The guest's disks, CD-ROMs and cloud-init drives left out, by slot; unused ones last."""
    disks = [_disk_of(slot, text) for slot, text in disks_of(kind, config.values).items()]
    return tuple(sorted(disks, key=lambda disk: (disk.is_unused, len(disk.slot), disk.slot)))


def _disk_of(slot: str, text: str) -> Disk:
    volid, _, rest = text.removeprefix("file=").removeprefix("volume=").partition(",")
    parts = [part for part in rest.split(",") if part]
    size = next((part[5:] for part in parts if part.startswith("size=")), "")
    options = ",".join(part for part in parts if not part.startswith("size="))
    storage, colon, _ = volid.partition(":")
    on_storage = storage if colon and not volid.startswith("/") else ""
    return Disk(slot, volid, on_storage, parse_size(size) if size else None, options)


class DiskFacts(NamedTuple):
    """A guest, its disks, the storages of its node, and the names of its snapshots."""

    base: GuestFacts
    disks: tuple[Disk, ...]
    storages: tuple[Storage, ...]
    """As the guest's node sees them."""
    snapshots: tuple[str, ...]

    def find_disk(self, slot: str) -> Disk | None:
        """The disk in that slot."""
        return next((disk for disk in self.disks if disk.slot == slot), None)

    def find_storage(self, name: str) -> Storage | None:
        """The storage, as the guest's node sees it."""
        return next((each for each in self.storages if each.storage == name), None)


def read_disk_facts(client: Client, guest: Guest, scene: Scene) -> DiskFacts:
    """Four requests to the guest's node."""
    base = read_guest_facts(client, guest, scene)
    return DiskFacts(
        base=base,
        disks=list_disks(guest.kind, base.config),
        storages=tuple(each for each in scene.inventory.storages if each.node == guest.node),
        snapshots=tuple(each.name for each in read_snapshots(client, guest.ref).all),
    )
