"""Which guests have no good backup that is young enough. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, NamedTuple

from pveops.operations.backup_coverage import CoverageFacts, judge_coverage
from pveops.operations.findings import Finding
from pveops.operations.health import subject_of
from pveops.units import DAY_S, format_duration

if TYPE_CHECKING:
    from pveops.domain.backup import Backup
    from pveops.domain.guest import Guest
    from pveops.domain.job import BackupJob
    from pveops.operations.backup_coverage import Coverage
    from pveops.operations.limits import Limits

_AUDIT = "pve backup audit"


class GuestBackups(NamedTuple):
    """What can be seen of one guest's backups.

    created_at: seconds since the epoch; 0: not known, so that a backup of whoever had the vmid
    before counts, too. gaps: where backups may be that nobody can see.
    """

    guest: Guest
    created_at: int
    backups: tuple[Backup, ...]
    gaps: tuple[str, ...]


def check_backups(
    guests: Sequence[GuestBackups],
    jobs: Iterable[BackupJob] | None,
    now: int,
    limits: Limits,
) -> tuple[tuple[Finding, ...], tuple[str, ...]]:
    """Findings, and the subjects of which nobody can say whether they have a backup.

    A cluster in which several guests are and none has any backup is one finding: it is not backed
    up by PVE, and each guest would tell the same.
    """
    known = None if jobs is None else tuple(jobs)
    judged = [(each, _judge(each, known, now, limits)) for each in guests]
    unknown = tuple(
        subject_of(each.guest) for each, coverage in judged if coverage.state == "unknown"
    )
    if len(judged) > 1 and all(coverage.state == "none" for _, coverage in judged):
        text = f"none of {len(judged)} guests has a backup"
        return (Finding("backup.none", "warn", "cluster", text, remedy=_AUDIT),), ()
    found: list[Finding] = []
    for each, coverage in judged:
        found += _tell(each.guest, coverage)
    return tuple(found), unknown


def _judge(
    each: GuestBackups, jobs: tuple[BackupJob, ...] | None, now: int, limits: Limits
) -> Coverage:
    facts = CoverageFacts(
        each.guest, each.created_at, (), each.backups, each.gaps, jobs, frozenset(), None
    )
    return judge_coverage(facts, limit_s=int(limits.backup_days * DAY_S), now=now)


def _tell(guest: Guest, coverage: Coverage) -> Iterable[Finding]:
    subject, remedy = subject_of(guest), f"{_AUDIT} {guest.vmid}"
    if coverage.state == "none":
        taken = coverage.jobs or coverage.idle_jobs
        why = "" if taken or coverage.jobs is None else ", and no job makes one"
        text = f"{guest.name} has no backup{why}"
        yield Finding("backup.none", "warn", subject, text, remedy=remedy)
    elif coverage.state == "old" and coverage.age_s is not None:
        text = f"the newest good backup of {guest.name} is {format_duration(coverage.age_s)} old"
        yield Finding("backup.old", "warn", subject, text, remedy=remedy)
    if coverage.broken:
        text = f"{coverage.broken} backups of {guest.name} failed their verification"
        yield Finding("backup.broken", "warn", subject, text, remedy=remedy)
