"""Backups of guests, wherever a storage keeps some; and the storages that could not be asked."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, NamedTuple

from pveops.api.port import api_path
from pveops.domain.access import Permissions, read_permissions_or_none
from pveops.domain.rows import Row, flag_of, int_of, object_of, rows_of, text_of
from pveops.errors import PveopsError

if TYPE_CHECKING:
    from pveops.api.client import Client
    from pveops.domain.guest import Guest, GuestConfig
    from pveops.domain.inventory import Inventory
    from pveops.domain.storage import Storage


class Backup(NamedTuple):
    """One archive. Sorted by age: the newest is the greatest."""

    ctime: int
    """When it was begun, in seconds since the epoch."""
    volid: str
    storage: str
    vmid: int
    kind: str
    """`qemu` or `lxc`; empty when the storage does not say."""
    size_bytes: int
    is_protected: bool
    verification: str
    """`ok` or `failed`, by a Proxmox Backup Server; empty: nobody verified it."""


class BackupView(NamedTuple):
    """The backups of one guest, newest first, as far as they can be seen."""

    backups: tuple[Backup, ...]
    unseen: tuple[str, ...]
    """Storages that did not answer: backups may be there, too."""

    @property
    def newest(self) -> Backup | None:
        """The newest one that is known."""
        return self.backups[0] if self.backups else None


def backup_of_row(row: Row, storage: str) -> Backup:
    """A backup from a row of a storage's content."""
    return Backup(
        ctime=int_of(row, "ctime"),
        volid=text_of(row, "volid"),
        storage=storage,
        vmid=int_of(row, "vmid"),
        kind=text_of(row, "subtype"),
        size_bytes=int_of(row, "size"),
        is_protected=flag_of(row, "protected"),
        verification=text_of(object_of(row.get("verification")), "state"),
    )


def read_backups_on(
    client: Client, node: str, storage: str, vmid: int | None = None
) -> tuple[Backup, ...]:
    """What a storage holds, of one guest or of all, oldest first. One request.

    PVE leaves out, without a word, what the token may not restore (Storage.pm,
    check_volume_access).
    """
    path = api_path("nodes", node, "storage", storage, "content")
    rows = rows_of(client.get(path, {"content": "backup", "vmid": vmid}))
    return tuple(sorted(backup_of_row(row, storage) for row in rows))


def summarize_backups(backups: Iterable[Backup]) -> str:
    """How many there are, and a short hash of which, with their protection: for comparisons."""
    import hashlib

    words = [f"{each.volid} {each.size_bytes} {each.is_protected}" for each in sorted(backups)]
    return f"{len(words)} ({hashlib.sha256(chr(10).join(words).encode()).hexdigest()[:12]})"


def roomiest(storages: Iterable[Storage]) -> Storage | None:
    """Where a backup goes when nobody says where: a shared storage first, then by free space."""
    return max(
        storages,
        key=lambda each: (each.is_shared, each.total_bytes - each.used_bytes),
        default=None,
    )


def takes_backups(storage: Storage, node: str) -> bool:
    """Whether backups of the node's guests can go there now."""
    is_up = storage.node == node and storage.status == "available"
    return is_up and "backup" in storage.content


def places_of_backups(inventory: Inventory, near: str = "") -> Iterator[Storage]:
    """Each storage for backups once: a shared one by a node that has it (`near` if it can)."""
    seen: dict[str, Storage] = {}
    for storage in inventory.storages:
        if "backup" not in storage.content:
            continue
        if not storage.is_shared:
            yield storage
            continue
        known = seen.get(storage.storage)
        if known is None or _rank(storage, near) > _rank(known, near):
            seen[storage.storage] = storage
    yield from seen.values()


def _rank(storage: Storage, near: str) -> tuple[bool, bool]:
    return storage.status == "available", storage.node == near


def may_restore(permissions: Permissions | None, storage: str, vmid: int) -> bool:
    """PVE::Storage check_volume_access, for a backup."""
    if permissions is None:
        return False
    path = f"/storage/{storage}"
    if permissions.allows(path, "Datastore.Allocate"):
        return True
    has_space = permissions.allows(path, "Datastore.AllocateSpace")
    return has_space and permissions.allows(f"/vms/{vmid}", "VM.Backup")


def read_guest_backups(
    client: Client, guest: Guest, config: GuestConfig, inventory: Inventory
) -> BackupView:
    """What storages hold of this guest. One request a storage for backups, one for the rights.

    Without those, PVE leaves backups out of its lists, so such a storage counts as unseen.
    A backup older than the guest is one of another guest that had the same vmid, and left out.
    """
    backups: list[Backup] = []
    unseen: list[str] = []
    permissions = read_permissions_or_none(client)
    for storage in places_of_backups(inventory, guest.node):
        is_hidden = not may_restore(permissions, storage.storage, guest.vmid)
        if storage.status != "available" or is_hidden:
            unseen.append(f"{storage.storage} on {storage.node}")
            continue
        try:
            backups += read_backups_on(client, storage.node, storage.storage, guest.vmid)
        except PveopsError:
            unseen.append(f"{storage.storage} on {storage.node}")
    mine = [
        backup
        for backup in backups
        if backup.vmid == guest.vmid
        and backup.kind in {"", guest.kind}
        and backup.ctime >= config.created_at
    ]
    return BackupView(tuple(sorted(mine, reverse=True)), tuple(unseen))
