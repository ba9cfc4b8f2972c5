"""PVE's named formats: what a string has to look like, and how PVE says that it does not.

The rules and texts are those of pve-common JSONSchema.pm, pve-access-control, pve-storage,
pve-guest-common, qemu-server, pve-container and pve-manager. A format that is not listed takes
anything: the server knows better.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from pveops.ids import is_node_name, is_storage_id
from pveops.schema import firewall_formats
from pveops.schema.firewall_formats import to_int

Format = Callable[[str], str | None]
"""Gives what is wrong with a value, or None."""

_DNS_LABEL = r"[a-zA-Z0-9](?:[a-zA-Z0-9\-]*[a-zA-Z0-9])?"
_DNS_NAME = rf"{_DNS_LABEL}(?:\.{_DNS_LABEL})*"
_USER_PART = r"[\w+\-~]+(?:\.[\w+\-~]+)*"
_EMAIL = rf"{_USER_PART}@[a-zA-Z0-9\-]+(?:\.[a-zA-Z0-9\-]+)*"
_REALM = r"[A-Za-z][A-Za-z0-9.\-_]+"
_USER = rf"[^\s:/]+@{_REALM}"
_VOLUME = r"[a-zA-Z][a-zA-Z0-9\-_.]*[a-zA-Z0-9]:.+"
_CONTENT = ("images", "rootdir", "vztmpl", "iso", "backup", "snippets", "import", "none")
_DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_HOTPLUG = ("network", "disk", "cpu", "memory", "usb", "cloudinit")
_MIN_PREFIX = 8
_VERSION_BITS = {4: 32, 6: 128}
_MIN_USER_CHARS, _MAX_USER_CHARS = 3, 64
_MIN_GUEST = 100
_MAX_TAG = 4094


def _pattern(pattern: str, text: str) -> Format:
    """Compiled when it is first needed: a call needs two or three of them."""
    return lambda value: None if re.fullmatch(pattern, value) else text.replace("$", value)


def _address_version(value: str) -> int | None:
    """4 or 6, or None. PVE's patterns know no zone (`fe80::1%eth0`)."""
    import ipaddress

    try:
        return ipaddress.ip_address(value).version if "%" not in value else None
    except ValueError:
        return None


def _address(kind: str, *versions: int) -> Format:
    def check(value: str) -> str | None:
        fits = _address_version(value) in versions
        return None if fits else f"value does not look like a valid {kind} address"

    return check


def _is_cidr(value: str, *versions: int) -> bool:
    """An address with a prefix length of 8 at least; bits of the host may be set."""
    address, _, length = value.partition("/")
    version = _address_version(address)
    return (
        version in versions
        and length.isdecimal()
        and _MIN_PREFIX <= to_int(length) <= _VERSION_BITS[version]
    )


def _cidr(text: str, *versions: int, words: tuple[str, ...] = ()) -> Format:
    return lambda value: None if value in words or _is_cidr(value, *versions) else text


def _one_of(values: tuple[str, ...], noun: str) -> Format:
    return lambda value: None if value in values else f"invalid {noun} '{value}'"


def _node(value: str) -> str | None:
    return None if is_node_name(value) else "value does not look like a valid node name"


def _id(noun: str) -> Format:
    def check(value: str) -> str | None:
        if len(value) <= 1:
            return f"{noun} ID '{value}' cannot be shorter than 2 characters"
        return None if is_storage_id(value) else f"{noun} ID '{value}' contains illegal characters"

    return check


def _userid(value: str) -> str | None:
    if len(value) < _MIN_USER_CHARS:
        return f"user name '{value}' is too short"
    if len(value) > _MAX_USER_CHARS:
        return f"user name '{value}' is too long ({len(value)} > {_MAX_USER_CHARS})"
    fits = re.fullmatch(_USER, value)
    return None if fits else f"value '{value}' does not look like a valid user name"


def _poolid(value: str) -> str | None:
    if value.rstrip("/").count("/") > 2:
        return f"pool name '{value}' nested too deeply (max levels = 3)"
    fits = re.fullmatch(r"[A-Za-z0-9.\-_]+(?:/[A-Za-z0-9.\-_]+){0,2}", value)
    return None if fits else f"pool name '{value}' contains invalid characters"


