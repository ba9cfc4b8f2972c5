"""Storages."""

from __future__ import annotations

from pveops.operations.operation import Operation, Targets
from pveops.operations.rows.common import SEE_STORAGES, reading

ROWS: tuple[Operation, ...] = (
    reading("storage.list", "storages with use", "pve storage list", privileges=SEE_STORAGES),
    reading(
        "storage.show",
        "one storage on every node",
        "pve storage show local-lvm",
        targets=Targets.ONE,
        privileges=SEE_STORAGES,
    ),
)
