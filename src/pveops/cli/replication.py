"""`pve replication`: copies of guests' disks on other nodes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from pveops.cli.answer import Answer, Column, Listing
from pveops.cli.call import Call
from pveops.cli.cells import count_of
from pveops.cli.commands import Group, list_options

if TYPE_CHECKING:
    from pveops.domain.replication import ReplicationJob

group = Group("replication", help="Replication jobs: how old the copies on other nodes are.")

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
_FIELDS = (*(column.key for column in _COLUMNS), "vmid", "next_sync", "is_enabled")


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
