"""`pve job`: look at backup jobs; what changes them is in `verbs`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from pveops.cli.answer import Answer, Column, Facts, Lines, Listing
from pveops.cli.call import Call
from pveops.cli.cells import count_of
from pveops.cli.commands import Command, Group, list_options
from pveops.errors import NotFoundError
from pveops.sanitize import shell_word
from pveops.units import format_utc

if TYPE_CHECKING:
    from pveops.domain.job import BackupJob

_VERB = "pveops.cli.verbs:job_verb"
_TEXTS = ("comment", "notes-template")
_COLUMNS = (
    Column("id"),
    Column("is_enabled", "enabled", kind="flag"),
    Column("schedule"),
    Column("next_run", "next", kind="time"),
    Column("selection", "takes"),
    Column("storage"),
    Column("mode", common="snapshot"),
    Column("keep"),
)
_FIELDS = (*(column.key for column in _COLUMNS), "node", "vmids", "excluded", "pool", "takes_all")
_NEXT = (Column("at", kind="time"), Column("in_s", "in", kind="duration"), Column("id"))

group = Group(
    "job",
    help="""Scheduled backups.

    A change needs a person's consent; one tier more when it may prune more than before.""",
    lazy={
        "list": ("pveops.cli.job:list_all", "backup jobs with their next runs"),
        "show": ("pveops.cli.job:show", "one backup job, and the guests that it takes"),
        "next": ("pveops.cli.job:show_next", "when backup jobs are due next"),
        "create": (_VERB, "schedule backups"),
        "change": (_VERB, "change a backup job"),
        "enable": (_VERB, "let a backup job run"),
        "disable": (_VERB, "keep a backup job from running"),
    },
)


def job_item(job: BackupJob) -> dict[str, Any]:
    """A job as a JSON object. `keep` null: the storage's own retention holds."""
    from pveops.domain.keep import format_keep

    keep = None if job.keep is None else format_keep(job.keep)
    return {
        "id": job.id,
        "is_enabled": job.is_enabled,
        "schedule": job.schedule,
        "next_run": job.next_run if job.is_enabled else None,
        "selection": job.selection,
        "storage": job.storage,
        "mode": job.mode,
        "keep": "everything" if not job.removes else keep,
        "node": job.node,
        "vmids": sorted(job.vmids),
        "excluded": sorted(job.excluded),
        "pool": job.pool,
        "takes_all": job.takes_all,
    }


@click.command("list", cls=Command, operation="job.list")
@list_options
@click.pass_obj
def list_all(call: Call) -> Answer:
    """List backup jobs: when, whom, where to, and what they keep."""
    from pveops.domain.job import list_jobs

    jobs = list_jobs(call.wiring.reader)
    on = [job for job in jobs if job.is_enabled]
    due = min((job.next_run for job in on if job.next_run), default=None)
    verdict = f"{count_of(len(jobs), 'backup job')}, {len(on)} enabled"
    if due:
        verdict += f"; next run {format_utc(due)}"
    if on and any(job.next_run is None for job in on):
        verdict += "; PVE does not tell the next run of each"
    return Answer(verdict, blocks=(Listing(jobs, job_item, _FIELDS, _COLUMNS),))


@click.command("show", cls=Command, operation="job.show")
@click.argument("job")
@click.pass_obj
def show(call: Call, job: str) -> Answer:
    """Show one backup job, and the guests that it takes now."""
    from pveops.domain.inventory import read_inventory
    from pveops.sanitize import frame_untrusted

    found = _find(call, job)
    guests = [g for g in read_inventory(call.wiring.reader).guests if found.covers(g)]
    item = job_item(found)
    texts = {key: str(found.values[key]) for key in _TEXTS if found.values.get(key)}
    pairs = tuple(
        (key.replace("_", " "), _word(value)) for key, value in item.items() if key != "vmids"
    )
    names = ", ".join(guest.name or str(guest.vmid) for guest in guests)
    blocks: list[Facts | Lines] = [Facts((*pairs, ("takes now", names)))]
    if texts:
        told = "\n".join(f"{key}: {text}" for key, text in texts.items())
        blocks.append(Lines(tuple(frame_untrusted(told, f"texts of {job}").split("\n"))))
    state = "enabled" if found.is_enabled else "DISABLED"
    return Answer(
        f"{found.id} ({state}): {count_of(len(guests), 'guest')} to {found.storage}, "
        f"{found.schedule}",
        data=item
        | {"guests": [guest.vmid for guest in guests]}
        | ({"untrusted": texts} if texts else {}),
        blocks=tuple(blocks),
        next=(f"pve job next {shell_word(found.id)}",),
        has_free_text=bool(texts),
    )


def _word(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list):
        return ",".join(map(str, value))
    return format_utc(value) if isinstance(value, int) else str(value or "")


def _find(call: Call, job_id: str) -> BackupJob:
    from pveops.domain.job import list_jobs

    jobs = list_jobs(call.wiring.reader)
    found = next((each for each in jobs if each.id == job_id), None)
    if found is None:
        names = ", ".join(each.id for each in jobs) or "none"
        raise NotFoundError(f"there is no backup job {job_id!r}", hint=f"there are: {names}")
    return found


@click.command("next", cls=Command, operation="job.next")
@click.argument("job", required=False)
@click.option("--count", type=click.IntRange(1, 100), default=3, help="So many of each job. [3]")
@list_options
@click.pass_obj
def show_next(call: Call, job: str | None, count: int) -> Answer:
    """Show when backup jobs are due next, as PVE counts it, in the nodes' own time zone.

    Disabled jobs are not due. Where PVE does not tell, it is unknown.
    """
    from pveops.domain.job import list_jobs
    from pveops.domain.job_facts import read_runs

    reader = call.wiring.reader
    jobs = (_find(call, job),) if job else list_jobs(reader)
    now = reader.server_time()
    rows: list[dict[str, Any]] = []
    unknown: list[str] = []
    for each in (each for each in jobs if each.is_enabled):
        runs, _ = read_runs(reader, each.schedule, count)
        if runs is None:
            runs = (each.next_run,) if each.next_run else ()
            unknown.append(f"all but the next run of {each.id}" if runs else each.id)
        rows += [{"at": at, "in_s": max(0, int(at - now)), "id": each.id} for at in runs]
    rows.sort(key=lambda row: (row["at"], row["id"]))
    idle = [each.id for each in jobs if not each.is_enabled]
    verdict = f"next: {rows[0]['id']} at {format_utc(rows[0]['at'])}" if rows else "nothing is due"
    if idle:
        verdict += f"; disabled: {', '.join(idle)}"
    if unknown:
        verdict += f"; unknown: {', '.join(unknown)}"
    listing = Listing(rows, lambda row: row, ("at", "in_s", "id"), _NEXT)
    return Answer(verdict, beside={"disabled": idle, "unknown": unknown}, blocks=(listing,))
