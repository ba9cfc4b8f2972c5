"""What a cloud-init drive holds: user data, network, meta data (QemuServer/Cloudinit.pm)."""

from __future__ import annotations

import hashlib
import ipaddress
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

from pveops.sim.guest_volumes import list_volumes
from pveops.sim.property_string import parse_properties
from pveops.sim.vm_drives import is_cloudinit
from pveops.sim.vm_options import is_net

if TYPE_CHECKING:
    from pveops.sim.guest import Guest


def user_data(config: Mapping[str, Any], vmid: int) -> str:
    """The part `user`."""
    name = str(config.get("name") or f"VM{vmid}")
    domain = str(config.get("searchdomain") or "")
    lines = ["#cloud-config", f"hostname: {name.partition('.')[0]}", "manage_etc_hosts: true"]
    if "." in name:
        lines.append(f"fqdn: {name}")
    elif domain:
        lines.append(f"fqdn: {name}.{domain}")
    user = config.get("ciuser")
    if user:
        lines.append(f"user: {user}")
    if user == "root":
        lines.append("disable_root: False")
    if config.get("cipassword"):
        lines.append(f"password: {config['cipassword']}")
    keys = [key for key in unquote(str(config.get("sshkeys") or "")).splitlines() if key.strip()]
    if keys:
        lines += ["ssh_authorized_keys:", *(f"  - {key}" for key in keys)]
    lines += ["chpasswd:", "  expire: False"]
    if user != "root":
        lines += ["users:", "  - default"]
    if config.get("ciupgrade", 1):
        lines.append("package_upgrade: true")
    return "\n".join(lines) + "\n"


def network_data(config: Mapping[str, Any]) -> str:
    """The part `network`, in version 1 of the format."""
    lines = ["version: 1", "config:"]
    cards = sorted((key for key in config if is_net(key)), key=lambda key: int(key[3:]))
    for key in cards:
        number = key[3:]
        address = str(config[key]).partition(",")[0].partition("=")[2].lower()
        lines += ["    - type: physical", f"      name: eth{number}"]
        lines += [f"      mac_address: '{address}'", "      subnets:"]
        lines += _subnets(parse_properties(str(config.get(f"ipconfig{number}") or "")))
    servers = str(config.get("nameserver") or "").split()
    domains = str(config.get("searchdomain") or "").split()
    if servers or domains:
        lines += ["    - type: nameserver"]
        lines += ["      address:", *(f"      - '{server}'" for server in servers)]
        lines += ["      search:", *(f"      - '{domain}'" for domain in domains)]
    return "\n".join(lines) + "\n"


def _subnets(settings: Mapping[str, str]) -> list[str]:
    lines: list[str] = []
    if settings.get("ip") == "dhcp":
        lines.append("      - type: dhcp4")
    elif settings.get("ip"):
        network = ipaddress.ip_interface(settings["ip"])
        lines += ["      - type: static", f"        address: '{network.ip}'"]
        lines.append(f"        netmask: '{network.netmask}'")
        if settings.get("gw"):
            lines.append(f"        gateway: '{settings['gw']}'")
    if settings.get("ip6") in ("dhcp", "auto"):
        kind = "dhcp6" if settings["ip6"] == "dhcp" else "ipv6_slaac"
        lines.append(f"      - type: {kind}")
    elif settings.get("ip6"):
        lines += ["      - type: static6", f"        address: '{settings['ip6']}'"]
        if settings.get("gw6"):
            lines.append(f"        gateway: '{settings['gw6']}'")
    return lines


def meta_data(config: Mapping[str, Any], vmid: int) -> str:
    """The part `meta`: an id that changes with what the others hold."""
    text = user_data(config, vmid) + network_data(config)
    digest = hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest()
    return f"instance-id: {digest}\n"


def write_seed(guest: Guest) -> None:
    """The drive, where there is one, holds the present options from now on."""
    if any(is_cloudinit(volume) for volume in list_volumes("qemu", guest.config)):
        guest.seed = dict(guest.config)
