"""How well a guest is covered by backups: a pure judgement, in which unknown is never none."""

from __future__ import annotations

from typing import Literal, NamedTuple

from pveops.domain.backup import Backup
from pveops.domain.backup_history import BackupRun
from pveops.domain.backup_survey import UNSEEN
from pveops.domain.guest import Guest
from pveops.domain.job import BackupJob
from pveops.domain.vzdump_log import GuestResult
from pveops.operations.backup_causes import find_cause

State = Literal["ok", "old", "none", "unknown"]
RANK: dict[str, int] = {"none": 0, "unknown": 1, "old": 2, "ok": 3}
"""The worst first."""


class CoverageFacts(NamedTuple):
    """What is known of one guest."""

    guest: Guest
    created_at: int | None
    """Seconds since the epoch; 0: PVE keeps none (containers, old VMs); None: not readable."""
    left_out: tuple[str, ...]
    """Slots of disks that no backup takes."""
    backups: tuple[Backup, ...]
    """Of whoever had the vmid, newest first."""
    gaps: tuple[str, ...]
    """Where backups may be that nobody can see."""
    jobs: tuple[BackupJob, ...] | None
    """None: the token may not see them."""
    storages: frozenset[str]
    """Those for backups that the guest's node has, and that answer."""
    result: tuple[BackupRun, GuestResult] | None
    """The latest run that tried; None: none of the time looked at tells of it."""


class Coverage(NamedTuple):
    """The judgement."""

    state: State
    """ok: a good backup of this guest is young enough, wherever it is. old, none: and everything
    could be seen. unknown: it may be either."""
    newest: Backup | None
    """The newest good one of this guest."""
    age_s: int | None
    strangers: int
    """Backups of the vmid that are of another guest: of another kind, or older than this one."""
    broken: int
    """Backups that failed their verification."""
    jobs: tuple[str, ...] | None
    """Enabled jobs that take the guest and can; None: not known."""
    idle_jobs: tuple[str, ...]
    """Jobs that would take it, and why they do not: `nightly (disabled)`."""
    why: tuple[str, ...]
    """What makes the state unknown."""
    last: str
    """How the last try ended: `ok`, `running`, the class of a failure's cause; empty: no run of
    the time looked at tells of it."""


def judge_coverage(facts: CoverageFacts, *, limit_s: int, now: int) -> Coverage:
    """Whether the newest backup of a guest is younger than `limit_s`."""
    guest, born = facts.guest, facts.created_at or 0
    mine = [each for each in facts.backups if each.kind in {"", guest.kind} and each.ctime >= born]
    good = [each for each in mine if each.verification not in {"failed", UNSEEN}]
    unseen = [each for each in mine if each.verification == UNSEEN]
    newest = next(iter((*good, *unseen)), None)
    age_s = max(0, now - newest.ctime) if newest else None
    why = list(facts.gaps)
    if unseen:
        places = ", ".join(sorted({each.storage for each in unseen}))
        why.append(f"whether its backups on {places} were verified cannot be seen")
    if newest is not None and facts.created_at is None:
        why.insert(0, "its configuration cannot be read, so nobody knows whose backups these are")
    jobs, idle = _covering(facts)
    return Coverage(
        state=_state(facts, age_s if good else None, limit_s, has_gaps=bool(why)),
        newest=newest,
        age_s=age_s,
        strangers=len(facts.backups) - len(mine),
        broken=len(mine) - len(good) - len(unseen),
        jobs=jobs,
        idle_jobs=idle,
        why=tuple(why),
        last=_last(facts),
    )


def _state(facts: CoverageFacts, age_s: int | None, limit_s: int, *, has_gaps: bool) -> State:
    if age_s is not None and facts.created_at is None:
        return "unknown"
    if age_s is not None and age_s <= limit_s:
        return "ok"
    if has_gaps:
        return "unknown"
    return "none" if age_s is None else "old"


def _last(facts: CoverageFacts) -> str:
    if facts.result is None:
        return ""
    run, result = facts.result
    if result.is_ok is None:
        return "running" if run.is_running else "interrupted"
    return "ok" if result.is_ok else find_cause(result.line, result.context).code


def _covering(facts: CoverageFacts) -> tuple[tuple[str, ...] | None, tuple[str, ...]]:
    """PVE's own list of guests without a job counts disabled ones as jobs (BackupInfo.pm)."""
    if facts.jobs is None:
        return None, ()
    active: list[str] = []
    idle: list[str] = []
    for job in facts.jobs:
        if not job.covers(facts.guest):
            continue
        if not job.is_enabled:
            idle.append(f"{job.id} (disabled)")
        elif job.storage not in facts.storages:
            idle.append(f"{job.id} ({job.storage} does not answer on {facts.guest.node})")
        else:
            active.append(job.id)
    return tuple(active), tuple(idle)
