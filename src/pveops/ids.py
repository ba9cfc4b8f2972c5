"""Identifiers of PVE: vmids, node and storage names, task ids (UPIDs).

Pure text in, frozen values out; nothing here knows a cluster. The patterns are those
of PVE's own parsers (pve-common JSONSchema.pm and UPID.pm).
"""

from __future__ import annotations

import re
from typing import NamedTuple

MIN_VMID = 100
MAX_VMID = 999_999_999

_NODE = re.compile(r"[a-zA-Z0-9](?:[a-zA-Z0-9\-]*[a-zA-Z0-9])?")
_STORAGE = re.compile(r"[a-zA-Z][a-zA-Z0-9\-_.]*[a-zA-Z0-9]")
_UPID = re.compile(
    r"UPID:(?P<node>[a-zA-Z0-9](?:[a-zA-Z0-9\-]*[a-zA-Z0-9])?)"
    r":(?P<pid>[0-9A-Fa-f]{8}):(?P<pstart>[0-9A-Fa-f]{8,9}):(?P<starttime>[0-9A-Fa-f]{8})"
    r":(?P<type>[^:\s/]+):(?P<id>[^:\s/]*):(?P<user>[^:\s/]+):"
)


def parse_vmid(text: str) -> int | None:
    """The vmid that `text` spells, or None. PVE takes no sign and no leading zero."""
    if not text.isascii() or not text.isdecimal() or text.startswith("0"):
        return None
    vmid = int(text)
    return vmid if MIN_VMID <= vmid <= MAX_VMID else None


def is_node_name(text: str) -> bool:
    """Whether PVE would take `text` for a node's name."""
    return _NODE.fullmatch(text) is not None


def is_storage_id(text: str) -> bool:
    """Whether PVE would take `text` for a storage's id."""
    return _STORAGE.fullmatch(text) is not None


class Upid(NamedTuple):
    """A task's id. The node in it runs the task; it may differ from the node that was asked."""

    node: str
    pid: int
    pstart: int
    starttime: int
    """Seconds since the epoch, by the node's clock."""
    type: str
    id: str
    """What the task is about: often a vmid, sometimes empty."""
    user: str
    """`user@realm`, or `user@realm!token`."""

    def __str__(self) -> str:
        return (
            f"UPID:{self.node}:{self.pid:08X}:{self.pstart:08X}:{self.starttime:08X}"
            f":{self.type}:{self.id}:{self.user}:"
        )


def parse_upid(text: object) -> Upid | None:
    """The task id that `text` spells, or None.

    The schema does not say which answers are task ids, so answers are told by their form.
    """
    if not isinstance(text, str):
        return None
    match = _UPID.fullmatch(text)
    if match is None:
        return None
    return Upid(
        node=match["node"],
        pid=int(match["pid"], 16),
        pstart=int(match["pstart"], 16),
        starttime=int(match["starttime"], 16),
        type=match["type"],
        id=match["id"],
        user=match["user"],
    )
