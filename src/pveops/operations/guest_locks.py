"""Locks of guests: who holds one, whether that can be proved, and what comes after it. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, NamedTuple

from pveops.operations.findings import Finding
from pveops.operations.guest_checks import subject_of
from pveops.units import format_duration

if TYPE_CHECKING:
    from pveops.api.tasks import TaskStatus
    from pveops.domain.guest import Guest
    from pveops.domain.guest_doctor import DoctorFacts


class _Lock(NamedTuple):
    tasks: tuple[str, ...]
    """Types of the tasks that set it (AbstractConfig.pm set_lock and its callers)."""
    after: str
    """What is to be done once it is gone; `{vmid}` is the guest."""


_LOCKS = {
    "backup": _Lock(("vzdump",), "make a new backup; PVE also clears this lock at a node's boot"),
    "migrate": _Lock(
        ("qmigrate", "vzmigrate", "hamigrate"),
        "look that it runs on one node only, and for copies of its disks on the other",
    ),
    "snapshot": _Lock(("qmsnapshot", "vzsnapshot"), "delete the half snapshot"),
    "snapshot-delete": _Lock(
        ("qmdelsnapshot", "vzdelsnapshot"), "delete the half-deleted snapshot again"
    ),
    "rollback": _Lock(
        ("qmrollback", "vzrollback"),
        "roll back again: some disks may be at the snapshot and others not",
    ),
    "clone": _Lock(("qmclone", "vzclone"), "this is a clone that was never finished; delete it"),
    "create": _Lock(
        ("qmcreate", "qmrestore", "vzcreate", "vzrestore", "vzclone"),
        "this is a guest that was never finished; delete it, or restore it again",
    ),
    "disk": _Lock(("vzclone", "move_volume", "resize"), "look at its disks: pve disk list {vmid}"),
    "suspending": _Lock(("qmsuspend",), "it runs on; suspend it again or leave it"),
    "destroyed": _Lock(("qmdestroy", "vzdestroy"), "it is half destroyed; destroy it again"),
}
_STATES = {
    "suspended": ("it is hibernated", "pve guest start {vmid}"),
    "mounted": ("root has mounted it", "on {node}, as root: pct unmount {vmid}"),
}


STATES_AS_LOCKS = frozenset(_STATES)
"""Locks that are a state somebody wanted, and that no task holds."""
_OF_OTHERS = frozenset({"clone", "create", "disk"})
"""A clone's task bears the vmid of what is cloned, not the new one's."""


def find_lock_task(guest: Guest, running: Iterable[TaskStatus]) -> TaskStatus | None:
    """The running task that the guest's lock is of; None: none of `running` is."""
    types = _LOCKS.get(guest.lock, _Lock((), "")).tasks
    for task in running:
        upid = task.upid
        if types and upid.type not in types:
            continue
        is_about_it = upid.id == str(guest.vmid)
        is_of_node = upid.node == guest.node and (
            # A job's backup of many guests bears no vmid.
            (guest.lock == "backup" and not upid.id) or guest.lock in _OF_OTHERS
        )
        if is_about_it or is_of_node:
            return task
    return None


def check_lock_holder(facts: DoctorFacts) -> Iterator[Finding]:
    """The lock, if there is one: held, stale with the proof, or nobody can tell."""
    lock, base, subject = facts.lock, facts.base, subject_of(facts.base)
    vmid, node = base.guest.vmid, base.guest.node
    if not lock:
        return
    if lock in _STATES:
        message, remedy = _STATES[lock]
        text = f"{message} ({lock})"
        yield Finding(
            "guest.state-lock",
            "info",
            subject,
            text,
            "config",
            remedy.format(vmid=vmid, node=node),
        )
        return
    known = _LOCKS.get(lock, _Lock((), "look at its configuration"))
    holder = next((task for task in _of_types(facts, known.tasks) if task.is_running), None)
    if holder is not None:
        age = format_duration(max(0, base.read_at - holder.upid.starttime))
        yield Finding(
            "lock.held",
            "block",
            subject,
            f"it is locked ({lock}), and {holder.upid.type} has been at work for {age}",
            str(holder.upid),
            f"wait for it: `pve task wait {holder.upid}`",
        )
        return
    if not facts.sees_all_tasks:
        yield Finding(
            "lock.unproved",
            "block",
            subject,
            f"it is locked ({lock}); whether somebody works on it is not known",
            f"the token sees its own tasks only (no Sys.Audit on /nodes/{node})",
            f"on {node}, as root: look at the running tasks before anything else",
        )
        return
    yield Finding(
        "lock.stale",
        "block",
        subject,
        f"it is locked ({lock}), and nothing works on it: the lock is left over",
        _proof(facts, known),
        f"{_how_to_unlock(facts)}; then {known.after.format(vmid=vmid)}",
    )


def _of_types(facts: DoctorFacts, types: tuple[str, ...]) -> Iterator[TaskStatus]:
    return (task for task in facts.tasks if not types or task.upid.type in types)


def _proof(facts: DoctorFacts, known: _Lock) -> str:
    """No running task; how the last one ended; and whether the node was up since."""
    words = ["no task about it runs on any node"]
    last = next(iter(_of_types(facts, known.tasks)), None)
    if last is None:
        words.append(f"none of {', '.join(known.tasks) or 'its tasks'} is on record")
    else:
        ended = last.endtime or last.upid.starttime
        age = format_duration(max(0, facts.base.read_at - ended))
        words.append(
            f"the last {last.upid.type} ended {age} ago: {last.exitstatus or 'nobody knows how'} "
            f"({last.upid})"
        )
        uptime = facts.node.uptime_s if facts.node else 0
        if uptime and facts.base.read_at - uptime > last.upid.starttime:
            words.append(f"{facts.base.guest.node} has started since")
    return "; ".join(words)


def _how_to_unlock(facts: DoctorFacts) -> str:
    guest = facts.base.guest
    tool = "qm" if guest.kind == "qemu" else "pct"
    command = f"on {guest.node}, as root: {tool} unlock {guest.vmid}"
    if facts.lock == "backup" and guest.kind == "qemu" and facts.base.state.is_running:
        return (
            f"on {guest.node}, as root: `qm monitor {guest.vmid}`, where `info backup` must tell "
            f"of no active job; then qm unlock {guest.vmid}"
        )
    return command
