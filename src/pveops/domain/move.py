"""What a guest's move to another node is decided from."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, NamedTuple

from pveops.api.port import api_path
from pveops.domain.affinity import ReplicaJob, Rule, read_replica_jobs, read_rules
from pveops.domain.disk import Disk, list_disks
from pveops.domain.facts import GuestFacts, Scene, read_guest_facts
from pveops.domain.guest import Guest, GuestRef
from pveops.domain.node_sheet import NodeSheet, read_node_sheet
from pveops.domain.rows import Row, flag_of, int_of, object_of, rows_of, text_of, texts_of
from pveops.domain.snapshot import read_snapshots
from pveops.errors import (
    AccessError,
    ConflictError,
    NoQuorumError,
    PveopsError,
    RejectedError,
)

if TYPE_CHECKING:
    from pveops.api.client import Client


class LocalVolume(NamedTuple):
    """A volume that only the guest's own node has, so that a move copies it."""

    volid: str
    slot: str
    size_bytes: int
    is_cdrom: bool

    @property
    def storage(self) -> str:
        """Where it lies."""
        return self.volid.partition(":")[0]

    @property
    def is_generated(self) -> bool:
        """The drive of cloud-init, which PVE writes anew."""
        return "cloudinit" in self.volid


class Preconditions(NamedTuple):
    """What PVE itself says against a move (GET migrate); it looks at configurations alone.

    against: by node. mapped: key -> whether a running guest may take it along.
    """

    local_resources: tuple[str, ...] = ()
    mapped: Mapping[str, bool] = {}
    against: Mapping[str, tuple[str, ...]] = {}
    dependents: tuple[str, ...] = ()
    """Guests (`vm:102`) that HA moves along."""
    volumes: tuple[LocalVolume, ...] | None = None
    """None: PVE tells none for containers."""


class MoveScene(NamedTuple):
    """What is known of the nodes and the rules, read once for many guests."""

    sheets: Mapping[str, NodeSheet]
    rules: tuple[Rule, ...] | None
    replicas: tuple[ReplicaJob, ...] | None
    backups: tuple[str, ...] = ()
    """Backup tasks of several guests that run on the source now (UPIDs)."""


class MoveFacts(NamedTuple):
    """A guest, and what moves with it."""

    base: GuestFacts
    disks: tuple[Disk, ...]
    volumes: tuple[LocalVolume, ...]
    """On storages that its node does not share."""
    snapshots: tuple[str, ...]
    preconditions: Preconditions | None
    """None: this version of PVE has none for this kind, or the token may not read it."""
    scene: MoveScene
    clones: tuple[str, ...] = ()
    """Volumes that are linked clones of the guest's own (of a template)."""

    @property
    def bytes_to_copy(self) -> int:
        """What has to go over the network, memory left out."""
        return sum(volume.size_bytes for volume in self.volumes if not volume.is_cdrom)


def read_move_scene(
    client: Client, source: str, targets: Iterable[str], scene: Scene
) -> MoveScene:
    """Two requests a node, and four in all beside.

    Raises NotFoundError when there is no such node.
    """
    names = dict.fromkeys((source, *targets))
    return MoveScene(
        sheets={name: read_node_sheet(client, name, scene.inventory) for name in names},
        rules=read_rules(client),
        replicas=read_replica_jobs(client, source),
        backups=_read_backups(client, source),
    )


def read_scene_of(client: Client, source: str, around: MoveScene) -> MoveScene:
    """As `around`, for another node that guests leave. Two requests."""
    return around._replace(
        replicas=read_replica_jobs(client, source), backups=_read_backups(client, source)
    )


def _read_backups(client: Client, node: str) -> tuple[str, ...]:
    params = {"source": "active", "typefilter": "vzdump"}
    try:
        rows = rows_of(client.get(api_path("nodes", node, "tasks"), params))
    except PveopsError:
        return ()
    return tuple(text_of(row, "upid") for row in rows if not row.get("endtime"))


def read_facts_of_migration(client: Client, guest: Guest, scene: Scene) -> MoveFacts:
    """For one guest and the node of the parameter `node`: about twelve requests."""
    target = str(scene.params.get("node") or "")
    around = read_move_scene(client, guest.node, (target,), scene)
    return read_move_facts(client, guest, scene, around)


