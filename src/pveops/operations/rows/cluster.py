"""The cluster as a whole."""

from __future__ import annotations

from pveops.operations.operation import Operation
from pveops.operations.rows.common import reading

ROWS: tuple[Operation, ...] = (
    reading("status", "the cluster at a glance, and what is wrong with it", "pve status"),
    reading("find", "guests, nodes, storages and pools by a piece of their name", "pve find web"),
)
