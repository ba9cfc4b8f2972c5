"""What guests belong to: HA, pools, replication."""

from __future__ import annotations

from pveops.operations.operation import Operation, Privilege
from pveops.operations.rows.common import SEE_GUESTS, SEE_NODES, reading

ROWS: tuple[Operation, ...] = (
    reading(
        "ha.list",
        "what HA manages, with what it wants and does",
        "pve ha list",
        privileges=(Privilege("/", "Sys.Audit"),),
    ),
    reading(
        "pool.list",
        "pools with their guests",
        "pve pool list",
        privileges=(Privilege("/pool/{pool}", "Pool.Audit"), *SEE_GUESTS),
    ),
    reading(
        "replication.list",
        "replication jobs, and how old the copies are",
        "pve replication list",
        privileges=(*SEE_GUESTS, *SEE_NODES),
    ),
)
