"""What the last backups missed, and what to do about it: pure, from history and survey."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from pveops.domain.backup_history import BackupHistory, BackupRun
from pveops.domain.guest import Guest
from pveops.domain.vzdump_log import GuestResult
from pveops.operations.backup_causes import INTERRUPTED, Cause, find_cause
from pveops.operations.backup_coverage import Coverage

_MAX_COMMANDS = 6


class Failure(NamedTuple):
    """One guest that a run missed, or a whole run that came to nothing."""

    vmid: int | None
    """None: the run failed as a whole, so it is not known for whom."""
    guest: Guest | None
    """Who has the vmid now."""
    run: BackupRun
    cause: Cause
    line: str
    """The log's own words; empty when it ends without any."""
    is_covered: bool | None
    """Whether a good backup was made since; None: nobody can tell."""


class Outcome(NamedTuple):
    """What the runs of some time came to."""

    failures: tuple[Failure, ...]
    """One a guest, its latest; those without a backup since come first."""
    repaired: int
    """Guests that a later run of that time has backed up."""
    done: int
    """Guests whose latest run went well."""
    running: int
    """Runs that go on."""


def explain(
    history: BackupHistory, guests: Iterable[Guest], coverage: dict[int, Coverage]
) -> Outcome:
    """The latest result of each guest, and the runs that failed as a whole.

    coverage: of each guest that failed, judged against the moment of its failure.
    """
    by_vmid = {guest.vmid: guest for guest in guests}
    failures: list[Failure] = []
    latest: dict[int, bool] = {}
    failed_before: set[int] = set()
    for run in history.runs:
        results = run.log.results if run.log else ()
        for result in results:
            if result.vmid in latest:
                failed_before |= {result.vmid} if result.is_ok is False else set()
                continue
            if run.is_running and result.is_ok is None:
                continue
            latest[result.vmid] = result.is_ok is True
            if result.is_ok is not True:
                guest = by_vmid.get(result.vmid)
                failures.append(_failure(run, result, guest, coverage.get(result.vmid)))
        if not run.is_running and not run.is_ok and not any(r.is_ok is not True for r in results):
            failures.append(_whole(run))
    repaired = sum(latest[vmid] for vmid in failed_before)
    return Outcome(
        tuple(sorted(failures, key=lambda each: (each.is_covered is True, each.vmid or 0))),
        repaired,
        sum(latest.values()),
        sum(run.is_running for run in history.runs),
    )


def _failure(
    run: BackupRun, result: GuestResult, guest: Guest | None, coverage: Coverage | None
) -> Failure:
    cause = find_cause(result.line, result.context) if result.line else INTERRUPTED
    return Failure(
        result.vmid, guest, run, cause, result.line or run.exitstatus, _covered(coverage)
    )


def _covered(coverage: Coverage | None) -> bool | None:
    if coverage is None or coverage.state == "unknown":
        return None
    return coverage.state == "ok"


def _whole(run: BackupRun) -> Failure:
    line = (run.log.whole_line if run.log else "") or run.exitstatus
    return Failure(None, None, run, find_cause(line), line, None)


def failed_vmids(history: BackupHistory) -> dict[int, int]:
    """The vmids whose latest run did not end well, and when that began."""
    latest: dict[int, tuple[int, bool]] = {}
    for run in history.runs:
        for result in run.log.results if run.log else ():
            if not (run.is_running and result.is_ok is None):
                latest.setdefault(result.vmid, (run.starttime, result.is_ok is True))
    return {vmid: when for vmid, (when, is_ok) in latest.items() if not is_ok}


def propose_commands(outcome: Outcome) -> tuple[str, ...]:
    """What to do, as whole commands: first the causes, then the backups that are missing."""
    commands: dict[str, None] = {}
    for failure in outcome.failures:
        if failure.is_covered is True:
            continue
        commands.setdefault(_fill(failure))
        if failure.cause.code in {"lock", "interrupted"} and failure.guest is not None:
            tool = "qm" if failure.guest.kind == "qemu" else "pct"
            commands.setdefault(
                f"{tool} unlock {failure.vmid}   # root on {failure.guest.node}, "
                "and only when nothing works on it any more"
            )
    missing = [str(f.vmid) for f in outcome.failures if f.is_covered is not True and f.guest]
    if missing:
        commands.setdefault(f"pve backup run {' '.join(missing)}   # when that is mended")
    return tuple(commands)[-_MAX_COMMANDS:]


def _fill(failure: Failure) -> str:
    return failure.cause.fix.format(
        vmid=failure.vmid or "GUEST",
        node=failure.run.node,
        upid=failure.run.upid,
    )
