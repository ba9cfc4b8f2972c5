"""PVE's named formats: what a string has to look like, and how PVE says that it does not.

The rules and texts are those of pve-common JSONSchema.pm, pve-access-control, pve-storage and
qemu-server. A format that is not listed takes anything: the server knows better.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable
from urllib.parse import unquote_to_bytes

from pveops.ids import is_node_name, is_storage_id

Format = Callable[[str], str | None]
"""Gives what is wrong with a value, or None."""

_DNS_LABEL = r"[a-zA-Z0-9](?:[a-zA-Z0-9\-]*[a-zA-Z0-9])?"
_NAME = r"[A-Za-z][A-Za-z0-9.\-_]+"
_TASK_STATES = ("ok", "error", "warning", "unknown")
_CONTENT = ("images", "rootdir", "vztmpl", "iso", "backup", "snippets", "import", "none")


def _pattern(pattern: str, text: str) -> Format:
    compiled = re.compile(pattern)

    def check(value: str) -> str | None:
        return None if compiled.fullmatch(value) else text.replace("$", value)

    return check


def _address(kind: str) -> Format:
    def check(value: str) -> str | None:
        try:
            address = ipaddress.ip_address(value)
        except ValueError:
            return f"value does not look like a valid {kind} address"
        is_fit = kind == "IP" or (kind == "IPv4") == (address.version == 4)
        return None if is_fit else f"value does not look like a valid {kind} address"

    return check


def _cidr(version: int | None, text: str) -> Format:
    def check(value: str) -> str | None:
        try:
            network = ipaddress.ip_interface(value)
        except ValueError:
            return text
        return None if "/" in value and version in (None, network.version) else text

    return check


def _one_of(values: tuple[str, ...], noun: str) -> Format:
    def check(value: str) -> str | None:
        return None if value in values else f"invalid {noun} '{value}'"

    return check


def _node(value: str) -> str | None:
    return None if is_node_name(value) else "value does not look like a valid node name"


def _storage(value: str) -> str | None:
    return None if is_storage_id(value) else f"storage ID '{value}' contains illegal characters"


def _userid(value: str) -> str | None:
    fits = re.fullmatch(r"[^\s:/]+@[A-Za-z][A-Za-z0-9.\-_]+", value) and len(value) <= 64
    return None if fits else f"value '{value}' does not look like a valid user name"


def _urlencoded(value: str) -> str | None:
    if re.fullmatch(r"(?:[A-Za-z0-9\-_.~!*'()]|%[0-9a-fA-F]{2})*", value):
        unquote_to_bytes(value)
        return None
    return f"invalid urlencoded string: {value}"


def _or_manual(inner: Format, *words: str) -> Format:
    return lambda value: None if value in words else inner(value)


_IPV4, _IPV6, _IP = _address("IPv4"), _address("IPv6"), _address("IP")
_DNS = _pattern(rf"{_DNS_LABEL}(?:\.{_DNS_LABEL})*", "value does not look like a valid DNS name")
_VMID = _pattern(r"[1-9][0-9]{2,8}", "value does not look like a valid VM ID")
_EMAIL = _pattern(r"[^\s@]+@[^\s@]+", "value does not look like a valid email address")
_CONFIG_ID = _pattern(r"[a-zA-Z][a-zA-Z0-9_\-]+", "invalid configuration ID '$'")

FORMATS: dict[str, Format] = {
    "pve-vmid": _VMID,
    "pve-node": _node,
    "pve-configid": _CONFIG_ID,
    "pve-storage-id": _storage,
    "pve-poolid": _pattern(
        r"[A-Za-z0-9.\-_]+(?:/[A-Za-z0-9.\-_]+){0,2}", "pool name '$' contains invalid characters"
    ),
    "pve-userid": _userid,
    "pve-groupid": _pattern(r"[A-Za-z0-9.\-_]+", "group name '$' contains invalid characters"),
    "pve-roleid": _pattern(r"[A-Za-z0-9.\-_]+", "role name '$' contains invalid characters"),
    "pve-realm": _pattern(_NAME, "value does not look like a valid realm"),
    "pve-tag": _pattern(r"[A-Za-z0-9_][A-Za-z0-9_\-+.]*", "invalid characters in tag"),
    "pve-iface": _pattern(
        r"[a-zA-Z][a-zA-Z0-9_]{1,20}(?:[:.]\d+)?", "invalid network interface name '$'"
    ),
    "pve-bridge-id": _pattern(r"[a-zA-Z0-9_.\-]+", "invalid bridge ID '$'"),
    "pve-volume-id": _pattern(
        r"[a-zA-Z][a-zA-Z0-9\-_.]*[a-zA-Z0-9]:.+", "unable to parse volume ID '$'"
    ),
    "pve-storage-content": _one_of(_CONTENT, "content type"),
    "pve-task-status-type": _one_of(_TASK_STATES, "status"),
    "pve-storage-path": _pattern(r"/[^\s]*", "value does not look like a valid absolute path"),
    "disk-size": _pattern(
        r"\d+(?:\.\d+)?[KMGT]?", "value does not look like a valid disk size: $"
    ),
    "mac-addr": _pattern(
        r"(?i:[a-f0-9][02468ace](?::[a-f0-9]{2}){5})",
        "value does not look like a valid unicast MAC address",
    ),
    "mac-prefix": _pattern(
        r"(?i:[a-f0-9][02468ace](?::[a-f0-9]{2}){0,2}:?)",
        "value is not a valid unicast MAC address prefix",
    ),
    "dns-name": _DNS,
    "address": lambda value: (
        None
        if _IP(value) is None or _DNS(value) is None
        else ("value does not look like a valid address")
    ),
    "email": _EMAIL,
    "ip": _IP,
    "ipv4": _IPV4,
    "ipv6": _IPV6,
    "CIDR": _cidr(None, "value does not look like a valid CIDR network"),
    "CIDRv4": _cidr(4, "value does not look like a valid IPv4 network"),
    "CIDRv6": _cidr(6, "value does not look like a valid IPv6 network"),
    "pve-ipv4-config": _or_manual(
        _cidr(4, "value does not look like a valid ipv4 network configuration"), "dhcp", "manual"
    ),
    "pve-ipv6-config": _or_manual(
        _cidr(6, "value does not look like a valid ipv6 network configuration"),
        *("auto", "dhcp", "manual"),
    ),
    "urlencoded": _urlencoded,
}
_SEPARATORS = re.compile(r"[,;\s\0]+")


def check_format(name: str, value: str) -> str | None:
    """What is wrong with a value of a named format, or None."""
    if name.endswith("-opt"):
        return check_format(name[:-4], value) if value else None
    for ending in ("-alist", "-list"):
        if name.endswith(ending):
            inner = FORMATS.get(name.removesuffix(ending))
            parts = [part for part in _SEPARATORS.split(value) if part] if inner else []
            return next((text for part in parts if inner and (text := inner(part))), None)
    check = FORMATS.get(name)
    return check(value) if check else None
