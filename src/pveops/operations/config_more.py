"""Options of `guest set --option KEY=VALUE`: network cards, cloud-init, and rarer ones."""

from __future__ import annotations

import re

from pveops.domain.address import format_options, parse_options
from pveops.domain.guest import GuestConfig, Kind
from pveops.errors import UsageError

_KNOWN: dict[str, re.Pattern[str]] = {
    "qemu": re.compile(
        r"net\d+|ipconfig\d+|ciuser|ciupgrade|nameserver|searchdomain|cpulimit|cpuunits|"
        r"hotplug|tablet|vga|serial\d|numa|localtime|ostype|machine|bios|scsihw|acpi|keyboard"
    ),
    "lxc": re.compile(
        r"net\d+|nameserver|searchdomain|cpulimit|cpuunits|features|timezone|cmode|tty|console|"
        r"ostype"
    ),
}
_CARD = re.compile(r"net(\d+)")
_MERGED = re.compile(r"(net|ipconfig)\d+")
_SECRETS = frozenset({"cipassword", "password"})
_LIVE = {"qemu": re.compile(r"net\d+"), "lxc": re.compile(r"net\d+|cpulimit|cpuunits|nameserver")}
"""What a running guest takes at once, by PVE's defaults (QemuServer.pm; LXC/Config.pm)."""


def is_known(kind: Kind, key: str) -> bool:
    """Whether `--option` may set that key."""
    return _KNOWN[kind].fullmatch(key) is not None


def is_live(kind: Kind, key: str) -> bool:
    """Whether a running guest takes a change of that key at once."""
    return _LIVE[kind].fullmatch(key) is not None


def is_card(key: str) -> bool:
    """Whether the key is a network card."""
    return _CARD.fullmatch(key) is not None


def parse_more(kind: Kind, config: GuestConfig, text: str) -> dict[str, str]:
    """`net0=bridge=vmbr1` and the like, a line each, as the values to store.

    Of network cards and addresses only what is named changes: a card keeps its MAC address.
    Raises UsageError for keys that are not to be set this way.
    """
    wanted: dict[str, str] = {}
    for line in text.split("\n"):
        key, separator, value = line.partition("=")
        key = key.strip()
        if not separator or not value.strip():
            raise UsageError(f"{line!r} sets nothing", hint="--option KEY=VALUE, --unset KEY")
        if key in _SECRETS:
            raise UsageError(
                f"{key} is not set here: it would stand in plans and records",
                hint="set it in PVE's own interface, or give SSH keys with --ssh-keys",
            )
        if not is_known(kind, key):
            raise UsageError(
                f"--option does not set {key!r}",
                hint="network cards (net0), addresses (ipconfig0), ciuser, nameserver, "
                "searchdomain and rarer ones; see docs/howto/configure.md",
            )
        wanted[key] = _merged(kind, config, key, value.strip())
    return wanted


def _merged(kind: Kind, config: GuestConfig, key: str, value: str) -> str:
    if not _MERGED.fullmatch(key):
        return value
    old, new = parse_options(config.get(key)), parse_options(value)
    if not old and is_card(key):
        old = _new_card(kind, key, new)
    return format_options({**old, **new})


def _new_card(kind: Kind, key: str, given: dict[str, str]) -> dict[str, str]:
    """What a card has to have: VMs a model, containers a name."""
    if kind == "lxc":
        return {} if "name" in given else {"name": f"eth{key.removeprefix('net')}"}
    has_model = any(not value for value in given.values()) or "model" in given
    return {} if has_model else {"model": "virtio"}
