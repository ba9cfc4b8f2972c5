"""Votes: whether the cluster keeps its quorum without a node."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from pveops.domain.inventory import Inventory
from pveops.domain.rows import object_of, text_of
from pveops.errors import PveopsError

if TYPE_CHECKING:
    from pveops.api.client import Client


class Votes(NamedTuple):
    """One vote a node, and one of a quorum device that is connected (corosync votequorum)."""

    online: frozenset[str]
    total: int
    has_device: bool

    def left_without(self, name: str) -> int:
        """The votes that are there when that node is off."""
        return len(self.online - {name}) + int(self.has_device)

    def keeps_quorum_without(self, name: str) -> bool:
        """Whether more than half of all votes are left."""
        return 2 * self.left_without(name) > self.total


def read_votes(client: Client, inventory: Inventory) -> Votes:
    """One request. A device that cannot be asked about, or is not connected, has no vote."""
    has_device = _has_device(client)
    return Votes(
        online=frozenset(node.name for node in inventory.nodes if node.is_online),
        total=len(inventory.nodes) + int(has_device),
        has_device=has_device,
    )


def _has_device(client: Client) -> bool:
    try:
        device = object_of(client.get("/cluster/config/qdevice"))
    except PveopsError:
        return False
    return text_of(device, "State") == "Connected"
