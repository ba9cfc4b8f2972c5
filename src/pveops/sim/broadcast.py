"""What the nodes tell each other about running state: new every 10 s, kept for five minutes.

Each node's pvestatd sends the figures of its guests and storages in rounds of 10 s; the cluster
file system keeps the last word of a dead node for 300 s (pmxcfs status.c). So a guest on a node
that died a minute ago is still "running", and after five minutes it is "unknown".
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from pveops.sim.figures import guest_figures

if TYPE_CHECKING:
    from pveops.sim.model import Cluster, Node

ROUND_S = 10.0
KEPT_S = 300.0


@dataclass(slots=True)
class Broadcast:
    """The last round of one node."""

    round: int = -1
    sent_at: float = 0.0
    guests: dict[int, dict[str, Any]] = field(default_factory=dict)
    stale: tuple[float, dict[int, dict[str, Any]]] | None = None
    """What those who were cut off from the node heard last."""


def refresh(cluster: Cluster, node: Node) -> None:
    """Send this round's figures, if the node is up and has not sent them yet."""
    now = cluster.timeline.now()
    current = int(now // ROUND_S)
    broadcast = node.broadcast
    if not node.is_online or broadcast.round == current:
        return
    broadcast.round = current
    broadcast.sent_at = current * ROUND_S
    broadcast.guests = {
        guest.vmid: guest_figures(cluster, node, guest)
        for guest in cluster.guests.values()
        if guest.node == node.name
    }


def cut_off(cluster: Cluster, node: Node) -> None:
    """From now on others hear nothing new of the node."""
    refresh(cluster, node)
    node.broadcast.stale = (node.broadcast.sent_at, dict(node.broadcast.guests))


def heard_figures(cluster: Cluster, viewer: Node, node: Node) -> dict[int, dict[str, Any]]:
    """The figures of the node's guests as `viewer` knows them; empty when they are too old."""
    if node.is_online and node.partition == viewer.partition:
        refresh(cluster, node)
        return node.broadcast.guests
    if node.broadcast.stale is None:
        return {}
    sent_at, guests = node.broadcast.stale
    return guests if cluster.timeline.now() - sent_at <= KEPT_S else {}
