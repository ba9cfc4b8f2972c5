"""The formats of firewall rules (pve-firewall Firewall.pm), as far as they need no server's files.

Names of services, protocols and ICMP types are looked up in the server's own tables, so any name
is let through here.
"""

from __future__ import annotations

import re
from collections.abc import Callable

_ALIAS = r"(?:dc/|guest/)?[A-Za-z][A-Za-z0-9\-_]+"
_MAX_NAME_CHARS = 64
_MAX_PORT = 65_535
_MAX_PORT_NUMBERS = 15
_BITS = {4: 32, 6: 128}
_MANY_DIGITS = 18


def to_int(digits: str) -> int:
    """The number that decimal digits spell, or one that is too high for anything in PVE.

    Python refuses to read numbers of thousands of digits; whoever sends them gets an answer.
    """
    significant = digits.lstrip("0") or "0"
    return int(significant) if len(significant) <= _MANY_DIGITS else 10**_MANY_DIGITS


def _elements(text: str) -> list[str] | None:
    """The elements of a list, or None when a comma has nothing beside it."""
    elements = text.split(",")
    return None if "" in elements and text else [each for each in elements if each]


def check_addresses(text: str) -> str | None:
    """A reference to a set (`+name`), an alias, or addresses, networks and one range."""
    if text.startswith("+"):
        return "ipset name too long" if len(text) > _MAX_NAME_CHARS + 1 else None
    if re.fullmatch(_ALIAS, text):
        return "alias name too long" if len(text) > _MAX_NAME_CHARS else None
    elements = _elements(text)
    if elements is None:
        return "extraneous commas in list"
    versions = set()
    for element in elements:
        version = 6 if ":" in element else 4
        if (wrong := _check_prefix(element, _BITS[version])) is not None:
            return f"invalid IP address: {wrong}"
        versions.add(version)
        if len(versions) > 1:
            return f"detected mixed ipv4/ipv6 addresses in address list '{text}'"
    has_range = any("-" in element for element in elements)
    return "you can't use a range in a list" if has_range and len(elements) > 1 else None


def check_address_or_network(text: str) -> str | None:
    """One address or network."""
    import ipaddress

    address, _, length = text.partition("/")
    try:
        version = ipaddress.ip_address(address).version
    except ValueError:
        return "value does not look like a valid IP address or CIDR network"
    return _check_prefix(text, _BITS[version]) if length else None


def check_address_or_alias(text: str) -> str | None:
    """One address, network, or alias."""
    return None if re.fullmatch(_ALIAS, text) else check_address_or_network(text)


def _check_prefix(element: str, bits: int) -> str | None:
    length = element.partition("/")[2]
    if not length.isdecimal() or to_int(length) <= bits:
        return None
    return f"Prefix length {length} is longer than IP address ({bits})"


def check_ports(text: str) -> str | None:
    """Ports, ranges `80:85` and names of services."""
    elements = _elements(text)
    if elements is None:
        return "extraneous commas in list"
    count = 0
    for element in elements:
        match = re.fullmatch(r"([0-9]+)(?::([0-9]+))?", element)
        ports = [port for port in match.groups() if port is not None] if match else []
        for port in ports:
            if to_int(port) > _MAX_PORT:
                return f"invalid port '{port}'"
        if len(ports) > 1 and to_int(ports[0]) > to_int(ports[1]):
            low, high = ports
            return f"backwards range '{low}:{high}' not allowed, did you mean '{high}:{low}'?"
        count += len(ports)
    if count > _MAX_PORT_NUMBERS:
        return f"too many entries in port list (> {_MAX_PORT_NUMBERS} numbers)"
    return None


FORMATS: dict[str, Callable[[str], str | None]] = {
    "pve-fw-addr-spec": check_addresses,
    "pve-fw-sport-spec": check_ports,
    "pve-fw-dport-spec": check_ports,
    "IPorCIDR": check_address_or_network,
    "IPorCIDRorAlias": check_address_or_alias,
}
