"""Nodes: the servers of a cluster."""

from __future__ import annotations

from typing import NamedTuple

from pveops.domain.rows import Row, float_of, int_of, text_of


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
