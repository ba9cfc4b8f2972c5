"""How values of a guest's configuration compare, whatever PVE did to them when it stored them."""

from __future__ import annotations

from pveops.domain.guest import split_tags
from pveops.sanitize import sanitize_block

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
    return text


def show_value(key: str, text: str | None) -> str:
    """The value as people read it: `unset` when there is none, prose only by its length."""
    if text is None:
        return "unset"
    if key in FREE_TEXT:
        return f"{len(normal_value(key, text))} characters"
    return text or "empty"
