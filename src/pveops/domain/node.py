"""Nodes: the servers of a cluster."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from pveops.api.port import api_path
from pveops.domain.rows import Row, float_of, int_of, rows_of, text_of
from pveops.errors import PveopsError

if TYPE_CHECKING:
    from pveops.api.client import Client


class Node(NamedTuple):
    """One row of type `node` in /cluster/resources.

    status: `online`, `offline`, or `unknown` (a member whose pvestatd sent nothing for five
        minutes). The numbers are 0 when the token lacks Sys.Audit on the node.
    """

    name: str
    status: str
    cpu: float
    """Share of `maxcpu` in use."""
    maxcpu: float
    mem_bytes: int
    maxmem_bytes: int
    disk_bytes: int
    maxdisk_bytes: int
    uptime_s: int
    hastate: str
    has_figures: bool
    """False: the token may not see them."""

    @property
    def is_online(self) -> bool:
        """Member of the cluster, and its statistics are fresh."""
        return self.status == "online"


def node_of_row(row: Row) -> Node:
    """A node from its row in /cluster/resources."""
    return Node(
        name=text_of(row, "node"),
        status=text_of(row, "status", "unknown"),
        cpu=float_of(row, "cpu"),
        maxcpu=float_of(row, "maxcpu"),
        mem_bytes=int_of(row, "mem"),
        maxmem_bytes=int_of(row, "maxmem"),
        disk_bytes=int_of(row, "disk"),
        maxdisk_bytes=int_of(row, "maxdisk"),
        uptime_s=int_of(row, "uptime"),
        hastate=text_of(row, "hastate"),
        has_figures="maxmem" in row,
    )


def read_bridges(client: Client, node: str) -> tuple[str, ...] | None:
    """Bridges and vnets of a node (PVE::API2::Network, `any_bridge`); None: not visible."""
    try:
        data = client.get(api_path("nodes", node, "network"), {"type": "any_bridge"})
    except PveopsError:
        return None
    return tuple(sorted(text_of(row, "iface") for row in rows_of(data)))