def _storage_path(value: str) -> str | None:
    """PVE looks at the beginning only."""
    fits = re.match(r"/[^;()]+", value)
    return None if fits else "value does not look like a valid absolute path"


def _startup_order(value: str) -> str | None:
    parts = [part for part in value.split(",") if part.strip()]
    fits = value and all(re.fullmatch(r"(?:(?:order=)?|up=|down=)\d+", part) for part in parts)
    return None if fits else "unable to parse startup options"


def _hotplug(value: str) -> str | None:
    if value in {"0", "1"}:
        return None
    features = [part for part in _SEPARATORS.split(value) if part]
    wrong = next((part for part in features if part not in _HOTPLUG), None)
    return None if wrong is None else f"invalid hotplug feature '{wrong}'"


def _vlan(value: str) -> str | None:
    match = re.fullmatch(r"(\d+)(?:-(\d+))?", value)
    if match is None:
        return f"invalid VLAN configuration '{value}'"
    tags = [tag for tag in match.groups() if tag is not None]
    for tag in tags:
        if not 2 <= to_int(tag) <= _MAX_TAG:
            return f"invalid VLAN tag '{tag}'"
    is_backwards = len(tags) > 1 and to_int(tags[0]) >= to_int(tags[1])
    return f"VLAN range must go from lower to higher tag '{value}'" if is_backwards else None


def _netmask(value: str) -> str | None:
    bits = "".join(f"{to_int(part):08b}" for part in value.split(".") if part.isdecimal())
    fits = _address_version(value) == 4 and "01" not in bits
    return None if fits else "value does not look like a valid IP netmask"


def _job(value: str) -> str | None:
    text = f"invalid replication job id '{value}'"
    match = re.fullmatch(r"(\d+)-\d+", value)
    if match is None:
        return text
    return f"{text} (guest IDs < 100 are reserved)" if to_int(match[1]) < _MIN_GUEST else None


def _mount_point(value: str) -> str | None:
    is_bad = re.search(r"/\.\.?/|/\.\.?$|^\.\./", value)
    return f"{value} contains illegal character sequences" if is_bad else None


def _pair(inner: Format) -> Format:
    """One entry of a map from source to target: `a:b`, `b` for every source, `1` for the same."""

    def check(value: str) -> str | None:
        if value == "1":
            return None
        pair = re.fullmatch(r"([^:]+):([^:]+)", value)
        names = pair.groups() if pair else (value,)
        wrong = next((text for name in names if (text := inner(name)) is not None), None)
        return f"entry '{value}' contains invalid ID - {wrong}\n\n" if wrong else None

    return check


def _volume_or_path(value: str) -> str | None:
    return None if value.startswith("/") else _VOLUME_ID(value)


_IP = _address("IP", 4, 6)
_DNS = _pattern(_DNS_NAME, "value does not look like a valid DNS name")
_VOLUME_ID = _pattern(_VOLUME, "unable to parse volume ID '$'")
_BRIDGE = _pattern(r"[\w.\-]+", "invalid bridge ID '$'")
_STORAGE = _id("storage")


def _or_dns(text: str) -> Format:
    return lambda value: (
        None if _IP(value) is None or _DNS(value) is None else text.replace("$", value)
    )


