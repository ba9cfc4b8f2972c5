"""Goals about replication jobs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pveops.api.port import api_path
from pveops.domain.rows import int_of, object_of, text_of
from pveops.engine.goals.sight import Look, Sight, Sought
from pveops.operations.plan import Scalar

if TYPE_CHECKING:
    from pveops.api.client import Client


def _look_for_newer_copy(client: Client, sought: Sought) -> Sight:
    """`expect`: `source`, the node that runs it.

    Over when a try that began since has failed: PVE tries again by itself, minutes later.
    """
    path = api_path("nodes", str(sought.expect["source"]), "replication", sought.target.id)
    state = object_of(client.get(f"{path}/status"))
    last_sync, last_try = int_of(state, "last_sync"), int_of(state, "last_try")
    error = text_of(state, "error")
    after: dict[str, Scalar] = {"last_sync": last_sync, "last_try": last_try}
    if last_sync > int(sought.before["last_sync"] or 0):
        return Sight(True, "copied", after)
    has_tried = last_try > int(sought.before["last_try"] or 0) and not state.get("pid")
    word = f"not copied: {error}" if has_tried and error else "not copied yet"
    return Sight(False, word, after, is_over=bool(has_tried and error))


GOALS: dict[str, Look] = {"replication.synced": _look_for_newer_copy}
