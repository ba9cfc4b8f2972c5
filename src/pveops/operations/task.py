"""Ending a running task by force.

`decide_cancel` is pure: one task's facts, in; what to do, out. PVE signals the worker and kills
it after 5 s (pve-common RESTEnvironment.pm, check_worker); nothing cleans up behind it.
"""

from __future__ import annotations

from typing import NamedTuple

from pveops.api.port import api_path
from pveops.ids import Upid
from pveops.operations.catalog import get_operation
from pveops.operations.decision import Decision
from pveops.operations.findings import Finding
from pveops.operations.plan import Call, Item, Scalar, Target, WaitState
from pveops.units import format_duration

_GRACE_S = 30.0
"""PVE waits 5 s before it kills; a worker in uninterruptible sleep takes longer."""
_LOCKING = frozenset(
    {"vzdump", "qmigrate", "vzmigrate", "qmclone", "vzclone", "qmrestore", "vzrestore"}
    | {"qmsnapshot", "vzsnapshot", "qmdelsnapshot", "vzdelsnapshot", "qmrollback", "vzrollback"}
)
"""Tasks that hold a lock in a guest's configuration while they work."""


class TaskFacts(NamedTuple):
    """One task, as read at `read_at` (seconds since the epoch by the server)."""

    upid: Upid
    is_running: bool
    exitstatus: str
    tags: tuple[str, ...]
    """Of the guest that the task is about, if it is about one; so that its protection counts."""
    pool: str
    read_at: int


def task_guards(is_running: bool) -> dict[str, Scalar]:
    """What must not have changed about a task between its plan and the call."""
    return {"is_running": is_running}


def decide_cancel(operation_id: str, facts: TaskFacts, _params: dict[str, Scalar]) -> Decision:
    """What ending the task comes to. One that has ended is left alone."""
    upid = facts.upid
    target = Target(
        kind="task",
        id=str(upid),
        name=f"{upid.type} {upid.id}".strip(),
        node=upid.node,
        tags=facts.tags,
        pool=facts.pool,
    )
    if not facts.is_running:
        return Decision(target, (), is_already_so=True, state=f"ended ({facts.exitstatus})")
    age_s = max(0, facts.read_at - upid.starttime)
    item = Item(
        target=target,
        headline=f"RUNNING {format_duration(age_s)}",
        guards=task_guards(is_running=True),
        before={"status": "running", "uptime_s": age_s, "node": upid.node},
        steps=(
            Call(
                method="DELETE",
                path=api_path("nodes", upid.node, "tasks", str(upid)),
                effect=get_operation(operation_id).effect.value,
            ),
            WaitState("task.ended", _GRACE_S),
        ),
        losses=("what the task has done so far",),
    )
    return Decision(target, tuple(_findings(upid)), item, state="running")


def _findings(upid: Upid) -> list[Finding]:
    subject = f"task/{upid.type}"
    found = [
        Finding(
            "task.residue",
            "warn",
            subject,
            "nothing cleans up behind it: half-made volumes or files may stay",
            remedy=f"pve task log {upid}",
        )
    ]
    if upid.type in _LOCKING:
        about = f" {upid.id}" if upid.id else ""
        found.append(
            Finding(
                "task.lock-stays",
                "warn",
                subject,
                f"the lock that it holds on guest{about} may stay; only root can remove it",
                remedy=f"pve guest show{about}",
            )
        )
    return found