def read_move_facts(client: Client, guest: Guest, scene: Scene, around: MoveScene) -> MoveFacts:
    """Five requests to the guest's node, more for a template with volumes of its own."""
    base = read_guest_facts(client, guest, scene)
    disks = list_disks(guest.kind, base.config)
    preconditions = read_preconditions(client, guest.ref)
    sheet = around.sheets.get(guest.node)
    volumes = local_volumes_of(disks, sheet, preconditions)
    return MoveFacts(
        base=base,
        disks=disks,
        volumes=volumes,
        snapshots=tuple(each.name for each in read_snapshots(client, guest.ref).all),
        preconditions=preconditions,
        scene=around,
        clones=_read_clones(client, guest, volumes) if base.state.is_template else (),
    )


def local_volumes_of(
    disks: Iterable[Disk],
    sheet: NodeSheet | None,
    preconditions: Preconditions | None,
) -> tuple[LocalVolume, ...]:
    """As PVE tells them; else by the configuration and the storages of the node."""
    if preconditions is not None and preconditions.volumes is not None:
        return preconditions.volumes
    found = []
    for disk in disks:
        storage = sheet.find_storage(disk.storage) if sheet and disk.storage else None
        if storage is not None and not storage.is_shared:
            found.append(LocalVolume(disk.volid, disk.slot, disk.size_bytes or 0, False))
    return tuple(found)


def read_preconditions(client: Client, ref: GuestRef) -> Preconditions | None:
    """One request. None: this version has none for containers, or it may not be read.

    A lock or a missing quorum makes PVE refuse even to tell; the guest's own facts say so, too.
    """
    try:
        answer = object_of(client.get(ref.path("migrate")))
    except (AccessError, RejectedError, ConflictError, NoQuorumError):
        return None
    is_odd = any(not isinstance(answer.get(name) or [], list) for name in _LISTS)
    return None if is_odd else preconditions_of(answer)


_LISTS = ("local_resources", "mapped-resources", "dependent-ha-resources", "local_disks")
"""What is no list here tells nothing, and least of all that there are none."""


def preconditions_of(answer: Row) -> Preconditions:
    """The answer for a VM, or, with hyphens in its keys, for a container."""
    refused = object_of(answer.get("not_allowed_nodes") or answer.get("not-allowed-nodes"))
    info = object_of(answer.get("mapped-resource-info"))
    mapped = dict.fromkeys(texts_of(answer, "mapped-resources"), False) | {
        key: flag_of(object_of(value), "live-migration") for key, value in info.items()
    }
    rows = answer.get("local_disks")
    return Preconditions(
        local_resources=tuple(
            key for key in texts_of(answer, "local_resources") if key not in mapped
        ),
        mapped=mapped,
        against={node: tuple(_reasons(object_of(why))) for node, why in refused.items()},
        dependents=texts_of(answer, "dependent-ha-resources"),
        volumes=None
        if rows is None
        else tuple(
            LocalVolume(
                text_of(row, "volid"),
                text_of(row, "drivename"),
                int_of(row, "size"),
                flag_of(row, "cdrom"),
            )
            for row in rows_of(rows)
        ),
    )


def _reasons(why: Row) -> Iterable[str]:
    for storage in texts_of(why, "unavailable_storages"):
        yield f"it has no storage {storage}"
    for name in texts_of(why, "unavailable-resources"):
        yield f"it lacks the mapped device {name}"
    for row in rows_of(why.get("blocking-ha-resources")):
        yield f"HA's {text_of(row, 'cause')} rule forbids it ({text_of(row, 'sid')})"


def _read_clones(client: Client, guest: Guest, volumes: Iterable[LocalVolume]) -> tuple[str, ...]:
    """Linked clones of a template's volumes. One request a storage."""
    names = {volume.volid.partition(":")[2] for volume in volumes}
    found: list[str] = []
    for storage in sorted({volume.storage for volume in volumes}):
        path = api_path("nodes", guest.node, "storage", storage, "content")
        try:
            rows = rows_of(client.get(path))
        except PveopsError:
            continue
        found += [
            text_of(row, "volid")
            for row in rows
            if text_of(row, "parent").removeprefix("../") in names
        ]
    return tuple(sorted(found))
