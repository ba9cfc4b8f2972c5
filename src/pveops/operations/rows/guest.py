"""Reading guests."""

from __future__ import annotations

from pveops.operations.operation import Operation, Targets
from pveops.operations.rows.common import SEE_GUESTS, reading

ROWS: tuple[Operation, ...] = (
    reading(
        "guest.list",
        "guests with state and place, by selector",
        "pve guest list --tag prod",
        targets=Targets.GUESTS,
        privileges=SEE_GUESTS,
    ),
    reading(
        "guest.show",
        "one guest: state, configuration, pending changes, snapshots",
        "pve guest show web01",
        targets=Targets.ONE,
        privileges=SEE_GUESTS,
    ),
)
