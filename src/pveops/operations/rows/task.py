"""Tasks."""

from __future__ import annotations

from pveops.operations.operation import Effect, Operation, Privilege, Targets, Tier
from pveops.operations.rows.common import SEE_NODES, reading

ROWS: tuple[Operation, ...] = (
    reading(
        "task.list", "running and recent tasks", "pve task list --failed", privileges=SEE_NODES
    ),
    reading("task.show", "the state of one task", "pve task show UPID", targets=Targets.ONE),
    reading("task.log", "the log of one task", "pve task log UPID", targets=Targets.ONE),
    reading("task.wait", "wait for the end of a task", "pve task wait UPID", targets=Targets.ONE),
    Operation(
        "task.cancel",
        "end a running task by force; what it left behind stays",
        Tier.DISRUPTIVE,
        Effect.ONCE,
        Targets.TASK,
        (Privilege("/nodes/{node}", "Sys.Modify"),),
        example="pve task cancel UPID",
        decides="pveops.operations.task:decide_cancel",
    ),
)
