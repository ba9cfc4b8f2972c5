"""Every operation, as a literal table; its rows lie in `rows/`, by noun.

The command line, the MCP tools, the policy's vocabulary, the generated documents, the skill's
command list and the report of privileges are all made from it.
"""

from __future__ import annotations

from pveops.errors import UsageError
from pveops.operations.operation import Operation
from pveops.operations.rows import (
    api,
    backup,
    clone,
    cluster,
    config,
    create,
    disk,
    groups,
    guest,
    job,
    move,
    node,
    power,
    snapshot,
    storage,
    task,
    trash,
)

OPERATIONS: tuple[Operation, ...] = (
    *cluster.ROWS,
    *guest.ROWS,
    *power.ROWS,
    *create.ROWS,
    *clone.ROWS,
    *config.ROWS,
    *trash.ROWS,
    *disk.ROWS,
    *snapshot.ROWS,
    *backup.ROWS,
    *job.ROWS,
    *move.ROWS,
    *node.ROWS,
    *storage.ROWS,
    *groups.ROWS,
    *task.ROWS,
    *api.ROWS,
)
"""In the order in which people meet them."""

_BY_ID = {operation.id: operation for operation in OPERATIONS}


def get_operation(operation_id: str) -> Operation:
    """The row of that id. Raises UsageError with the nearest ids."""
    operation = _BY_ID.get(operation_id)
    if operation is None:
        import difflib

        near = difflib.get_close_matches(operation_id, _BY_ID, n=3)
        hint = "did you mean " + ", ".join(near) + "?" if near else "see `pve --help`"
        raise UsageError(f"there is no operation {operation_id!r}", hint=hint)
    return operation


def list_changes() -> tuple[Operation, ...]:
    """The operations that can change the cluster."""
    return tuple(operation for operation in OPERATIONS if operation.is_change)
