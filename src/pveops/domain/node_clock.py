"""How a node's clock goes, compared with this machine's."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pveops.api.port import api_path
from pveops.domain.rows import int_of, object_of

if TYPE_CHECKING:
    from pveops.api.client import Client

SKEW_WARN_S = 5.0
SKEW_BAD_S = 60.0
"""PVE's tickets and tasks are compared by time; a minute apart, logins and look-ups go wrong."""


def read_ahead_s(client: Client, node: str) -> float:
    """Seconds by which the node's clock is ahead of ours. One request; takes Sys.Audit."""
    before = client.clock.now()
    told = int_of(object_of(client.get(api_path("nodes", node, "time"))), "time")
    return told - (before + client.clock.now()) / 2


def describe_skew(node: str, ahead_s: float) -> str:
    """In words."""
    way = "ahead of" if ahead_s > 0 else "behind"
    return f"the clock of {node} is {abs(ahead_s):.0f} s {way} this machine's"
