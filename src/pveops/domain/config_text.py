"""How values of a guest's configuration compare, whatever PVE did to them when it stored them."""

from __future__ import annotations

import re
from urllib.parse import unquote

from pveops.domain.guest import split_tags
from pveops.sanitize import sanitize_block
from pveops.units import format_bytes

_CARD = re.compile(r"net\d+")
_MODELS = frozenset({"virtio", "e1000", "e1000e", "rtl8139", "vmxnet3", "ne2k_pci", "pcnet"})
_IN_MIB = frozenset({"memory", "balloon", "swap"})
FREE_TEXT = frozenset({"description"})
"""Keys whose text is somebody's prose: never shown among values."""


def normal_value(key: str, text: str) -> str:
    """The value as it compares: tags in order and lower-cased, notes without a line end.

    PVE adds the line end (QemuServer.pm parse_vm_config) and orders tags (GuestHelpers.pm
    get_unique_tags).
    """
    if key == "tags":
        return ";".join(sorted({tag.lower() for tag in split_tags(text)}))
    if key in FREE_TEXT:
        return sanitize_block(text).rstrip("\n")
    if key == "sshkeys":
        return "\n".join(unquote(text).split("\n")).strip()
    if _CARD.fullmatch(key):
        return _normal_card(text)
    return text


def _normal_card(text: str) -> str:
    """A network card without what PVE adds to it: a MAC address, `type=veth`; parts in order.

    `virtio=MAC` and `model=virtio,macaddr=MAC` are the same (QemuServer/Network.pm parse_net).
    """
    parts = {part for part in text.split(",") if part}
    kept: set[str] = set()
    for part in parts:
        name, _, value = part.partition("=")
        if name in _MODELS:
            kept.add(f"model={name}")
        elif name not in {"hwaddr", "macaddr"} and part != "type=veth":
            kept.add(f"{name}={value}")
    return ",".join(sorted(kept))


def show_value(key: str, text: str | None) -> str:
    """The value as people read it: `unset` when there is none, prose only by its length."""
    if text is None:
        return "unset"
    if key in FREE_TEXT:
        return f"{len(normal_value(key, text))} characters"
    if key == "sshkeys":
        return f"{len(normal_value(key, text).splitlines())} keys"
    if key in _IN_MIB and text.isdecimal() and int(text):
        # Rounded, two different amounts could look alike.
        return format_bytes(int(text) << 20) if not int(text) % 1024 else f"{text} MiB"
    return text or "empty"
