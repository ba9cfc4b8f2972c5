"""What decisions about single backups are made from: making one, and the ones there are."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

from pveops.api.port import api_path
from pveops.domain.backup import (
    Backup,
    places_of_backups,
    read_backups_on,
    roomiest,
    takes_backups,
)
from pveops.domain.disk import Disk, list_disks
from pveops.domain.facts import ActiveTask, GuestFacts, Scene, read_guest_facts
from pveops.domain.guest import Guest
from pveops.domain.keep import Keep, format_keep, keep_of, parse_keep
from pveops.domain.rows import int_of, object_of, rows_of, text_of
from pveops.domain.snapshot import read_can_snapshot
from pveops.domain.storage import Storage
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

_NO_LIMIT = -1
_OWNER = re.compile(r"vzdump-(?:qemu|lxc|openvz)-(?P<file>\d+)-|backup/(?:vm|ct)/(?P<pbs>\d+)/")


class RunFacts(NamedTuple):
    """A guest that is to be backed up, and the storage where the backup would go."""

    base: GuestFacts
    disks: tuple[Disk, ...]
    storage: Storage | None
    """None: the node has none for backups that answers, or none of the name that was given."""
    storages: tuple[str, ...]
    """Those of the node that take backups now."""
    existing: tuple[Backup, ...] | None
    """Of this vmid on that storage, oldest first; None: they cannot be read."""
    keep: Keep | None
    """The storage's own retention; None: it cannot be read."""
    max_protected: int | None
    """How many protected backups a guest may have there; -1: any number; None: not known."""
    node_backups: tuple[ActiveTask, ...]
    """Backups that run on the guest's node; PVE runs one at a time there."""
    can_snapshot: bool | None
    """Containers: whether all of its volumes can be snapshotted; None: not known, or a VM."""
    reason: str


def read_run_facts(client: Client, guest: Guest, scene: Scene) -> RunFacts:
    """About eight requests to the guest's node."""
    base = read_guest_facts(client, guest, scene)
    fitting = [each for each in scene.inventory.storages if takes_backups(each, guest.node)]
    wanted = scene.params.get("storage")
    named = [each for each in fitting if each.storage == wanted] if wanted else fitting
    storage = roomiest(named)
    name = storage.storage if storage else ""
    return RunFacts(
        base=base,
        disks=list_disks(guest.kind, base.config),
        storage=storage,
        storages=tuple(each.storage for each in fitting),
        existing=_read_existing(client, guest, name) if storage else (),
        keep=_read_keep(client, guest.node, name) if storage else None,
        max_protected=_read_max_protected(client, name) if storage else None,
        node_backups=read_node_backups(client, guest.node),
        can_snapshot=read_can_snapshot(client, guest.ref) if guest.kind == "lxc" else None,
        reason=scene.reason,
    )


def _read_existing(client: Client, guest: Guest, storage: str) -> tuple[Backup, ...] | None:
    try:
        return read_backups_on(client, guest.node, storage, guest.vmid)
    except PveopsError:
        return None


def _read_keep(client: Client, node: str, storage: str) -> Keep | None:
    """The retention that PVE would apply to a backup for which none was given (VZDump.pm)."""
    try:
        data = client.get(api_path("nodes", node, "vzdump", "defaults"), {"storage": storage})
    except PveopsError:
        return None
    return parse_keep(object_of(data).get("prune-backups"))


def _read_max_protected(client: Client, storage: str) -> int | None:
    """The option of the storage; only who may allocate there can read it.

    For them, PVE takes any number where it is not set (PVE::Storage, get_max_protected_backups).
    """
    try:
        row = object_of(client.get(api_path("storage", storage)))
    except PveopsError:
        return None
    return int_of(row, "max-protected-backups", _NO_LIMIT)


def read_node_backups(client: Client, node: str) -> tuple[ActiveTask, ...]:
    """The backups that run on a node now, as far as the token may see them. One request."""
    asked = {"source": "active", "typefilter": "vzdump"}
    rows = rows_of(client.get(api_path("nodes", node, "tasks"), asked))
    return tuple(
        ActiveTask(
            text_of(row, "upid"),
            text_of(row, "type"),
            text_of(row, "id"),
            text_of(row, "user"),
            int_of(row, "starttime"),
        )
        for row in rows
        if not row.get("endtime") and text_of(row, "type") == "vzdump"
    )


class VolumeFacts(NamedTuple):
    """One backup by its volume id, and the others of the same vmid beside it."""

    backup: Backup
    node: str
    """A node that has the storage, and answers."""
    siblings: tuple[Backup, ...]
    """All of the vmid on that storage, this one included, oldest first."""
    guest: Guest | None
    """Who has the vmid now."""
    is_quorate: bool | None
    read_at: int


def read_volume_facts(client: Client, scene: Scene) -> tuple[VolumeFacts, ...]:
    """One request for each node that has such a storage of its own; one for a shared storage.

    Raises NotFoundError, AmbiguousError when several nodes have a backup of that name, and
    NodeUnreachableError when it was not found, and not all places could be asked.
    """
    return (_read_volume(client, scene, scene.names[0]),)


