"""Scheduled jobs: backup jobs and calendar events."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from pveops.sim.archive import backup_volumes
from pveops.sim.calendar_event import CalendarEvent, next_event, parse_calendar_event
from pveops.sim.call import Call
from pveops.sim.config_file import lock_file
from pveops.sim.guest import Guest
from pveops.sim.handlers.permission import check, may
from pveops.sim.property_string import parse_properties
from pveops.sim.refusal import die, parameter_error
from pveops.sim.router import Routes, Waiting

routes = Routes()
_BASE = "/cluster/backup"
_OBJECTS = ("prune-backups", "fleecing", "performance")
"""Text in requests, objects in answers."""
_ROOT_ONLY = ("tmpdir", "dumpdir", "script", "job-id")


def _find(call: Call) -> dict[str, Any]:
    job = call.cluster.backup_jobs.get(call.params["id"])
    if job is None:
        raise parameter_error({"id": f"No such job '{call.params['id']}'"})
    return job


def _shown(job: dict[str, Any]) -> dict[str, Any]:
    return {
        name: parse_properties(value) if name in _OBJECTS else value for name, value in job.items()
    }


def _check_parameters(call: Call) -> None:
    if call.identity.is_root:
        return
    for name in _ROOT_ONLY:
        if name in call.params:
            raise parameter_error({name: "Only root may set this option."})
    if any(name in call.params for name in ("bwlimit", "ionice", "performance")):
        check(call, "/", "Sys.Modify")
    if call.get("storage"):
        check(call, f"/storage/{call.params['storage']}", "Datastore.Allocate")


def _taken(call: Call, *, is_new: bool) -> dict[str, Any]:
    """The parameters as the file keeps them."""
    values = {k: v for k, v in call.params.items() if k not in ("id", "delete", "digest")}
    start, days = values.pop("starttime", None), values.pop("dow", None)
    if "schedule" in values and start is not None:
        text = "'starttime' and 'schedule' cannot both be set"
        raise parameter_error({"starttime": text})
    if "schedule" not in values and start is None and is_new:
        raise parameter_error({"schedule": "neither 'starttime' nor 'schedule' were set"})
    if start is not None:
        values["schedule"] = f"{days} {start}" if days else start
    if "schedule" in values:
        parse_schedule(str(values["schedule"]))
    return values


def check_selection(params: dict[str, Any], *, is_new: bool) -> None:
    """verify_vzdump_parameters: which guests a backup is to take."""
    for name in ("all", "exclude", "pool"):
        if params.get(name) and params.get("vmid"):
            raise parameter_error({name: "option conflicts with option 'vmid'"})
    if params.get("exclude") and not params.get("pool"):
        params["all"] = 1
    if is_new and not any(params.get(name) for name in ("all", "stop", "pool", "vmid")):
        raise parameter_error({"vmid": "property is missing"})


def parse_schedule(text: str) -> CalendarEvent:
    """The event of a `schedule` parameter, or its 400."""
    event = parse_calendar_event(text)
    if event is None:
        cause = f"invalid calendar event '{text}' - unable to parse calendar event at '{text}'"
        raise parameter_error({"schedule": f"invalid format - {cause}\n"})
    return event


@routes.get(_BASE)
def list_jobs(call: Call) -> list[dict[str, Any]]:
    """Jobs in the order of their creation, with the next time each is due."""
    rows = []
    for job in call.cluster.backup_jobs.values():
        event = parse_calendar_event(str(job.get("schedule", "")))
        due = next_event(event, call.cluster.timeline.now()) if event else None
        rows.append(_shown(job) | ({"next-run": due} if due else {}))
    return rows


@routes.get(f"{_BASE}/{{id}}")
def get_job(call: Call) -> dict[str, Any]:
    """One job."""
    return _shown(_find(call))


@routes.post(_BASE)
def create_job(call: Call) -> Waiting:
    """Add a job; its id is made up when none was given."""
    _check_parameters(call)
    values = _taken(call, is_new=True)
    values.setdefault("enabled", 1)
    random = call.cluster.random
    digits = f"{random.getrandbits(128):032x}"
    made_up = "-".join((digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:]))
    id_ = call.get("id") or made_up
    yield from lock_file(call.receiver, "jobs.cfg")
    if id_ in call.cluster.backup_jobs:
        raise die(f"Job '{id_}' already exists")
    check_selection(values, is_new=True)
    call.cluster.backup_jobs[id_] = {"id": id_, "type": "vzdump", **values}


@routes.put(f"{_BASE}/{{id}}")
def update_job(call: Call) -> Waiting:
    """Change a job."""
    _check_parameters(call)
    values = _taken(call, is_new=False)
    delete = [part for part in str(call.get("delete") or "").split(",") if part]
    yield from lock_file(call.receiver, "jobs.cfg")
    if not values and not delete:
        raise die("no options specified")
    check_selection(values, is_new=False)
    job = call.cluster.backup_jobs.get(call.params["id"])
    if job is None:
        raise die("no such vzdump job")
    for name in delete:
        job.pop(name, None)
    job.update(values)
    if values.get("vmid"):
        for name in ("all", "exclude", "pool"):
            job.pop(name, None)
    elif values.get("all") or values.get("pool"):
        job.pop("vmid", None)


@routes.delete(f"{_BASE}/{{id}}")
def delete_job(call: Call) -> Waiting:
    """Drop a job."""
    yield from lock_file(call.receiver, "jobs.cfg")
    del call.cluster.backup_jobs[_find(call)["id"]]


def included_vmids(call: Call, job: dict[str, Any]) -> list[int]:
    """The guests that a job takes, existing or not (VZDump.pm, get_included_guests)."""
    node = job.get("node")
    guests = call.cluster.guests
    return [
        vmid
        for vmid in _selected_vmids(call, job)
        if vmid not in guests or node in (None, guests[vmid].node)
    ]


def _selected_vmids(call: Call, job: dict[str, Any]) -> list[int]:
    if job.get("vmid"):
        return [int(part) for part in str(job["vmid"]).replace(";", ",").split(",")]
    if job.get("pool"):
        prefix = str(job["pool"])
        return sorted(
            vmid
            for pool in call.cluster.pools.by_id.values()
            if pool.poolid == prefix or pool.poolid.startswith(f"{prefix}/")
            for vmid in pool.vmids
        )
    excluded = {int(part) for part in str(job.get("exclude") or "").split(",") if part}
    return [vmid for vmid in sorted(call.cluster.guests) if vmid not in excluded]


@routes.get(f"{_BASE}/{{id}}/included_volumes")
def list_included(call: Call) -> dict[str, Any]:
    """Guests and volumes of a job, and why each is in or out."""
    children: list[dict[str, Any]] = []
    for vmid in included_vmids(call, _find(call)):
        guest = call.cluster.guests.get(vmid)
        if not may(call, f"/vms/{vmid}", "VM.Audit"):
            continue
        if guest is None:
            children.append({"id": vmid, "type": "unknown", "leaf": 1})
            continue
        volumes = _volume_rows(guest)
        name = guest.config.get("name" if guest.kind == "qemu" else "hostname")
        children.append(
            {"id": vmid, "type": guest.kind, "name": name, "children": volumes}
            | {"leaf": int(not volumes)}
        )
    return {"children": children}


def _volume_rows(guest: Guest) -> list[dict[str, Any]]:
    return [
        {
            "id": f"{guest.vmid}:{volume.key}",
            "name": volume.volid,
            "included": int(volume.is_included),
            "reason": volume.reason,
            "leaf": 1,
        }
        for volume in backup_volumes(guest.kind, guest.config)
    ]


@routes.get("/cluster/backup-info/not-backed-up")
def list_not_backed_up(call: Call) -> list[dict[str, Any]]:
    """Guests that no job takes, whether the job is enabled or not."""
    covered = {
        vmid for job in call.cluster.backup_jobs.values() for vmid in included_vmids(call, job)
    }
    rows = []
    for guest in call.cluster.guests.values():
        if guest.vmid in covered or not may(call, f"/vms/{guest.vmid}", "VM.Audit"):
            continue
        name = guest.config.get("name" if guest.kind == "qemu" else "hostname")
        rows.append({"vmid": guest.vmid, "type": guest.kind} | ({"name": name} if name else {}))
    return rows


@routes.get("/cluster/jobs/schedule-analyze")
def analyze_schedule(call: Call) -> list[dict[str, Any]]:
    """The next times of a calendar event."""
    event = parse_schedule(call.params["schedule"])
    moment: float | None = call.get("starttime") or call.cluster.timeline.now()
    rows = []
    for _ in range(call.get("iterations") or 10):
        moment = next_event(event, moment or 0)
        if moment is None:
            break
        utc = datetime.fromtimestamp(moment, UTC)
        rows.append({"timestamp": moment, "utc": f"{utc:%a %b} {utc.day:2} {utc:%H:%M:%S %Y}"})
    return rows
