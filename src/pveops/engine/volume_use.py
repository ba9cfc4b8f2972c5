"""Who uses a volume: nothing in PVE tells, so every configuration that could name it is read."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from pveops.api.port import api_path
from pveops.domain.access import read_permissions_or_none
from pveops.domain.facts import Scene
from pveops.domain.guest import Guest
from pveops.domain.inventory import read_inventory
from pveops.domain.rows import Row, flag_of, int_of, object_of, rows_of, text_of
from pveops.domain.snapshot import read_snapshots
from pveops.domain.storage import Storage
from pveops.domain.volume_facts import DeletionFacts, VolumeRow, VolumeUse, keys_that_name
from pveops.engine.pool import run_bounded
from pveops.errors import (
    AmbiguousError,
    NodeUnreachableError,
    NotFoundError,
    PveopsError,
    UsageError,
)
from pveops.sanitize import shell_word

if TYPE_CHECKING:
    from pveops.api.client import Client


def read_deletion_facts(client: Client, scene: Scene) -> tuple[DeletionFacts]:
    """Two requests a guest that can reach the storage, and one a snapshot of the owner.

    Raises NotFoundError, AmbiguousError, NodeUnreachableError, UsageError.
    """
    volid = scene.names[0]
    place, rows, row = _find(client, scene, volid)
    own = "" if place.is_shared else place.node
    guests = [guest for guest in scene.inventory.guests if own in {"", guest.node}]
    uses, unread = _read_uses(client, volid, guests)
    vmid = int_of(row, "vmid")
    owner = next((guest for guest in scene.inventory.guests if guest.vmid == vmid), None)
    if owner is not None:
        uses += _read_uses_of_snapshots(client, volid, owner, unread)
    permissions = read_permissions_or_none(client)
    volume = VolumeRow(
        volid=volid,
        content=text_of(row, "content"),
        size_bytes=int_of(row, "size"),
        vmid=vmid,
        is_protected=flag_of(row, "protected"),
    )
    return (
        DeletionFacts(
            volume=volume,
            storage=place.storage,
            node=place.node,
            owner=owner.ref.label if owner else "",
            uses=tuple(uses),
            clones=tuple(_clones_of(volid, rows)),
            unread=tuple(unread),
            sees_all_guests=permissions is not None and permissions.allows("/vms", "VM.Audit"),
            is_quorate=scene.is_quorate,
        ),
    )


def read_uses(client: Client, storage: str, node: str, volid: str) -> tuple[VolumeUse, ...]:
    """Who names the volume now. Raises NodeUnreachableError when not everybody can be asked."""
    inventory = read_inventory(client)
    is_shared = any(e.is_shared for e in inventory.storages if e.storage == storage)
    guests = [guest for guest in inventory.guests if is_shared or guest.node == node]
    uses, unread = _read_uses(client, volid, guests)
    if unread:
        raise NodeUnreachableError(
            f"nobody knows whether these use {volid}: {', '.join(unread[:5])}"
        )
    return tuple(uses)


def _find(client: Client, scene: Scene, volid: str) -> tuple[Storage, list[Row], Row]:
    """The one place that has it, with all that lies there."""
    name, colon, rest = volid.partition(":")
    if not colon or not rest:
        raise UsageError(f"{volid!r} is no volume id", hint="STORAGE:...; `pve storage content`")
    wanted = scene.params.get("node")
    places = [
        each
        for each in scene.inventory.storages
        if each.storage == name and wanted in {None, each.node}
    ]
    if not places:
        raise NotFoundError(f"there is no storage {name!r}", hint="pve storage list")
    up = [each for each in places if each.status == "available"]
    if places[0].is_shared:
        up = up[:1]
    there = []
    for place in up:
        rows = _list(client, place)
        there += [(place, rows, row) for row in rows if text_of(row, "volid") == volid]
    if len(there) == 1:
        return there[0]
    if there:
        nodes = ", ".join(place.node for place, _, _ in there)
        raise AmbiguousError(f"{nodes} each have a {volid}", hint="say which with --node")
    silent = sorted({each.node for each in places if each.status != "available"})
    if silent and (not places[0].is_shared or not up):
        raise NodeUnreachableError(
            f"{volid} was not found, and {name} does not answer on {', '.join(silent)}",
            hint=f"pve storage show {shell_word(name)}",
        )
    raise NotFoundError(
        f"there is no volume {volid} that this token may see",
        hint=f"pve storage content {shell_word(name)}",
    )


def _list(client: Client, place: Storage) -> list[Row]:
    return rows_of(client.get(api_path("nodes", place.node, "storage", place.storage, "content")))


def _read_uses(
    client: Client, volid: str, guests: list[Guest]
) -> tuple[list[VolumeUse], list[str]]:
    uses: list[VolumeUse] = []
    unread: list[str] = []
    if not guests:
        return uses, unread
    nodes = [guest.node for guest in guests]
    found = run_bounded(nodes, lambda index: _read_keys(client, volid, guests[index]))
    for guest, keys in zip(guests, found, strict=True):
        if keys is None:
            unread.append(guest.ref.label)
        else:
            uses += [VolumeUse(guest.vmid, guest.name, key) for key in keys]
    return uses, unread


def _read_keys(client: Client, volid: str, guest: Guest) -> tuple[str, ...] | None:
    """Of the configuration with what is pending, and of what holds now; None: unreadable."""
    try:
        pending = object_of(client.get(guest.ref.path("config")))
        # `current` is what the running guest has still, although it is to be removed.
        current = object_of(client.get(guest.ref.path("config"), {"current": True}))
    except PveopsError:
        return None
    return tuple(dict.fromkeys((*keys_that_name(volid, pending), *keys_that_name(volid, current))))


def _read_uses_of_snapshots(
    client: Client, volid: str, owner: Guest, unread: list[str]
) -> list[VolumeUse]:
    uses: list[VolumeUse] = []
    try:
        for snapshot in read_snapshots(client, owner.ref).all:
            path = owner.ref.path("snapshot", snapshot.name, "config")
            keys = keys_that_name(volid, object_of(client.get(path)))
            told = [f"{key} of the snapshot {snapshot.name}" for key in keys]
            uses += [VolumeUse(owner.vmid, owner.name, key) for key in told]
    except PveopsError:
        unread.append(f"the snapshots of {owner.ref.label}")
    return uses


def _clones_of(volid: str, rows: Iterable[Row]) -> Iterator[str]:
    """Linked clones: told by their parent, or by the base in their name."""
    name = volid.partition(":")[2]
    file = name.rpartition("/")[2]
    for row in rows:
        parent = text_of(row, "parent").partition("@")[0].rpartition("/")[2]
        other = text_of(row, "volid")
        if other != volid and (parent == file or f"{name}/" in other):
            yield other
