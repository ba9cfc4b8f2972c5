"""Replication: jobs that copy a guest's disks to another node by their schedule.

The state is kept on the node where the guest is (pve-guest-common ReplicationState.pm): a job that
fails is tried again after 5, 10, 15 minutes and then every half hour (Replication.pm).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from pveops.sim.calendar_event import next_event, parse_calendar_event

if TYPE_CHECKING:
    from pveops.sim.model import Cluster

_SYNC_S = 6.0
_RETRY_S = (300.0, 600.0, 900.0)
_RETRY_LATER_S = 1800.0
_DEFAULT = "*/15"


@dataclass(slots=True)
class JobState:
    """What became of a job so far; times in seconds since the epoch, 0: never."""

    last_sync: int = 0
    last_try: int = 0
    fail_count: int = 0
    error: str = ""
    duration: float = 0.0
    is_running: bool = False
    log: list[str] = field(default_factory=list)
    due: float = 0.0


def state_of(cluster: Cluster, job_id: str) -> JobState:
    """The state of a job; one that never ran has an empty one."""
    return cluster.replication_states.setdefault(job_id, JobState())


def next_run(cluster: Cluster, job_id: str) -> int:
    """When the job is due."""
    job, state = cluster.replication_jobs[job_id], state_of(cluster, job_id)
    if state.fail_count:
        waits = _RETRY_S[min(state.fail_count, len(_RETRY_S)) - 1]
        if state.fail_count > len(_RETRY_S):
            waits = _RETRY_LATER_S
        return int(state.last_try + waits)
    event = parse_calendar_event(str(job.get("schedule") or _DEFAULT))
    return (next_event(event, cluster.timeline.now()) if event else 0) or 0


def schedule(cluster: Cluster, job_id: str) -> None:
    """Run the job when it is due, again and again."""
    due = float(next_run(cluster, job_id))
    state_of(cluster, job_id).due = due
    cluster.timeline.at(due, lambda: _when_due(cluster, job_id, due))


def _when_due(cluster: Cluster, job_id: str, due: float) -> None:
    job = cluster.replication_jobs.get(job_id)
    if job is None or state_of(cluster, job_id).due != due:
        return
    if not job.get("disable"):
        run(cluster, job_id)
    else:
        schedule(cluster, job_id)


def run(cluster: Cluster, job_id: str) -> None:
    """One copy, begun now; a job that runs already goes on."""
    state = state_of(cluster, job_id)
    guest = cluster.guests.get(int(cluster.replication_jobs[job_id]["guest"]))
    if state.is_running or guest is None or not cluster.nodes[guest.node].is_online:
        return
    state.is_running, state.last_try = True, int(cluster.timeline.now())
    state.log = [f"{job_id}: start replication job"]
    cluster.timeline.after(_SYNC_S, lambda: _end(cluster, job_id))


def _end(cluster: Cluster, job_id: str) -> None:
    state, job = state_of(cluster, job_id), cluster.replication_jobs.get(job_id)
    state.is_running, state.duration = False, _SYNC_S
    if job is None:
        return
    target = cluster.nodes.get(str(job["target"]))
    error = str(job.get("breaks") or "")
    if target is None or not target.is_online:
        address = target.address if target else "unknown"
        error = (
            f"command '/usr/bin/ssh -e none root@{address} pvecm mtunnel' failed: exit code 255"
        )
    if error:
        state.fail_count, state.error = state.fail_count + 1, error
        state.log.append(f"{job_id}: end replication job with error: {error}")
    else:
        state.fail_count, state.error, state.last_sync = 0, "", state.last_try
        state.log.append(f"{job_id}: end replication job")
    schedule(cluster, job_id)


def row_of(cluster: Cluster, job_id: str) -> dict[str, Any]:
    """The state as the API shows it."""
    state = state_of(cluster, job_id)
    row: dict[str, Any] = {
        "last_sync": state.last_sync,
        "last_try": state.last_try,
        "fail_count": state.fail_count,
        "duration": state.duration,
        "next_sync": next_run(cluster, job_id),
    }
    if state.error:
        row["error"] = state.error
    if state.is_running:
        row["pid"] = 4711
    return row
