"""Backup jobs: which guests they take, when, where to, and what they let go of afterwards."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, NamedTuple

from pveops.api.port import api_path
from pveops.domain.keep import Keep, format_keep, parse_keep
from pveops.domain.rows import Row, flag_of, int_of, object_of, rows_of, text_of
from pveops.errors import NotFoundError, ParameterError

if TYPE_CHECKING:
    from pveops.api.client import Client
    from pveops.domain.guest import Guest

_COMPUTED = frozenset({"next-run", "digest"})


class BackupJob(NamedTuple):
    """One entry of /cluster/backup."""

    id: str
    schedule: str
    """A calendar event; jobs of old configurations have `starttime` and `dow` instead."""
    is_enabled: bool
    storage: str
    """Empty: `local`, as PVE has it."""
    mode: str
    takes_all: bool
    vmids: frozenset[int]
    excluded: frozenset[int]
    pool: str
    node: str
    """Empty: on every node."""
    keep: Keep | None
    """None: the job has no retention of its own, so the storage's holds."""
    removes: bool
    """False: it prunes nothing."""
    next_run: int | None
    """Seconds since the epoch, by PVE; None: PVE does not say."""
    values: Row
    """All of it as PVE keeps it, what it computes left out."""

    def covers(self, guest: Guest) -> bool:
        """Whether the job takes the guest, enabled or not (VZDump.pm, get_included_guests)."""
        if self.node and guest.node != self.node:
            return False
        if self.vmids:
            return guest.vmid in self.vmids
        if self.pool:
            is_in = guest.pool == self.pool or guest.pool.startswith(f"{self.pool}/")
            return is_in and guest.vmid not in self.excluded
        return self.takes_all and guest.vmid not in self.excluded

    @property
    def selection(self) -> str:
        """Whom it takes, in words."""
        left_out = ",".join(map(str, sorted(self.excluded)))
        tail = f" but {left_out}" if left_out else ""
        where = f" on {self.node}" if self.node else ""
        if self.vmids:
            return ",".join(map(str, sorted(self.vmids))) + where
        whom = f"pool {self.pool}" if self.pool else ("all" if self.takes_all else "nobody")
        return f"{whom}{tail}{where}"


def job_of_row(row: Row) -> BackupJob:
    """A job from its row."""
    enabled = row.get("enabled", 1)
    has_own = "prune-backups" in row
    return BackupJob(
        id=text_of(row, "id"),
        schedule=text_of(row, "schedule")
        or f"{text_of(row, 'dow')} {text_of(row, 'starttime')}".strip(),
        is_enabled=enabled in (1, "1", True),
        storage=text_of(row, "storage") or "local",
        mode=text_of(row, "mode") or "snapshot",
        takes_all=flag_of(row, "all"),
        vmids=parse_vmids(text_of(row, "vmid")),
        excluded=parse_vmids(text_of(row, "exclude")),
        pool=text_of(row, "pool"),
        node=text_of(row, "node"),
        keep=parse_keep(row.get("prune-backups")) if has_own else None,
        removes=row.get("remove", 1) in (1, "1", True),
        next_run=int_of(row, "next-run") or None,
        values={key: value for key, value in row.items() if key not in _COMPUTED},
    )


def parse_vmids(text: str) -> frozenset[int]:
    """PVE takes commas, semicolons and spaces."""
    words = text.replace(";", ",").replace(" ", ",").split(",")
    return frozenset(int(word) for word in words if word.isdecimal())


def list_jobs(client: Client) -> tuple[BackupJob, ...]:
    """All backup jobs. One request; raises AccessError without Sys.Audit on `/`."""
    rows = rows_of(client.get("/cluster/backup"))
    return tuple(job_of_row(row) for row in rows if text_of(row, "type", "vzdump") == "vzdump")


def find_job(client: Client, job_id: str) -> BackupJob | None:
    """The job, or None. One request. PVE answers 400 for an unknown id (API2/Backup.pm)."""
    try:
        row = object_of(client.get(api_path("cluster", "backup", job_id)))
    except (NotFoundError, ParameterError):
        return None
    return job_of_row({"id": job_id, **row}) if row else None


def job_text(job: BackupJob | None) -> str:
    """The whole of it, for comparisons; empty when there is none."""
    return json.dumps(dict(job.values), sort_keys=True) if job else ""


def show_job_value(key: str, value: object) -> str:
    """A value as PVE takes it in requests: retentions as text, flags as 1 and 0, lists sorted."""
    if key == "prune-backups":
        return format_keep(parse_keep(value))
    if isinstance(value, bool):
        return str(int(value))
    if key in {"vmid", "exclude"}:
        return ",".join(map(str, sorted(parse_vmids(str(value)))))
    if isinstance(value, Mapping):
        return ",".join(f"{name}={value[name]}" for name in sorted(value))
    return str(value)