FORMATS: dict[str, Format] = {
    "pve-vmid": _pattern(r"[1-9][0-9]{2,8}", "value does not look like a valid VM ID"),
    "pve-node": _node,
    "pve-configid": _pattern(r"[a-zA-Z][a-zA-Z0-9_\-]+", "invalid configuration ID '$'"),
    "pve-storage-id": _STORAGE,
    "pve-poolid": _poolid,
    "pve-userid": _userid,
    "pve-tokenid": _pattern(rf"{_USER}!{_REALM}", "value '$' does not look like a valid token ID"),
    "pve-groupid": _pattern(r"[A-Za-z0-9.\-_]+", "group name '$' contains invalid characters"),
    "pve-roleid": _pattern(r"[A-Za-z0-9.\-_]+", "role name '$' contains invalid characters"),
    "pve-realm": _pattern(_REALM, "value does not look like a valid realm"),
    "pve-tag": _pattern(r"[A-Za-z0-9_][A-Za-z0-9_\-+.]*", "invalid characters in tag"),
    "pve-iface": _pattern(
        r"[a-zA-Z][a-zA-Z0-9_]{1,20}(?:[:.]\d+)?", "invalid network interface name '$'"
    ),
    "pve-bridge-id": _BRIDGE,
    "storage-pair": _pair(_STORAGE),
    "bridge-pair": _pair(_BRIDGE),
    "pve-volume-id": _VOLUME_ID,
    "pve-volume-id-or-absolute-path": _volume_or_path,
    "pve-volume-id-or-qm-path": lambda value: (
        None if value in {"none", "cdrom"} else _volume_or_path(value)
    ),
    "pve-storage-content": _one_of(_CONTENT, "content type"),
    "pve-storage-format": _one_of(("raw", "qcow2", "vmdk", "subvol"), "format"),
    "pve-storage-options": _pattern(r"\S+", "invalid options '$'"),
    "pve-storage-path": _storage_path,
    "pve-storage-server": _or_dns("value does not look like a valid server name or IP address"),
    "pve-storage-vgname": _pattern(
        r"[a-zA-Z0-9][a-zA-Z0-9\-_.]*[a-zA-Z0-9]", "lvm name '$' contains illegal characters"
    ),
    "pve-task-status-type": _pattern("(?i:ok|error|warning|unknown)", "invalid status '$'"),
    "pve-day-of-week": _one_of(_DAYS, "day"),
    "pve-startup-order": _startup_order,
    "pve-hotplug-features": _hotplug,
    "pve-vlan-id-or-range": _vlan,
    "pve-replication-job-id": _job,
    "pve-lxc-mp-string": _mount_point,
    "disk-size": _pattern(
        r"\d+(?:\.\d+)?(?:[KMGT](?:iB)?)?", "value does not look like a valid disk size: $"
    ),
    "mac-addr": _pattern(
        r"(?i:[a-f0-9][02468ace](?::[a-f0-9]{2}){5})",
        "value does not look like a valid unicast MAC address",
    ),
    "mac-prefix": _pattern(
        r"(?i:[a-f0-9][02468ace](?::[a-f0-9]{2}){0,2}(?::[a-f0-9]?)?)",
        "value is not a valid unicast MAC address prefix",
    ),
    "dns-name": _DNS,
    "address": _or_dns("value does not look like a valid address: $"),
    "graphite-path": _pattern(_DNS_NAME, "value does not look like a valid graphite path"),
    "email": _pattern(_EMAIL, "value does not look like a valid email address"),
    "email-or-username": _pattern(
        rf"{_EMAIL}|{_USER_PART}", "value does not look like a valid email address or user name"
    ),
    "ldap-simple-attr": _pattern(
        r"[a-zA-Z0-9]+", "value '$' does not look like a simple ldap attribute name"
    ),
    "ip": _IP,
    "ipv4": _address("IPv4", 4),
    "ipv6": _address("IPv6", 6),
    "ipv4mask": _netmask,
    "CIDR": _cidr("value does not look like a valid CIDR network", 4, 6),
    "CIDRv4": _cidr("value does not look like a valid IPv4 CIDR network", 4),
    "CIDRv6": _cidr("value does not look like a valid IPv6 CIDR network", 6),
    "pve-ipv4-config": _cidr(
        "value does not look like a valid ipv4 network configuration",
        4,
        words=("dhcp", "manual"),
    ),
    "pve-ipv6-config": _cidr(
        "value does not look like a valid ipv6 network configuration",
        6,
        words=("auto", "dhcp", "manual"),
    ),
    "urlencoded": _pattern(r"[-%a-zA-Z0-9_.!~*'()]*", "invalid urlencoded string: $"),
    **firewall_formats.FORMATS,
}
_SEPARATORS = re.compile(r"[,;\s\0]+")


def check_format(name: str, value: str) -> str | None:
    """What is wrong with a value of a named format, or None."""
    if name.endswith("-opt"):
        return check_format(name[:-4], value) if value not in {"", "0"} else None
    for ending in ("-alist", "-list"):
        if name.endswith(ending):
            inner = FORMATS.get(name.removesuffix(ending))
            parts = [part for part in _SEPARATORS.split(value) if part] if inner else []
            return next((text for part in parts if inner and (text := inner(part))), None)
    check = FORMATS.get(name)
    return check(value) if check else None
