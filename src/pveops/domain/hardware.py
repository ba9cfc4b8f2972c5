"""What a node is made of: drives, ZFS pools, thin pools.

Drives take Sys.Audit on the node; pools take Sys.Audit on `/` (pve-storage API2/Disks).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from pveops.api.port import api_path
from pveops.domain.rows import int_of, rows_of, text_of

if TYPE_CHECKING:
    from pveops.api.client import Client


class Drive(NamedTuple):
    """A physical disk.

    name: `sda`, `nvme0n1`. health: `PASSED`, `OK`, `FAILED`, `UNKNOWN`. remaining: percent of its
    life that is left; None: the drive does not tell.
    """

    name: str
    model: str
    health: str
    remaining: int | None


class Pool(NamedTuple):
    """A ZFS pool. health: `ONLINE`, `DEGRADED`, `FAULTED`, `SUSPENDED`, ..."""

    name: str
    health: str
    used_share: float


class ThinPool(NamedTuple):
    """An LVM thin pool. When its metadata is full, writes of every guest on it fail."""

    name: str
    metadata_share: float


def read_drives(client: Client, node: str) -> tuple[Drive, ...]:
    """One request. PVE asks each drive's SMART for it, which may take seconds."""
    rows = rows_of(client.get(api_path("nodes", node, "disks", "list")))
    return tuple(
        Drive(
            text_of(row, "devpath").removeprefix("/dev/"),
            text_of(row, "model"),
            text_of(row, "health", "UNKNOWN"),
            int_of(row, "wearout") if text_of(row, "wearout").isdecimal() else None,
        )
        for row in rows
    )


def read_pools(client: Client, node: str) -> tuple[Pool, ...]:
    """One request: what `zpool list` tells."""
    rows = rows_of(client.get(api_path("nodes", node, "disks", "zfs")))
    return tuple(
        Pool(
            text_of(row, "name"),
            text_of(row, "health"),
            int_of(row, "alloc") / max(1, int_of(row, "size")),
        )
        for row in rows
    )


def read_thin_pools(client: Client, node: str) -> tuple[ThinPool, ...]:
    """One request."""
    rows = rows_of(client.get(api_path("nodes", node, "disks", "lvmthin")))
    return tuple(
        ThinPool(
            f"{text_of(row, 'vg')}/{text_of(row, 'lv')}",
            int_of(row, "metadata_used") / max(1, int_of(row, "metadata_size")),
        )
        for row in rows
    )
