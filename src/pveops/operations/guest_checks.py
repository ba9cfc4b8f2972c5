"""What every change of a guest has to look at first: its lock, work in progress, quorum.

Each check is a pure function of the facts.
"""

from __future__ import annotations

from collections.abc import Iterator

from pveops.domain.facts import ActiveTask, GuestFacts
from pveops.operations.findings import Finding
from pveops.units import format_duration

_BRIEF_TASKS = frozenset({"vncproxy", "spiceproxy", "termproxy", "vncshell"})
"""Consoles: they hold no lock and mean no work in progress."""
_ORDER = {"block": 0, "warn": 1, "info": 2}


def worst_first(findings: Iterator[Finding]) -> tuple[Finding, ...]:
    """The blocking ones before the others; else as they were found."""
    return tuple(sorted(findings, key=lambda finding: _ORDER[finding.severity]))


def subject_of(facts: GuestFacts) -> str:
    """The guest as a finding names it: `vm/101`."""
    return f"{'vm' if facts.guest.kind == 'qemu' else 'ct'}/{facts.guest.vmid}"


def check_stored_change(facts: GuestFacts) -> Iterator[Finding]:
    """For what changes a guest's configuration or volumes: no lock, no work, and quorum.

    Without quorum /etc/pve is read-only (pmxcfs), so nothing of a configuration can be written.
    """
    yield from check_lock(facts)
    yield from check_tasks(facts, backup_blocks=True)
    yield from check_quorum(facts.is_quorate)


def check_quorum(is_quorate: bool | None) -> Iterator[Finding]:
    """Without quorum PVE locks nothing that the nodes share, and configures nothing."""
    if is_quorate is False:
        yield Finding(
            "cluster.no-quorum",
            "block",
            "cluster",
            "the cluster has no quorum: nothing can be configured without it",
            evidence="/cluster/status",
            remedy="look at the nodes with `pve status`",
        )


def check_lock(facts: GuestFacts, permitted: frozenset[str] = frozenset()) -> Iterator[Finding]:
    """A lock in the configuration, unless the verb may ignore it (`permitted`)."""
    lock = facts.state.lock or facts.config.get("lock")
    if not lock or lock in permitted:
        return
    guest = facts.guest
    holders = [task for task in facts.tasks if task.type not in _BRIEF_TASKS]
    if holders:
        evidence = "held by the running task " + ", ".join(task.upid for task in holders)
        remedy = f"wait for it: `pve task wait {holders[0].upid}`"
    else:
        evidence = "no running task of this guest is visible: the lock may be stale"
        tool = "qm" if guest.kind == "qemu" else "pct"
        remedy = (
            f"look at `pve guest doctor {guest.vmid}`; only root on {guest.node} "
            f"can remove a stale lock (`{tool} unlock {guest.vmid}`)"
        )
    yield Finding(
        "guest.locked", "block", subject_of(facts), f"it is locked ({lock})", evidence, remedy
    )


def check_tasks(facts: GuestFacts, *, backup_blocks: bool) -> Iterator[Finding]:
    """Work in progress. A backup does not always stand in the way of a verb."""
    for task in facts.tasks:
        if task.type in _BRIEF_TASKS:
            continue
        if task.type == "vzdump":
            if not facts.state.lock:
                yield _backup_runs(facts, task, blocks=backup_blocks)
            continue
        age = format_duration(facts.read_at - task.starttime)
        yield Finding(
            "guest.busy",
            "block",
            subject_of(facts),
            f"a task {task.type} has been working on it for {age}",
            evidence=task.upid,
            remedy=f"wait for it: `pve task wait {task.upid}`, or end it: "
            f"`pve task cancel {task.upid}`",
        )


def _backup_runs(facts: GuestFacts, task: ActiveTask, *, blocks: bool) -> Finding:
    return Finding(
        "guest.backup-running",
        "block" if blocks else "warn",
        subject_of(facts),
        "a backup is running that may include it",
        evidence=task.upid,
        remedy=f"wait for it: `pve task wait {task.upid}`",
    )
