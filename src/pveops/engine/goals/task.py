"""The one goal for a task is its end."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pveops.api.tasks import get_status
from pveops.engine.goals.sight import Look, Sight, Sought

if TYPE_CHECKING:
    from pveops.api.client import Client


def _look_for_end(client: Client, sought: Sought) -> Sight:
    status = get_status(client, sought.target.id)
    word = "running" if status.is_running else f"ended ({status.exitstatus})"
    return Sight(not status.is_running, word, {"status": word, "node": status.upid.node})


GOALS: dict[str, Look] = {"task.ended": _look_for_end}
