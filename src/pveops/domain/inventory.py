"""What there is in the cluster, from one or two requests.

`read_inventory` needs /cluster/resources alone, unless guests are new; `read_cluster_view`
adds /cluster/status, which knows quorum and live membership (and needs Sys.Audit on `/`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from pveops.domain.guest import Guest, guest_of_row
from pveops.domain.node import Node, node_of_row
from pveops.domain.rows import Row, flag_of, int_of, rows_of, text_of
from pveops.domain.storage import Storage, storage_of_row
from pveops.errors import AccessError, NotFoundError, RejectedError, UnreachableError

if TYPE_CHECKING:
    from pveops.api.client import Client

_GUEST_KINDS = ("qemu", "lxc")
_CONFIGURED = ("name", "tags", "template", "lock")
"""What the configuration knows of a guest, called alike in both lists."""


class Inventory(NamedTuple):
    """Everything that the token may see in /cluster/resources, sorted by id."""

    guests: tuple[Guest, ...]
    nodes: tuple[Node, ...]
    storages: tuple[Storage, ...]
    pools: tuple[str, ...]

    @property
    def nodes_not_online(self) -> tuple[str, ...]:
        """The nodes whose guests are in an unknown state."""
        return tuple(node.name for node in self.nodes if not node.is_online)

    def find_node(self, name: str) -> Node | None:
        """The node of that name."""
        return next((node for node in self.nodes if node.name == name), None)

    def get_node(self, name: str) -> Node:
        """The node of that name. Raises NotFoundError with the names there are."""
        node = self.find_node(name)
        if node is None:
            names = ", ".join(each.name for each in self.nodes) or "none that is visible"
            raise NotFoundError(f"there is no node {name!r}", hint=f"the nodes are: {names}")
        return node

    def list_storages(self, name: str) -> tuple[Storage, ...]:
        """The storage of that name as each node has it; raises NotFoundError when none has."""
        found = tuple(each for each in self.storages if each.storage == name)
        if not found:
            names = ", ".join(dict.fromkeys(sorted(each.storage for each in self.storages)))
            raise NotFoundError(
                f"there is no storage {name!r} among those that are visible",
                hint=f"the storages are: {names}" if names else "pve status",
            )
        return found


class Membership(NamedTuple):
    """The cluster as its membership service sees it now (/cluster/status)."""

    cluster: str
    """The cluster's name; empty for a standalone node."""
    is_quorate: bool
    version: int
    """Of the cluster's configuration."""
    addresses: dict[str, str]
    """IP address by node, for fail-over."""
    offline: tuple[str, ...]
    local: str = ""
    """The node that answered."""


class ClusterView(NamedTuple):
    """The inventory, and the membership if the token may see it."""

    inventory: Inventory
    membership: Membership | None
    """None: the token lacks Sys.Audit on `/`, so quorum is not known."""


def read_inventory(client: Client) -> Inventory:
    """One request, and one more for each node and kind with guests that have no name yet."""
    return inventory_of(_name_new_guests(client, rows_of(client.get("/cluster/resources"))))


def _name_new_guests(client: Client, rows: list[Row]) -> list[Row]:
    """Name the guests that were made just now.

    /cluster/resources knows of a guest at once, but its name and tags only from pvestatd's next
    round, some ten seconds later (`extract_vm_stats` in API2Tools.pm). Without them a guest that
    was just made would be "not found", could be made a second time under the same name, and
    would escape from rules by name or tag. The node's own list reads its configuration. A node
    that cannot be asked leaves its guests nameless, as /cluster/resources had them.
    """
    online = {
        text_of(row, "node")
        for row in rows
        if row.get("type") == "node" and row.get("status") == "online"
    }
    nameless = [
        row for row in rows if text_of(row, "type") in _GUEST_KINDS and not row.get("name")
    ]
    places = [(text_of(row, "node"), text_of(row, "type")) for row in nameless]
    lists = {(node, kind) for node, kind in places if node in online}
    if not lists:
        return rows
    known: dict[tuple[Any, Any], Row] = {}
    for node, kind in sorted(lists):
        for row in _read_node_list(client, f"/nodes/{node}/{kind}"):
            known[kind, int_of(row, "vmid")] = row
    return [_fill(row, known.get((text_of(row, "type"), int_of(row, "vmid")), {})) for row in rows]


def _read_node_list(client: Client, path: str) -> list[Row]:
    try:
        return rows_of(client.get(path))
    except (AccessError, UnreachableError, RejectedError):
        return []


def _fill(row: Row, known: Row) -> Row:
    return {**{key: known[key] for key in _CONFIGURED if known.get(key)}, **row}


def inventory_of(rows: list[Row]) -> Inventory:
    """Sort the rows of /cluster/resources by kind."""
    by_type: dict[Any, list[Row]] = {}
    for row in rows:
        by_type.setdefault(text_of(row, "type"), []).append(row)
    nodes = sorted(node_of_row(row) for row in by_type.get("node", ()))
    online = frozenset(node.name for node in nodes if node.is_online)
    guests = [guest_of_row(row, online) for kind in _GUEST_KINDS for row in by_type.get(kind, ())]
    guests.sort()
    return Inventory(
        guests=tuple(guests),
        nodes=tuple(nodes),
        storages=tuple(sorted(storage_of_row(row, online) for row in by_type.get("storage", ()))),
        pools=tuple(sorted(text_of(row, "pool") for row in by_type.get("pool", ()))),
    )


def read_cluster_view(client: Client) -> ClusterView:
    """Two requests; without the privilege for the second, the membership is None."""
    return ClusterView(read_inventory(client), read_membership(client))


def read_membership(client: Client) -> Membership | None:
    """One request; None when the token may not see it."""
    try:
        data = client.get("/cluster/status")
    except AccessError:
        return None
    return membership_of(rows_of(data))


def membership_of(rows: list[Row]) -> Membership:
    """The rows of /cluster/status. A standalone node has no row of type `cluster`."""
    cluster = next((row for row in rows if row.get("type") == "cluster"), None)
    nodes = [row for row in rows if row.get("type") == "node"]
    return Membership(
        cluster=text_of(cluster, "name") if cluster else "",
        is_quorate=flag_of(cluster, "quorate") if cluster else True,
        version=int_of(cluster, "version") if cluster else 0,
        addresses={text_of(row, "name"): text_of(row, "ip") for row in nodes if row.get("ip")},
        offline=tuple(sorted(text_of(row, "name") for row in nodes if not flag_of(row, "online"))),
        local=next((text_of(row, "name") for row in nodes if flag_of(row, "local")), ""),
    )
