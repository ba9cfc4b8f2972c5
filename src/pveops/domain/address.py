"""Addresses in the configurations of guests: `ipconfigN` of VMs, `netN` of containers."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterator

from pveops.domain.guest import GuestConfig, Kind

_NETWORK_SLOT = {"qemu": re.compile(r"ipconfig\d+"), "lxc": re.compile(r"net\d+")}


def parse_options(text: str) -> dict[str, str]:
    """`ip=10.0.0.5/24,gw=10.0.0.1` as a dictionary, in that order; words without `=` are keys."""
    pairs = (part.partition("=") for part in text.split(",") if part)
    return {key: value for key, _, value in pairs}


def format_options(options: dict[str, str]) -> str:
    """The reverse of `parse_options`."""
    return ",".join(f"{key}={value}" if value else key for key, value in options.items())


def network_slots(kind: Kind, config: GuestConfig) -> list[str]:
    """The keys that may hold addresses, in order."""
    slots = [key for key in config.values if _NETWORK_SLOT[kind].fullmatch(key)]
    return sorted(slots, key=lambda key: (len(key), key))


def static_addresses(kind: Kind, config: GuestConfig) -> Iterator[str]:
    """Each address that the configuration fixes, without its prefix length."""
    for slot in network_slots(kind, config):
        options = parse_options(config.get(slot))
        for key in ("ip", "ip6"):
            address = parse_interface(options.get(key, ""))
            if address is not None:
                yield str(address.ip)


def parse_interface(text: str) -> ipaddress.IPv4Interface | ipaddress.IPv6Interface | None:
    """An address with its prefix length; None for `dhcp`, `auto`, `manual` and what is none."""
    if "/" not in text:
        return None
    try:
        return ipaddress.ip_interface(text)
    except ValueError:
        return None
