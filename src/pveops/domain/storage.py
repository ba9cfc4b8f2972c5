"""Storages, as each node sees them."""

from __future__ import annotations

from typing import NamedTuple

from pveops.domain.rows import Row, flag_of, int_of, text_of


class Storage(NamedTuple):
    """One storage on one node: a row of type `storage` in /cluster/resources.

    status: `available` or `unknown` (not reported active for five minutes).
    """

    storage: str
    node: str
    type: str
    status: str
    is_shared: bool
    content: tuple[str, ...]
    used_bytes: int
    total_bytes: int

    @property
    def label(self) -> str:
        """`backups`, or `local on pve2`: each node has a `local` of its own."""
        return self.storage if self.is_shared else f"{self.storage} on {self.node}"

    @property
    def subject(self) -> str:
        """Of findings about the place as a whole: `storage/backups`, `storage/pve2/local`."""
        return (
            f"storage/{self.storage}" if self.is_shared else f"storage/{self.node}/{self.storage}"
        )

    @property
    def has_figures(self) -> bool:
        """Whether its use is known now; of what is inactive, or on a dead node, nobody knows."""
        return self.total_bytes > 0 and self.status == "available"

    @property
    def used_share(self) -> float:
        """Between 0 and 1; 0 when the size is not known."""
        return self.used_bytes / self.total_bytes if self.total_bytes else 0.0


def storage_of_row(row: Row, online_nodes: frozenset[str]) -> Storage:
    """A storage from its row in /cluster/resources; on a dead node its state is unknown."""
    node = text_of(row, "node")
    return Storage(
        storage=text_of(row, "storage"),
        node=node,
        type=text_of(row, "plugintype"),
        status=text_of(row, "status", "unknown") if node in online_nodes else "unknown",
        is_shared=flag_of(row, "shared"),
        content=tuple(sorted(part for part in text_of(row, "content").split(",") if part)),
        used_bytes=int_of(row, "disk"),
        total_bytes=int_of(row, "maxdisk"),
    )
