"""Replication jobs: copies of guests' disks on another node, and how old they are."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from pveops.api.port import api_path
from pveops.domain.rows import Row, flag_of, int_of, rows_of, text_of
from pveops.errors import PveopsError

if TYPE_CHECKING:
    from pveops.api.client import Client


class ReplicationJob(NamedTuple):
    """One job, with its state as the source node tells it."""

    id: str
    vmid: int
    source: str
    target: str
    schedule: str
    is_enabled: bool
    last_sync: int | None
    """When it last succeeded, in seconds since the epoch; 0: never; None: not known."""
    next_sync: int | None
    fail_count: int | None
    error: str
    """The last error; PVE's own words."""

    @property
    def is_failing(self) -> bool:
        """Whether its last run failed."""
        return bool(self.fail_count)


class ReplicationView(NamedTuple):
    """All jobs, and the nodes that did not tell the state of theirs."""

    jobs: tuple[ReplicationJob, ...]
    unseen: tuple[str, ...]


def read_replication(client: Client) -> ReplicationView:
    """One request for the jobs, and one for each node that has some."""
    rows = rows_of(client.get("/cluster/replication"))
    states: dict[str, Row] = {}
    unseen: list[str] = []
    for node in sorted({text_of(row, "source") for row in rows if row.get("source")}):
        try:
            told = rows_of(client.get(api_path("nodes", node, "replication")))
        except PveopsError:
            unseen.append(node)
            continue
        states |= {text_of(row, "id"): row for row in told}
    jobs = tuple(sorted(_job_of(row, states.get(text_of(row, "id"))) for row in rows))
    return ReplicationView(jobs, tuple(unseen))


def _job_of(row: Row, state: Row | None) -> ReplicationJob:
    return ReplicationJob(
        id=text_of(row, "id"),
        vmid=int_of(row, "guest"),
        source=text_of(row, "source"),
        target=text_of(row, "target"),
        schedule=text_of(row, "schedule", "*/15"),
        is_enabled=not flag_of(row, "disable"),
        last_sync=int_of(state, "last_sync") if state is not None else None,
        next_sync=int_of(state, "next_sync") if state is not None else None,
        fail_count=int_of(state, "fail_count") if state is not None else None,
        error=text_of(state, "error") if state is not None else "",
    )
