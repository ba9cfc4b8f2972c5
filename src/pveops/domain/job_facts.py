"""What decisions about backup jobs are made from."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, NamedTuple

from pveops.api.port import api_path
from pveops.domain.backup import takes_backups
from pveops.domain.facts import Scene
from pveops.domain.guest import Guest
from pveops.domain.job import BackupJob, list_jobs
from pveops.domain.keep import Keep, parse_keep
from pveops.domain.rows import int_of, object_of, rows_of
from pveops.domain.selection import resolve_guest
from pveops.errors import NotFoundError, ParameterError, PveopsError

if TYPE_CHECKING:
    from pveops.api.client import Client
    from pveops.domain.inventory import Inventory

_RUNS = 3


class JobFacts(NamedTuple):
    """A job to be, or to be changed, and what it works on."""

    id: str
    job: BackupJob | None
    """As it is; None: there is none of that id."""
    jobs: tuple[BackupJob, ...]
    guests: tuple[Guest, ...]
    """All that are visible."""
    vmids: tuple[int, ...]
    """Those that were named for it."""
    excluded: tuple[int, ...]
    """Those that were named to be left out."""
    storages: Mapping[str, bool]
    """By name, for those that are visible: whether some node can put backups there now."""
    keeps: Mapping[str, Keep]
    """The storages' own retentions, as far as they can be read, of those that matter here."""
    runs: tuple[int, ...] | None
    """When the wanted schedule would be due next, by PVE; None: not asked, or PVE cannot tell."""
    schedule_error: str
    """What PVE says against the wanted schedule; empty: nothing."""
    pools: tuple[str, ...]
    nodes: tuple[str, ...]
    is_quorate: bool | None
    now: int


def read_new_job_facts(client: Client, scene: Scene) -> tuple[JobFacts, ...]:
    """About four requests."""
    return (_read(client, scene),)


def read_job_facts(client: Client, scene: Scene) -> tuple[JobFacts, ...]:
    """About four requests. Raises NotFoundError for an unknown job."""
    facts = _read(client, scene)
    if facts.job is None:
        names = ", ".join(job.id for job in facts.jobs) or "none"
        raise NotFoundError(f"there is no backup job {facts.id!r}", hint=f"there are: {names}")
    return (facts,)


def _read(client: Client, scene: Scene) -> JobFacts:
    inventory, id_ = scene.inventory, scene.names[0]
    jobs = list_jobs(client)
    job = next((each for each in jobs if each.id == id_), None)
    places = {str(scene.params.get("storage") or ""), job.storage if job else ""} - {""}
    schedule = str(scene.params.get("schedule") or "")
    runs, error = read_runs(client, schedule) if schedule else (None, "")
    return JobFacts(
        id=id_,
        job=job,
        jobs=jobs,
        guests=inventory.guests,
        vmids=_resolve(inventory, scene.params.get("guest")),
        excluded=_resolve(inventory, scene.params.get("exclude")),
        storages=_storages(inventory),
        keeps=_read_keeps(client, inventory, places),
        runs=runs,
        schedule_error=error,
        pools=inventory.pools,
        nodes=tuple(node.name for node in inventory.nodes),
        is_quorate=scene.is_quorate,
        now=int(scene.now),
    )


def _resolve(inventory: Inventory, words: object) -> tuple[int, ...]:
    names = [word for word in str(words or "").split(",") if word]
    return tuple(sorted({resolve_guest(inventory, name).vmid for name in names}))


def _storages(inventory: Inventory) -> dict[str, bool]:
    found: dict[str, bool] = {}
    for each in inventory.storages:
        found[each.storage] = found.get(each.storage, False) or takes_backups(each, each.node)
    return found


def _read_keeps(client: Client, inventory: Inventory, names: set[str]) -> dict[str, Keep]:
    """PVE's own reading of what holds where a job says nothing (VZDump.pm)."""
    found: dict[str, Keep] = {}
    for name in sorted(names):
        places = [each for each in inventory.storages if each.storage == name]
        place = next((each for each in places if takes_backups(each, each.node)), None)
        if place is None:
            continue
        path = api_path("nodes", place.node, "vzdump", "defaults")
        try:
            row = object_of(client.get(path, {"storage": name}))
        except PveopsError:
            continue
        found[name] = parse_keep(row.get("prune-backups"))
    return found


def read_runs(
    client: Client, schedule: str, count: int = _RUNS
) -> tuple[tuple[int, ...] | None, str]:
    """When a calendar event is due next, by PVE, and what PVE says against it.

    PVE counts in its nodes' own time zone, which is why nobody else is asked. One request; None
    where PVE does not answer that (before 7.1, or without a privilege).
    """
    asked: dict[str, str | int] = {"schedule": schedule, "iterations": count}
    try:
        rows = rows_of(client.get("/cluster/jobs/schedule-analyze", asked))
    except ParameterError as error:
        return None, error.message
    except PveopsError:
        return None, ""
    return tuple(int_of(row, "timestamp") for row in rows), ""
