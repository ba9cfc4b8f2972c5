"""Options of VMs as the configuration keeps them: addresses, boot order, ids, notes."""

from __future__ import annotations

import hashlib
import random
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from pveops.sim.config_change import normalize_tags
from pveops.sim.guest_volumes import list_volumes
from pveops.sim.identity import new_mac, new_uuid
from pveops.sim.property_string import format_properties, parse_properties
from pveops.sim.vm_drives import is_cloudinit

if TYPE_CHECKING:
    from pveops.sim.model import Node

QEMU_VERSION = "10.0.13"
_MACHINE = "pc-i440fx-10.0"
_WINDOWS = re.compile(r"w(xp|2k|2k3|2k8|vista)|win\d+")
_NET = re.compile(r"net\d+")


def is_net(key: str) -> bool:
    """`net0` and the like."""
    return _NET.fullmatch(key) is not None


def with_mac(text: str, source: random.Random, *, fresh: bool = False) -> str:
    """A network card with an address: its own, or a random one where it has none or `fresh`."""
    parts = parse_properties(text, "model")
    model, address = _model_of(parts)
    if fresh or not address:
        address = new_mac(source)
    rest = {k: v for k, v in sorted(parts.items()) if k not in ("model", "macaddr", model)}
    return format_properties({model: address.upper(), **rest})


def _model_of(parts: Mapping[str, str]) -> tuple[str, str]:
    if "model" in parts:
        return parts["model"], parts.get("macaddr", "")
    for key, value in parts.items():
        if re.fullmatch(r"[0-9A-Fa-f]{2}(:[0-9A-Fa-f]{2}){5}", value) and key != "macaddr":
            return key, value
    return "virtio", parts.get("macaddr", "")


def prepared(key: str, value: Any, node: Node, *, is_new: bool = False) -> Any:
    """An option's value as it is written down. is_new: the VM is just being made."""
    if is_net(key):
        return with_mac(str(value), node.cluster.random)
    if key == "tags" and (not is_new or node.version.at_least("9.2")):
        return normalize_tags(str(value))
    if key == "smbios1" and "uuid=" not in str(value):
        parts = parse_properties(str(value))
        return format_properties({"uuid": new_uuid(node.cluster.random), **parts})
    if key == "cipassword" and not str(value).startswith("$"):
        return _crypted(str(value), node.cluster.random)
    if key == "vmgenid" and str(value) == "1":
        return new_uuid(node.cluster.random)
    return value


def _crypted(password: str, source: random.Random) -> str:
    """In the form of crypt(3), method 5; nothing reads it but a guest that is not there."""
    salt = f"{source.getrandbits(32):08x}"
    return f"$5${salt}${hashlib.sha256((salt + password).encode()).hexdigest()[:43]}"


def add_defaults(config: dict[str, Any], node: Node) -> None:
    """What PVE adds to a new VM (API2/Qemu.pm create_vm)."""
    source = node.cluster.random
    if not config.get("boot"):
        config["boot"] = format_boot(default_boot(config))
    config.setdefault("smbios1", f"uuid={new_uuid(source)}")
    config.setdefault("vmgenid", new_uuid(source))
    if config["vmgenid"] == "0":
        del config["vmgenid"]
    if "machine" not in config and _WINDOWS.fullmatch(str(config.get("ostype", ""))):
        config["machine"] = _MACHINE
    created = int(node.cluster.timeline.now())
    config["meta"] = f"creation-qemu={QEMU_VERSION},ctime={created}"


def default_boot(config: Mapping[str, Any]) -> list[str]:
    """The first disk, the first CD drive, the first network card (get_default_bootdevices)."""
    drives = [v for v in list_volumes("qemu", config) if not v.key.startswith(("efi", "tpm"))]
    disks = [v.key for v in drives if not v.is_cdrom]
    discs = [v.key for v in drives if v.is_cdrom and not is_cloudinit(v)]
    cards = sorted((key for key in config if is_net(key)), key=lambda key: int(key[3:]))
    return [*_bootable(disks)[:1], *discs[:1], *cards[:1]]


def _bootable(disks: list[str]) -> list[str]:
    order = ("ide", "scsi", "virtio", "sata")
    return sorted(disks, key=lambda key: (order.index(key.rstrip("0123456789")), key))


def format_boot(devices: list[str]) -> str:
    """`order=scsi0;net0`; a blank when nothing is to be booted from."""
    return f"order={';'.join(devices)}" if devices else " "


def boot_devices(config: Mapping[str, Any]) -> list[str]:
    """The devices of the boot order."""
    text = parse_properties(str(config.get("boot") or "")).get("order", "")
    return [device for device in text.split(";") if device]
