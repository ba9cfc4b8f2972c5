"""Nodes."""

from __future__ import annotations

from pveops.operations.operation import Operation, Targets
from pveops.operations.rows.common import SEE_NODES, reading

ROWS: tuple[Operation, ...] = (
    reading("node.list", "nodes with load and state", "pve node list", privileges=SEE_NODES),
    reading(
        "node.show",
        "one node: load, versions, guests, storages",
        "pve node show pve1",
        targets=Targets.ONE,
        privileges=SEE_NODES,
    ),
)
