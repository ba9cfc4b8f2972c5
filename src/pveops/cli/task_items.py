"""Tasks as rows, and the end of a task as an answer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from pveops.cli.answer import Answer, Column, Lines, Listing
from pveops.errors import OutcomeUnknownError, PendingError, PveopsError, TaskFailedError

if TYPE_CHECKING:
    from pveops.api.tasks import TaskOutcome, TaskStatus

FIELDS = ("upid", "node", "type", "id", "user", "starttime", "endtime", "age_s", "status")

_COLUMNS = (
    Column("age_s", "age", kind="duration"),
    Column("status", common="OK"),
    Column("upid"),
    Column("node", is_wide=True),
    Column("type", is_wide=True),
    Column("id", is_wide=True),
    Column("user", is_wide=True),
)
_MAX_STATUS = 60


def task_listing(tasks: Sequence[TaskStatus], now: float) -> Listing:
    """Tasks as a list; `age` counts from their start."""

    def item(task: TaskStatus) -> dict[str, Any]:
        upid = task.upid
        return {
            "upid": str(upid),
            "node": upid.node,
            "type": upid.type,
            "id": upid.id,
            "user": upid.user,
            "starttime": upid.starttime,
            "endtime": task.endtime,
            "age_s": max(0, int(now - upid.starttime)),
            "status": "running" if task.is_running else task.exitstatus[:_MAX_STATUS],
        }

    return Listing(tasks, item, FIELDS, _COLUMNS)


def answer_of_outcome(outcome: TaskOutcome) -> Answer:
    """What became of a task, as an answer with the exit code that fits."""
    upid = str(outcome.upid)
    log = f"pve task log {upid}"
    data = {
        "upid": upid,
        "outcome": outcome.kind.value,
        "exitstatus": outcome.exitstatus,
        "warnings": outcome.warnings,
    }
    if outcome.is_success:
        next_ = (log,) if outcome.warnings else ()
        return Answer(f"done: {upid} ended with {outcome.exitstatus}", data=data, next=next_)
    error: PveopsError
    if outcome.is_running:
        error = PendingError(f"{upid} is running", hint=f"pve task wait {upid}")
    elif outcome.is_unknown:
        error = OutcomeUnknownError(f"nobody knows how {upid} ended: {outcome.exitstatus}")
    else:
        error = TaskFailedError(f"{upid} failed: {outcome.exitstatus}", hint=log)
    return _failed(error, outcome, data)


def _failed(error: PveopsError, outcome: TaskOutcome, data: dict[str, Any]) -> Answer:
    from pveops.cli.failure import answer_of_error

    answer = answer_of_error("", error)
    if isinstance(error, PendingError):
        answer = answer._replace(verdict=f"pending: {error.message}")
    if not outcome.log_tail:
        return answer._replace(data=data)
    from pveops.sanitize import frame_untrusted

    text = "\n".join(outcome.log_tail)
    framed = frame_untrusted(text, "the end of the task's log")
    return answer._replace(
        data=data | {"untrusted": {"log": list(outcome.log_tail)}},
        blocks=(Lines(tuple(framed.split("\n"))),),
    )
