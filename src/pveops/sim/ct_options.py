"""Options of containers as the configuration keeps them, and who may set them.

(pve-container LXC/Config.pm, LXC.pm check_ct_modify_config_perm)
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from pveops.sim.config_change import normalize_tags
from pveops.sim.guest_volumes import is_unused_key, is_volume_key
from pveops.sim.handlers.permission import may
from pveops.sim.identity import new_mac
from pveops.sim.property_string import format_properties, parse_properties
from pveops.sim.refusal import die, permission_error

if TYPE_CHECKING:
    from pveops.sim.call import Call
    from pveops.sim.model import Node

_NET = re.compile(r"net\d+")
_DEVICE = re.compile(r"dev\d+")
_BY_PRIVILEGE = {
    "VM.Config.Memory": "memory swap",
    "VM.Config.CPU": "cores cpulimit cpuunits",
    "VM.Config.Network": "nameserver searchdomain hostname",
}
_PRIVILEGE = {key: name for name, keys in _BY_PRIVILEGE.items() for key in keys.split()}
_FAST = "description onboot startup protection hostname hookscript cores tags lock"
AT_ONCE = frozenset(f"{_FAST} memory swap cpulimit cpuunits".split())
"""What a running container takes without a restart, network cards apart."""


def is_net(key: str) -> bool:
    """`net0` and the like."""
    return _NET.fullmatch(key) is not None


def prepared(key: str, value: Any, node: Node) -> Any:
    """An option's value as it is written down."""
    if is_net(key):
        parts = parse_properties(str(value))
        address = parts.get("hwaddr") or new_mac(node.cluster.random)
        return format_properties(
            dict(sorted({**parts, "hwaddr": address, "type": "veth"}.items()))
        )
    if key == "tags":
        return normalize_tags(str(value))
    if key == "description" and value and not str(value).endswith("\n"):
        return f"{value}\n"
    return value


def check_options(call: Call, vmid: int, keys: Iterable[str], *, pool: str | None = None) -> None:
    """Refuse what the caller may not set; some options are for root@pam alone."""
    if call.identity.is_root:
        return
    for key in keys:
        if _DEVICE.fullmatch(key) or key == "hookscript":
            raise die(f"changing '{key}' is only allowed for root@pam")
        if key == "features":
            _check_features(call)
            continue
        _check(call, vmid, pool, _privilege(key))


def _check_features(call: Call) -> None:
    """An unprivileged container may nest; everything else in it is root's to allow."""
    asked = parse_properties(str(call.get("features") or ""))
    if set(asked) - {"nesting"} or not call.get("unprivileged", 1):
        raise die("changing feature flags (except nesting) is only allowed for root@pam")


def _privilege(key: str) -> str:
    if is_volume_key("lxc", key) or is_unused_key(key):
        return "VM.Config.Disk"
    if is_net(key):
        return "VM.Config.Network"
    return _PRIVILEGE.get(key, "VM.Config.Options")


def _check(call: Call, vmid: int, pool: str | None, privilege: str) -> None:
    path = f"/vms/{vmid}"
    if may(call, path, privilege):
        return
    if pool is None or not may(call, f"/pool/{pool}", privilege):
        raise permission_error(path, privilege)
