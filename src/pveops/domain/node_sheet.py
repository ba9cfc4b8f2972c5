"""A node as a place for guests: memory, processors, version, bridges, storages."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

from pveops.api.port import api_path
from pveops.domain.inventory import Inventory
from pveops.domain.rows import object_of, rows_of, text_of
from pveops.domain.storage import Storage
from pveops.errors import AccessError, RejectedError, UnreachableError

if TYPE_CHECKING:
    from pveops.api.client import Client
    from pveops.domain.rows import Row

HOST_BYTES = 1 << 30
"""What is left to the node itself, beside its guests."""
_VERSION = re.compile(r"(\d+)\.(\d+)(?:[.-](\d+))?")


class NodeSheet(NamedTuple):
    """What is known of one node; what the token may not see is None or empty.

    memory_bytes: None when it is not known. promised_bytes: all that its running guests may take.
    cpu: model and flags as one word to compare; empty when not known.
    bridges: what network cards of guests can be connected to, SDN's vnets included.
    """

    name: str
    is_online: bool
    memory_bytes: int | None
    used_bytes: int
    promised_bytes: int
    cpu: str
    cpu_model: str
    version: tuple[int, ...]
    bridges: frozenset[str] | None
    storages: tuple[Storage, ...]

    @property
    def room_bytes(self) -> int | None:
        """Memory that no guest has been promised and nothing uses; None when not known.

        The smaller of both: guests may come to use what they were promised, and what is used by
        the node's own caches may not be given back in time.
        """
        if self.memory_bytes is None:
            return None
        return self.memory_bytes - max(self.promised_bytes + HOST_BYTES, self.used_bytes)

    def find_storage(self, name: str) -> Storage | None:
        """The storage, as this node sees it."""
        return next((each for each in self.storages if each.storage == name), None)


def read_node_sheet(client: Client, name: str, inventory: Inventory) -> NodeSheet:
    """Two requests to the node; none when it is not online.

    Raises NotFoundError for a node that is not in the cluster.
    """
    node = inventory.get_node(name)
    status = _read_status(client, name) if node.is_online else {}
    cpu = object_of(status.get("cpuinfo"))
    model, flags = text_of(cpu, "model"), text_of(cpu, "flags")
    promised = sum(
        guest.maxmem_bytes
        for guest in inventory.guests
        if guest.node == name and guest.status not in {"stopped", "unknown"}
    )
    return NodeSheet(
        name=name,
        is_online=node.is_online,
        memory_bytes=node.maxmem_bytes if node.has_figures and node.is_online else None,
        used_bytes=node.mem_bytes,
        promised_bytes=promised,
        cpu=f"{model}|{' '.join(sorted(flags.split()))}" if model else "",
        cpu_model=model,
        version=version_of(text_of(status, "pveversion")),
        bridges=_read_bridges(client, name) if node.is_online else None,
        storages=tuple(each for each in inventory.storages if each.node == name),
    )


def version_of(text: str) -> tuple[int, ...]:
    """`pve-manager/9.2.11/abcdef` as (9, 2, 11); empty when it is no version."""
    match = _VERSION.search(text)
    return tuple(int(part) for part in match.groups() if part) if match else ()


def _read_status(client: Client, name: str) -> Row:
    try:
        return object_of(client.get(api_path("nodes", name, "status")))
    except (AccessError, RejectedError, UnreachableError):
        return {}


def _read_bridges(client: Client, name: str) -> frozenset[str] | None:
    """`any_bridge` lists Linux and OVS bridges, and vnets (pve-manager API2/Network.pm)."""
    path = api_path("nodes", name, "network")
    try:
        rows = rows_of(client.get(path, {"type": "any_bridge"}))
    except (AccessError, RejectedError, UnreachableError):
        return None
    return frozenset(text_of(row, "iface") for row in rows)
