"""What decisions about a guest's snapshots are made from."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from pveops.domain.facts import GuestFacts, Scene, read_guest_facts
from pveops.domain.guest import Guest, GuestRef, disks_of
from pveops.domain.rows import Row, object_of
from pveops.domain.snapshot import Snapshots, read_can_snapshot, read_snapshots
from pveops.domain.storage import Storage
from pveops.errors import NotFoundError

if TYPE_CHECKING:
    from pveops.api.client import Client


class SnapshotFacts(NamedTuple):
    """A guest, its snapshots, and the storages that its disks lie on."""

    base: GuestFacts
    snapshots: Snapshots
    storages: tuple[Storage, ...]
    """Of the guest's own disks, as its node sees them."""
    can_snapshot: bool | None = None
    """None: not asked."""
    old_config: Row | None = None
    """The configuration in the snapshot that is asked for; None: not asked, or none such."""


def read_facts_to_create(client: Client, guest: Guest, scene: Scene) -> SnapshotFacts:
    """Five requests to the guest's node."""
    facts = read_facts_to_remove(client, guest, scene)
    return facts._replace(can_snapshot=read_can_snapshot(client, guest.ref))


def read_facts_to_roll_back(client: Client, guest: Guest, scene: Scene) -> SnapshotFacts:
    """Five requests to the guest's node."""
    facts = read_facts_to_remove(client, guest, scene)
    name = str(scene.params.get("snapname") or "")
    return facts._replace(old_config=_read_old_config(client, guest.ref, name))


def read_facts_to_remove(client: Client, guest: Guest, scene: Scene) -> SnapshotFacts:
    """Four requests to the guest's node."""
    base = read_guest_facts(client, guest, scene)
    names = {
        str(value).partition(":")[0] for value in disks_of(guest.kind, base.config.values).values()
    }
    storages = tuple(
        storage
        for storage in scene.inventory.storages
        if storage.node == guest.node and storage.storage in names
    )
    return SnapshotFacts(base, read_snapshots(client, guest.ref), storages)


def _read_old_config(client: Client, ref: GuestRef, name: str) -> Row | None:
    try:
        return object_of(client.get(ref.path("config"), {"snapshot": name}))
    except NotFoundError:
        return None
