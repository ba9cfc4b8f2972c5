"""What is wrong with the HA stack itself; its guests' states are in `health`. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from pveops.domain.ha import HaDaemons
from pveops.domain.inventory import Inventory
from pveops.operations.findings import Finding

_TROUBLE = ("old timestamp", "time drift", "unable to read")
_DISARMED = frozenset({"disarming", "disarmed"})
_STATUS = "/cluster/ha/status/current"


def check_ha_daemons(daemons: HaDaemons, inventory: Inventory) -> Iterator[Finding]:
    """Managers that are silent although their node is online, and fencing that is off."""
    gone = inventory.nodes_not_online
    for node, status in sorted(daemons.nodes.items()):
        if node not in gone and any(word in status for word in _TROUBLE):
            text = f"its HA manager: {status}"
            yield Finding("ha.manager", "warn", f"node/{node}", text, _STATUS, "pve ha list")
    if daemons.armed in _DISARMED:
        text = f"HA is {daemons.armed}: no guest is recovered when its node dies"
        yield Finding("ha.disarmed", "warn", "ha", text, _STATUS, "pve ha list")
