"""Replication as the node tells it where the guest is (pve-manager API2/Replication.pm)."""

from __future__ import annotations

from typing import Any

from pveops.sim.call import Call
from pveops.sim.handlers.permission import check, may
from pveops.sim.refusal import die
from pveops.sim.replication import row_of, run, state_of
from pveops.sim.router import Routes

routes = Routes()
_JOBS = "/nodes/{node}/replication"
_JOB = f"{_JOBS}/{{id}}"
_HIDDEN = frozenset({"breaks"})
"""What only the simulation knows."""


def _jobs(call: Call) -> list[str]:
    found = []
    for job_id, job in sorted(call.cluster.replication_jobs.items()):
        guest = call.cluster.guests.get(int(job["guest"]))
        if guest is not None and guest.node == call.node.name:
            found.append(job_id)
    return found


def _row(call: Call, job_id: str) -> dict[str, Any]:
    job = call.cluster.replication_jobs[job_id]
    shown = {key: value for key, value in job.items() if key not in _HIDDEN}
    guest = call.cluster.guests[int(job["guest"])]
    return {**shown, **row_of(call.cluster, job_id), "id": job_id, "vmtype": guest.kind}


@routes.get(_JOBS)
def list_states(call: Call) -> list[dict[str, Any]]:
    """The jobs of guests on this node, with how they went."""
    jobs = call.cluster.replication_jobs
    return [
        _row(call, job_id)
        for job_id in _jobs(call)
        if call.get("guest") in (None, jobs[job_id]["guest"])
        and may(call, f"/vms/{jobs[job_id]['guest']}", "VM.Audit")
    ]


def _checked(call: Call) -> str:
    job_id = str(call.params["id"])
    if job_id not in _jobs(call):
        raise die(f"no such replication job '{job_id}'")
    check(call, f"/vms/{call.cluster.replication_jobs[job_id]['guest']}", "VM.Audit")
    return job_id


@routes.get(f"{_JOB}/status")
def get_state(call: Call) -> dict[str, Any]:
    """How one job went."""
    return _row(call, _checked(call))


@routes.get(f"{_JOB}/log")
def get_log(call: Call) -> list[dict[str, Any]]:
    """What the last run wrote."""
    lines = state_of(call.cluster, _checked(call)).log
    return [{"n": number, "t": text} for number, text in enumerate(lines, 1)]


@routes.post(f"{_JOB}/schedule_now")
def schedule_now(call: Call) -> None:
    """Let the job be the next one: answered at once, begun by the scheduler's next round."""
    job_id = str(call.params["id"])
    job = call.cluster.replication_jobs.get(job_id)
    if job is None:
        raise die(f"no such replication job '{job_id}'")
    privilege = "VM.Replicate" if call.receiver.version.at_least("9.0") else "Datastore.Allocate"
    path = f"/vms/{job['guest']}" if privilege == "VM.Replicate" else "/storage"
    check(call, path, privilege)
    cluster = call.cluster
    cluster.timeline.after(5.0, lambda: run(cluster, job_id))