def read_deletion_facts(client: Client, scene: Scene) -> tuple[VolumeFacts, ...]:
    """As `read_volume_facts`, for several, the oldest first.

    Each is read as it will be when those before it are gone: that is what its guard compares.
    """
    found = sorted(
        (_read_volume(client, scene, name) for name in dict.fromkeys(scene.names)),
        key=lambda facts: facts.backup,
    )
    gone: set[tuple[str, str]] = set()
    left: list[VolumeFacts] = []
    for facts in found:
        rest = tuple(each for each in facts.siblings if (facts.node, each.volid) not in gone)
        left.append(facts._replace(siblings=rest))
        gone.add((facts.node, facts.backup.volid))
    return tuple(left)


def _read_volume(client: Client, scene: Scene, volid: str) -> VolumeFacts:
    places = _places_of(scene, volid)
    owner = owner_of(volid)
    found: list[VolumeFacts] = []
    silent: list[str] = []
    for place in places:
        try:
            siblings = read_backups_on(client, place.node, place.storage, owner)
        except PveopsError:
            silent.append(place.node)
            continue
        guest = next((each for each in scene.inventory.guests if each.vmid == owner), None)
        found += [
            VolumeFacts(each, place.node, siblings, guest, scene.is_quorate, int(scene.now))
            for each in siblings
            if each.volid == volid
        ]
    if len(found) == 1:
        return found[0]
    if found:
        nodes = ", ".join(each.node for each in found)
        raise AmbiguousError(f"{nodes} each have a {volid}", hint="say which with --node")
    if silent:
        raise NodeUnreachableError(
            f"{volid} was not found, and {places[0].storage} does not answer on "
            f"{', '.join(silent)}",
            hint=f"pve storage show {shell_word(places[0].storage)}",
        )
    raise NotFoundError(
        f"there is no backup {volid} that this token may see",
        hint=f"list them: `pve backup list {owner or ''}`".replace(" `", "`"),
    )


def owner_of(volid: str) -> int | None:
    """The vmid that the name of a backup tells."""
    match = _OWNER.search(volid)
    return int(match["file"] or match["pbs"]) if match else None


def _places_of(scene: Scene, volid: str) -> list[Storage]:
    name, colon, rest = volid.partition(":")
    if not colon or not rest:
        raise UsageError(
            f"{volid!r} is no volume id", hint="STORAGE:backup/...; `pve backup list` has them"
        )
    places = [each for each in scene.inventory.storages if each.storage == name]
    if not places:
        raise NotFoundError(f"there is no storage {name!r}", hint="pve storage list")
    node = scene.params.get("node")
    if node:
        places = [each for each in places if each.node == node]
    up = [each for each in places if each.status == "available"]
    if not up:
        raise NodeUnreachableError(
            f"{name} is not available{f' on {node}' if node else ''}",
            hint=f"pve storage show {shell_word(name)}",
        )
    return up[:1] if up[0].is_shared else places


class Candidate(NamedTuple):
    """One backup, as a dry run of PVE's own pruning marks it."""

    backup: Backup
    mark: str
    """`keep`, `remove`, `protected`, or `renamed` (kept, too)."""


class PrunePlace(NamedTuple):
    """A storage that holds backups of the guest."""

    storage: str
    node: str
    candidates: tuple[Candidate, ...]
    """Oldest first."""


class PruneFacts(NamedTuple):
    """A guest and its backups, wherever some are, each with its mark."""

    base: GuestFacts
    places: tuple[PrunePlace, ...]
    unseen: tuple[str, ...]
    """Places that did not answer, or did not show what they would remove."""


def read_prune_facts(client: Client, guest: Guest, scene: Scene) -> PruneFacts:
    """Two requests for each storage that has backups of the guest, one for each other.

    Raises UsageError without a rule.
    """
    keep = keep_of(scene.params)
    if not keep:
        raise UsageError(
            "which are to stay?", hint="give at least one of --keep-last, --keep-daily, ..."
        )
    base = read_guest_facts(client, guest, scene)
    wanted = scene.params.get("storage")
    places: list[PrunePlace] = []
    unseen: list[str] = []
    for storage in places_of_backups(scene.inventory, guest.node):
        if wanted and storage.storage != wanted:
            continue
        try:
            place = _read_place(client, storage, guest, keep)
        except PveopsError:
            place = None
        if place is None:
            unseen.append(f"{storage.storage} on {storage.node}")
        elif place.candidates:
            places.append(place)
    if wanted and not places and not unseen:
        known = {each.storage for each in places_of_backups(scene.inventory, guest.node)}
        if wanted not in known:
            raise NotFoundError(f"there is no storage {wanted!r} for backups")
    return PruneFacts(base, tuple(places), tuple(unseen))


def _read_place(client: Client, storage: Storage, guest: Guest, keep: Keep) -> PrunePlace | None:
    """None: it does not answer, or it shows less of its backups than there are."""
    if storage.status != "available":
        return None
    mine = read_backups_on(client, storage.node, storage.storage, guest.vmid)
    known = {each.volid: each for each in mine if each.kind in {"", guest.kind}}
    path = api_path("nodes", storage.node, "storage", storage.storage, "prunebackups")
    asked: dict[str, str | int] = {
        "prune-backups": format_keep(keep),
        "vmid": guest.vmid,
        "type": guest.kind,
    }
    marks = {
        text_of(row, "volid"): text_of(row, "mark") for row in rows_of(client.get(path, asked))
    }
    if set(marks) != set(known):
        return None
    candidates = sorted(Candidate(known[volid], mark) for volid, mark in marks.items())
    return PrunePlace(storage.storage, storage.node, tuple(candidates))
