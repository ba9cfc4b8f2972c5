"""Who may plug a guest into a network (pve-guest-common GuestHelpers.pm check_vnet_access)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from pveops.sim.handlers.permission import check

if TYPE_CHECKING:
    from pveops.sim.call import Call

_NETWORK = re.compile(r"net\d+")


def check_bridge_access(call: Call, values: Mapping[str, Any]) -> None:
    """Refuse a network card on a bridge or VLAN that the caller may not use."""
    if call.identity.is_root:
        return
    for key in sorted(values):
        if _NETWORK.fullmatch(key) and (path := _acl_path(call, str(values[key]))):
            check(call, path, "SDN.Use")


def _acl_path(call: Call, value: str) -> str:
    """The bridge, below the zone that it is in, and its VLAN; empty: the card is on no bridge."""
    options = dict(part.partition("=")[::2] for part in value.split(",") if "=" in part)
    bridge = options.get("bridge")
    if not bridge:
        return ""
    vnet = call.cluster.sections["vnets"].entries.get(bridge, {})
    tag = f"/{options['tag']}" if options.get("tag") else ""
    return f"/sdn/zones/{vnet.get('zone', 'localnetwork')}/{bridge}{tag}"
