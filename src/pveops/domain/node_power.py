"""What the reboot or shutdown of a node is decided from."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, NamedTuple

from pveops.api.port import api_path
from pveops.domain.access import read_permissions_or_none
from pveops.domain.ceph import CephHealth, read_ceph
from pveops.domain.facts import Scene
from pveops.domain.guest import Guest, read_guest_config
from pveops.domain.ha import HaResource, read_ha
from pveops.domain.inventory import Inventory
from pveops.domain.kernel import Kernels, read_kernels
from pveops.domain.node import Node
from pveops.domain.replication import read_replication
from pveops.domain.rows import int_of, rows_of, text_of
from pveops.domain.votes import Votes, read_votes
from pveops.errors import PveopsError
from pveops.ids import parse_upid

if TYPE_CHECKING:
    from pveops.api.client import Client

_HARMLESS = frozenset({"vncproxy", "spiceproxy", "termproxy", "vncshell", "startall"})


class ClusterAround(NamedTuple):
    """What is true of the whole cluster when a node of it is to go down.

    ha: None when the token may not read it. busy: tasks at work, by node (UPIDs); None for a node
    that could not be asked.
    """

    is_quorate: bool | None
    votes: Votes
    offline: tuple[str, ...]
    ha: tuple[HaResource, ...] | None
    ceph: CephHealth | None
    busy: dict[str, tuple[str, ...] | None]
    replicating: tuple[str, ...] | None = ()
    """Replication jobs that copy now; None: not all of them could be seen."""
    sees_all_guests: bool = True
    """False: there may be guests that the token cannot see."""


class NodePower(NamedTuple):
    """A node, what runs on it, and what is around it.

    running: guests that are up there. onboot: of these, the vmids that start with the node;
    None: not read. storages: what is active there. booted_at: seconds since the epoch.
    """

    node: Node
    running: tuple[Guest, ...]
    onboot: frozenset[int] | None
    storages: tuple[str, ...]
    kernels: Kernels
    booted_at: int
    around: ClusterAround


def read_node_power(client: Client, scene: Scene) -> tuple[NodePower]:
    """For the node that is named: some eight requests, and one a running guest where those stay.

    Raises NotFoundError.
    """
    node = scene.inventory.get_node(scene.names[0] if scene.names else "")
    around = read_around(client, scene, [node.name])
    reads_guests = bool(scene.params.get("with_guests"))
    return (read_one_node(client, node, scene, around, reads_guests=reads_guests),)


def read_around(client: Client, scene: Scene, nodes: Iterable[str]) -> ClusterAround:
    """Six requests, and one for each of the nodes that is online, to see what works there."""
    inventory = scene.inventory
    return ClusterAround(
        is_quorate=scene.is_quorate,
        votes=read_votes(client, inventory),
        offline=inventory.nodes_not_online,
        ha=_read_ha(client),
        ceph=read_ceph(client, inventory),
        busy={
            name: _read_busy(client, name)
            for name in nodes
            if name not in inventory.nodes_not_online
        },
        replicating=_read_replicating(client, inventory.nodes_not_online),
        sees_all_guests=_sees_all_guests(client),
    )


def read_one_node(
    client: Client,
    node: Node,
    scene: Scene,
    around: ClusterAround,
    *,
    reads_guests: bool = False,
) -> NodePower:
    """Four requests; with `reads_guests` one more for each guest that runs there."""
    inventory = scene.inventory
    up = read_up(client, node.name) if node.is_online else frozenset()
    running = tuple(guest for guest in inventory.guests if guest.vmid in up)
    return NodePower(
        node=node,
        running=running,
        onboot=_read_onboot(client, running) if reads_guests else None,
        storages=active_storages(inventory, node.name),
        kernels=read_kernels(client, node.name) if node.is_online else Kernels("", ""),
        booted_at=int(scene.now) - node.uptime_s,
        around=around,
    )


def read_up(client: Client, node: str) -> frozenset[int]:
    """The vmids of a node that are not stopped now, by the node itself. Two requests.

    /cluster/resources would be up to ten seconds behind (pvestatd).
    """
    return frozenset(
        int_of(row, "vmid")
        for kind in ("qemu", "lxc")
        for row in rows_of(client.get(api_path("nodes", node, kind)))
        if text_of(row, "status") != "stopped"
    )


def active_storages(inventory: Inventory, node: str) -> tuple[str, ...]:
    """What the node can reach of its storages."""
    return tuple(
        storage.storage
        for storage in inventory.storages
        if storage.node == node and storage.status == "available"
    )


def _sees_all_guests(client: Client) -> bool:
    permissions = read_permissions_or_none(client)
    return permissions is not None and permissions.allows("/vms", "VM.Audit")


def _read_replicating(client: Client, gone: Iterable[str]) -> tuple[str, ...] | None:
    """What a node that is gone would copy, it does not."""
    try:
        view = read_replication(client)
    except PveopsError:
        return None
    at_work = tuple(job.id for job in view.jobs if job.is_running)
    return at_work if at_work or set(view.unseen) <= set(gone) else None


def _read_ha(client: Client) -> tuple[HaResource, ...] | None:
    try:
        return read_ha(client).resources
    except PveopsError:
        return None


def _read_busy(client: Client, node: str) -> tuple[str, ...] | None:
    path = api_path("nodes", node, "tasks")
    try:
        rows = rows_of(client.get(path, {"source": "active"}))
    except PveopsError:
        return None
    running = [text_of(row, "upid") for row in rows if not row.get("endtime")]
    return tuple(
        upid for upid in running if (task := parse_upid(upid)) and task.type not in _HARMLESS
    )


def _read_onboot(client: Client, guests: Iterable[Guest]) -> frozenset[int]:
    return frozenset(
        guest.vmid
        for guest in guests
        if read_guest_config(client, guest.ref).get("onboot") in {"1", "true"}
    )
