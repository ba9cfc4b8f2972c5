"""Goals about backup jobs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pveops.domain.job import find_job, show_job_value
from pveops.engine.goals.sight import Look, Sight, Sought
from pveops.operations.plan import Scalar

if TYPE_CHECKING:
    from pveops.api.client import Client


def _look_at_values(client: Client, sought: Sought) -> Sight:
    """`expect`: key -> the text that PVE has to keep; None: the key is not set."""
    job = find_job(client, sought.target.id)
    if job is None:
        return Sight(False, "not there", {"exists": False})
    seen: dict[str, Scalar] = {
        key: show_job_value(key, job.values[key]) if key in job.values else None
        for key in sought.expect
    }
    off = [key for key, wanted in sought.expect.items() if seen[key] != wanted]
    if off:
        return Sight(False, f"not as wanted: {', '.join(off)}", dict(seen))
    words = ", ".join(f"{key}={text}" if text else f"no {key}" for key, text in seen.items())
    return Sight(True, f"kept with {words}", dict(seen))


GOALS: dict[str, Look] = {"job.values": _look_at_values}
