"""`pve replication`: copies of guests' disks on other nodes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from pveops.cli.answer import Answer, Column, Listing
from pveops.cli.call import Call
from pveops.cli.cells import count_of
from pveops.cli.commands import Group, list_options
from pveops.sanitize import shell_word

if TYPE_CHECKING:
    from pveops.domain.replication import ReplicationJob

group = Group(
    "replication",
    help="Replication jobs: how old the copies on other nodes are.",
    lazy={"run": ("pveops.cli.verbs:replication_verb", "have jobs copy now")},
)

_COLUMNS = (
    Column("id"),
    Column("name"),
    Column("source"),
    Column("target"),
    Column("schedule"),
    Column("last_sync", "last success", kind="time"),
    Column("fail_count", "failures", is_sparse=True),
    Column("error", is_sparse=True),
)
_MORE = ("vmid", "next_sync", "is_enabled", "last_try", "duration_s", "is_running")
_FIELDS = (*(column.key for column in _COLUMNS), *_MORE)


@group.command("list", operation="replication.list")
@list_options
@click.pass_obj
def list_jobs(call: Call) -> Answer:
    """List replication jobs with their state, as each source node tells it."""
    from pveops.domain.inventory import read_inventory
    from pveops.domain.replication import read_replication

    reader = call.wiring.reader
    view = read_replication(reader)
    names = {guest.vmid: guest.name for guest in read_inventory(reader).guests}

    def item(row: ReplicationJob) -> dict[str, Any]:
        return row._asdict() | {"name": names.get(row.vmid, "")}

    failing = sum(job.is_failing for job in view.jobs)
    verdict = count_of(len(view.jobs), "replication job")
    if failing:
        verdict += f", {failing} failing"
    if view.unseen:
        verdict += f"; unknown: those of {', '.join(view.unseen)}"
    return Answer(verdict, blocks=(Listing(view.jobs, item, _FIELDS, _COLUMNS),))


_STATUS_COLUMNS = (
    Column("id"),
    Column("name"),
    Column("source"),
    Column("target"),
    Column("state"),
    Column("age_s", "copy is", kind="duration"),
    Column("overdue_s", "late by", kind="duration", is_sparse=True),
    Column("error", is_sparse=True),
)
_STATUS_FIELDS = (*(column.key for column in _STATUS_COLUMNS), *_MORE, "last_sync", "fail_count")


@group.command("status", operation="replication.status")
@list_options
@click.pass_obj
def show_status(call: Call) -> Answer:
    """Show which copies are old, late or failing, the worst first."""
    from pveops.domain.inventory import read_inventory
    from pveops.domain.replication import read_replication

    reader = call.wiring.reader
    view, now = read_replication(reader), reader.server_time()
    names = {guest.vmid: guest.name for guest in read_inventory(reader).guests}

    def item(job: ReplicationJob) -> dict[str, Any]:
        return job._asdict() | {
            "name": names.get(job.vmid, ""),
            "state": state_of(job, now),
            "age_s": int(now) - job.last_sync if job.last_sync else None,
            "overdue_s": job.overdue_s(now) or None,
        }

    jobs = sorted(view.jobs, key=lambda job: (_ORDER[state_of(job, now)], job.last_sync or 0))
    bad = [job for job in jobs if state_of(job, now) in {"failing", "late", "never", "unknown"}]
    verdict = f"{count_of(len(jobs), 'replication job')}, {len(bad)} not as they should be"
    next_ = tuple(f"pve replication run {shell_word(job.id)}" for job in bad[:3])
    return Answer(
        verdict, blocks=(Listing(jobs, item, _STATUS_FIELDS, _STATUS_COLUMNS),), next=next_
    )


_ORDER = {"failing": 0, "unknown": 1, "never": 2, "late": 3, "running": 4, "disabled": 5, "ok": 6}


def state_of(job: ReplicationJob, now: float) -> str:
    """One word for how a job does."""
    if job.last_sync is None:
        return "unknown"
    if job.is_failing:
        return "failing"
    if not job.is_enabled:
        return "disabled"
    if job.is_running:
        return "running"
    if not job.last_sync:
        return "never"
    return "late" if job.overdue_s(now) else "ok"
