"""Reading a plan's guards again, right before its first call."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pveops.api.tasks import get_status
from pveops.domain.guest import GuestRef, read_guest_config, read_guest_state
from pveops.errors import NotFoundError, StalePlanError
from pveops.operations.guards import guest_guards
from pveops.operations.plan import Item, Scalar
from pveops.operations.task import task_guards

if TYPE_CHECKING:
    from pveops.api.client import Client


def check_guards(client: Client, item: Item) -> None:
    """Two requests to the target's node, one for a task.

    Raises StalePlanError naming each changed field.

    Asking the planned node proves the placement, too: a guest that moved is not found there.
    """
    now = _read(client, item)
    changed = {
        field: (planned, now.get(field))
        for field, planned in item.guards.items()
        if now.get(field) != planned
    }
    if changed:
        words = ", ".join(f"{field}: {old!r} -> {new!r}" for field, (old, new) in changed.items())
        raise StalePlanError(
            f"{item.target.label} has changed since the plan was made: {words}",
            hint="ask for the operation again to get a plan of the present state",
            details={"changed": sorted(changed)},
        )


def _read(client: Client, item: Item) -> dict[str, Scalar]:
    target = item.target
    if target.kind == "task":
        return task_guards(get_status(client, target.id).is_running)
    ref = GuestRef(
        int(target.id), "lxc" if target.kind == "lxc" else "qemu", target.node, target.name
    )
    try:
        state = read_guest_state(client, ref)
        config = read_guest_config(client, ref)
    except NotFoundError as error:
        raise StalePlanError(
            f"{target.label} is not on {target.node} any more",
            hint=f"look where it is: `pve guest show {target.id}`",
            details={"changed": ["node"], "server": error.message},
        ) from error
    return guest_guards(state, config)
