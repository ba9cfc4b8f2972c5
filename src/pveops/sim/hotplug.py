"""Changes to a VM: what a running one takes at once, and what waits for a stop.

(qemu-server PVE/QemuServer.pm vmconfig_hotplug_pending, vmconfig_apply_pending)
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from pveops.sim.guest import Guest, apply_pending, drop_option, replace_option
from pveops.sim.guest_volumes import is_unused_key, is_volume_key, parse_volume
from pveops.sim.vm_drives import is_cloudinit
from pveops.sim.vm_options import boot_devices, is_net

if TYPE_CHECKING:
    from pveops.sim.model import Cluster

_FAST = (
    "description hookscript lock migrate_downtime migrate_speed name onboot protection "
    "shares startup tags vmstatestorage affinity cpuunits cpulimit"
)
_AT_ONCE = frozenset(_FAST.split())
_SEED = re.compile(
    r"cicustom|cipassword|citype|ciupgrade|ciuser|nameserver|searchdomain|sshkeys|ipconfig\d+"
)
_DEFAULT_FEATURES = "network,disk,usb"
_COLD_BUSES = ("ide", "sata", "efidisk", "tpmstate")


class HotplugError(Exception):
    """QEMU does not take the change."""


def take_effect(cluster: Cluster, guest: Guest) -> dict[str, str]:
    """Apply what is queued as far as it goes now; what failed, by key."""
    if guest.process is None:
        apply_pending(cluster, guest)
        return {}
    errors: dict[str, str] = {}
    for key, is_forced in list(guest.pending_deletes.items()):
        try:
            if _takes_removal(guest, key):
                del guest.pending_deletes[key]
                drop_option(cluster, guest, key, force=is_forced)
        except HotplugError as error:
            errors[key] = f"hotplug problem - {error}\n"
    for key, value in list(guest.pending.items()):
        if _takes_value(guest, key, value):
            del guest.pending[key]
            replace_option(guest, key, value)
            if value == "" and key == "description":
                guest.config.pop(key)
    return errors


def _features(guest: Guest) -> set[str]:
    text = str(guest.config.get("hotplug", "1"))
    if text == "0":
        return set()
    return set((_DEFAULT_FEATURES if text == "1" else text).split(","))


def _takes_removal(guest: Guest, key: str) -> bool:
    if key in _AT_ONCE or _SEED.fullmatch(key) or is_unused_key(key):
        return True
    features = _features(guest)
    if is_net(key):
        return "network" in features
    if key.startswith("usb") or key == "tablet":
        return "usb" in features
    if is_volume_key("qemu", key):
        if "disk" not in features or key.startswith(_COLD_BUSES):
            return False
        if key in boot_devices(guest.config):
            raise HotplugError(f"can't unplug bootdisk '{key}'")
        return True
    return False


def _takes_value(guest: Guest, key: str, value: Any) -> bool:
    if key in _AT_ONCE or _SEED.fullmatch(key) or is_unused_key(key):
        return True
    features = _features(guest)
    if key == "hotplug":
        return True
    if key == "vcpus":
        return "cpu" in features
    if key == "memory":
        return "memory" in features
    if key == "balloon":
        return str(guest.config.get("balloon", "1")) != "0" and str(value) != "0"
    if is_net(key):
        return "network" in features
    if key.startswith("usb"):
        return "usb" in features
    if is_volume_key("qemu", key):
        return _takes_drive(guest, key, str(value), features)
    return False


def _takes_drive(guest: Guest, key: str, value: str, features: set[str]) -> bool:
    after = parse_volume("qemu", key, value)
    before = guest.config.get(key)
    if before is not None and after.is_cdrom and not is_cloudinit(after):
        return True
    return "disk" in features and not key.startswith(_COLD_BUSES) and not is_cloudinit(after)
