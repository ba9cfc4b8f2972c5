"""Replication jobs: copies of guests' disks on another node, and how old they are."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from pveops.api.port import api_path
from pveops.domain.rows import Row, flag_of, float_of, int_of, rows_of, text_of
from pveops.domain.selection import resolve_guest
from pveops.errors import NotFoundError, PveopsError, UnreachableError

if TYPE_CHECKING:
    from pveops.api.client import Client
    from pveops.domain.facts import Scene


_LATE_S = 600
"""The scheduler takes one job of a node after the other, so some minutes late is in time."""


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
    last_try: int | None = None
    duration_s: float | None = None
    is_running: bool = False

    def overdue_s(self, now: float) -> int:
        """How long ago it should have run; 0: it is in time, or nobody knows."""
        if not self.is_enabled or self.is_running or not self.next_sync:
            return 0
        late = int(now) - self.next_sync
        return late if late > _LATE_S else 0

    @property
    def is_failing(self) -> bool:
        """Whether its last run failed."""
        return bool(self.fail_count)


class ReplicationView(NamedTuple):
    """All jobs, and the nodes that did not tell the state of theirs."""

    jobs: tuple[ReplicationJob, ...]
    unseen: tuple[str, ...]


def read_replication_or_none(client: Client) -> ReplicationView | None:
    """As `read_replication`; None when it cannot be read. Raises UnreachableError."""
    try:
        return read_replication(client)
    except UnreachableError:
        raise
    except PveopsError:
        return None


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
        last_try=int_of(state, "last_try") if state is not None else None,
        duration_s=float_of(state, "duration") if state is not None else None,
        is_running=bool(state and state.get("pid")),
    )


class SyncFacts(NamedTuple):
    """A job that is to run now. name: its guest's."""

    job: ReplicationJob
    name: str
    target_is_online: bool


def read_sync_facts(client: Client, scene: Scene) -> tuple[SyncFacts, ...]:
    """For a job by its id, or every job of a guest. Raises NotFoundError, AmbiguousError."""
    word = scene.names[0]
    jobs = read_replication(client).jobs
    found = [job for job in jobs if job.id == word]
    if not found:
        try:
            guest = resolve_guest(scene.inventory, word)
        except NotFoundError:
            names = ", ".join(job.id for job in jobs) or "none"
            hint = f"a guest, or one of the jobs: {names}"
            raise NotFoundError(f"there is no replication job {word!r}", hint=hint) from None
        found = [job for job in jobs if job.vmid == guest.vmid]
        if not found:
            raise NotFoundError(
                f"{guest.ref.label} has no replication job", hint="pve replication list"
            )
    online = {node.name for node in scene.inventory.nodes if node.is_online}
    names_by_vmid = {guest.vmid: guest.name for guest in scene.inventory.guests}
    return tuple(
        SyncFacts(job, names_by_vmid.get(job.vmid, ""), job.target in online) for job in found
    )
