"""What stands against making, removing or rolling back to a snapshot, or should be known.

What PVE does in each case: AbstractConfig.pm (pve-guest-common), ZFSPoolPlugin.pm and the other
plugins' volume_rollback_is_possible (pve-storage).
"""

from __future__ import annotations

from collections.abc import Iterator

from pveops.domain.snapshot import Snapshot
from pveops.domain.snapshot_facts import SnapshotFacts
from pveops.operations.findings import Finding
from pveops.operations.guest_checks import check_stored_change, subject_of
from pveops.sanitize import shell_word
from pveops.units import format_bytes, format_duration, format_percent

_ONLY_NEWEST = frozenset({"zfspool"})
"""Storages that roll back to their most recent snapshot only."""
_NEARLY_FULL = 0.9
_STATE_OVERHEAD_BYTES = 500 << 20


def memory_size_bytes(facts: SnapshotFacts) -> int:
    """What PVE allocates to save a VM's memory: twice the memory and 500 MiB."""
    return 2 * facts.base.guest.maxmem_bytes + _STATE_OVERHEAD_BYTES


def check_create(facts: SnapshotFacts, name: str, *, with_memory: bool) -> Iterator[Finding]:
    """Everything about a new snapshot of that name."""
    subject, guest = subject_of(facts.base), facts.base.guest
    yield from check_stored_change(facts.base)
    if facts.base.state.is_template or guest.is_template:
        yield Finding("guest.template", "block", subject, "templates take no snapshots")
    elif facts.can_snapshot is False:
        yield Finding(
            "snapshot.unsupported",
            "block",
            subject,
            "not all of its disks can be snapshotted",
            evidence=f"GET {guest.ref.path('feature')}?feature=snapshot",
            remedy="raw disks on directories, bind mounts and passed-through disks cannot; "
            f"look at its disks with `pve guest show {guest.vmid}`, or back it up instead",
        )
    if facts.snapshots.find(name) is not None:
        yield Finding(
            "snapshot.exists",
            "block",
            subject,
            f"it has a snapshot {name!r} already",
            remedy="choose another name with --snapname",
        )
    if with_memory:
        yield from _check_memory(facts)
    yield from _check_space(facts)
    if not with_memory and facts.base.state.is_running and guest.kind == "qemu":
        yield from _check_consistency(facts)
    yield Finding(
        "snapshot.no-backup",
        "info",
        subject,
        "a snapshot lies on the same storage as the disk and goes with it: it is no backup; "
        "remove it when it has served",
    )


def _check_memory(facts: SnapshotFacts) -> Iterator[Finding]:
    subject, base = subject_of(facts.base), facts.base
    if base.guest.kind == "lxc" or not base.state.is_running:
        why = "containers have none to save" if base.guest.kind == "lxc" else "it does not run"
        yield Finding("snapshot.no-memory", "warn", subject, f"its memory is not saved: {why}")
        return
    size = memory_size_bytes(facts)
    free = max((each.total_bytes - each.used_bytes for each in facts.storages), default=0)
    known = [each for each in facts.storages if each.has_figures]
    too_little = bool(known) and free < size
    yield Finding(
        "snapshot.memory-size",
        "block" if too_little else "warn",
        subject,
        f"saving its memory allocates {format_bytes(size)} and stops it for a moment at the end"
        + (f"; only {format_bytes(free)} are free" if too_little else ""),
        remedy="leave out --memory" if too_little else "",
    )


def _check_space(facts: SnapshotFacts) -> Iterator[Finding]:
    for storage in facts.storages:
        if not storage.has_figures:
            yield Finding(
                "storage.unknown",
                "warn",
                subject_of(facts.base),
                f"the free space of {storage.storage} is not known",
            )
        elif storage.used_share >= _NEARLY_FULL:
            yield Finding(
                "storage.nearly-full",
                "warn",
                subject_of(facts.base),
                f"{storage.storage} is {format_percent(storage.used_share)} full; with a snapshot "
                "each overwritten block takes new space, and a full storage stops its guests",
                remedy=f"pve storage content {shell_word(storage.storage)}",
            )


def _check_consistency(facts: SnapshotFacts) -> Iterator[Finding]:
    if not facts.base.state.has_agent:
        yield Finding(
            "snapshot.crash-consistent",
            "info",
            subject_of(facts.base),
            "no guest agent is configured: the disks are as after a power cut",
        )


def check_exists(facts: SnapshotFacts, name: str) -> Iterator[Finding]:
    """Whether there is such a snapshot, and which there are."""
    if facts.snapshots.find(name) is None:
        names = ", ".join(each.name for each in facts.snapshots.all) or "none"
        yield Finding(
            "snapshot.missing",
            "block",
            subject_of(facts.base),
            f"it has no snapshot {name!r}",
            remedy=f"its snapshots: {names}",
        )


def check_roll_back(facts: SnapshotFacts, snapshot: Snapshot) -> Iterator[Finding]:
    """Everything about going back to that snapshot."""
    subject, base = subject_of(facts.base), facts.base
    yield from check_stored_change(base)
    if base.state.is_template:
        yield Finding("guest.template", "block", subject, "a template cannot be rolled back")
    if snapshot.state:
        yield Finding(
            "snapshot.incomplete",
            "block",
            subject,
            f"the snapshot {snapshot.name} was left half-way ({snapshot.state})",
            remedy=f"pve snapshot delete {base.guest.vmid} {shell_word(snapshot.name)}",
        )
    yield from _check_newer(facts, snapshot)
    if base.state.is_running:
        yield Finding(
            "guest.power-cut", "warn", subject, "it runs: its power is cut at once, not cleanly"
        )
    yield Finding(
        "snapshot.after",
        "info",
        subject,
        "it runs on from its saved memory afterwards"
        if snapshot.has_memory
        else "it is stopped afterwards",
    )


def _check_newer(facts: SnapshotFacts, snapshot: Snapshot) -> Iterator[Finding]:
    newer = facts.snapshots.newer_than(snapshot)
    kinds = {each.type for each in facts.storages}
    if not newer:
        return
    names = ", ".join(each.name for each in newer)
    vmid = facts.base.guest.vmid
    if kinds & _ONLY_NEWEST:
        yield Finding(
            "snapshot.newer-blocks",
            "block",
            subject_of(facts.base),
            f"newer snapshots stand in the way: {names}; ZFS goes back to the newest one only",
            evidence=", ".join(sorted({s.storage for s in facts.storages})),
            remedy=f"each has to go first, and what only it holds is lost: "
            f"`pve snapshot delete {vmid} {shell_word(newer[-1].name)}`; "
            f"or roll back to {newer[-1].name}",
        )
    else:
        yield Finding(
            "snapshot.newer-stay",
            "info",
            subject_of(facts.base),
            f"newer snapshots stay and can be rolled back to: {names}",
        )


def describe_loss(facts: SnapshotFacts, snapshot: Snapshot) -> tuple[str, ...]:
    """What a rollback takes away, in words."""
    age = format_duration(max(0, facts.base.read_at - snapshot.snaptime))
    lost = [f"everything written to its disks since {snapshot.name}, {age} ago"]
    changed = changed_keys(facts)
    if changed:
        lost.append(f"changes of its configuration: {', '.join(changed)}")
    return tuple(lost)


_NOT_COMPARED = frozenset(
    {"digest", "parent", "snaptime", "vmstate", "snapstate", "description", "lock"}
    | {"runningmachine", "runningcpu", "running-nets-host-mtu"}
)


def changed_keys(facts: SnapshotFacts) -> tuple[str, ...]:
    """The keys of the configuration that a rollback would set back."""
    old, now = facts.old_config or {}, facts.base.config.values
    keys = {key for key in {*old, *now} if key not in _NOT_COMPARED}
    keys = {key for key in keys if not key.startswith("unused")}
    return tuple(sorted(key for key in keys if str(old.get(key, "")) != str(now.get(key, ""))))
