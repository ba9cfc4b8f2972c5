"""Snapshots: made, removed, pruned, rolled back to. Pure decisions about one guest's facts."""

from __future__ import annotations

import re
from collections.abc import Mapping
from types import MappingProxyType

from pveops.domain.snapshot import MARK, Retention, Snapshot, choose_kept
from pveops.domain.snapshot_facts import SnapshotFacts
from pveops.errors import UsageError
from pveops.operations.decision import Decision
from pveops.operations.findings import Finding, blocks_among
from pveops.operations.guards import guest_guards
from pveops.operations.guest_checks import check_stored_change, subject_of, worst_first
from pveops.operations.plan import Call, Item, Scalar, Step, Target, WaitState, WaitTask
from pveops.operations.snapshot_checks import (
    check_create,
    check_exists,
    check_roll_back,
    describe_loss,
)
from pveops.operations.subject import headline_of, target_of
from pveops.sanitize import shell_word
from pveops.units import format_duration, format_utc

_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_-]{1,39}")
_RESERVED = frozenset({"current", "pending", "vzdump"})
_TASK_S = 900.0
_MEMORY_S = 3600.0
_GRACE_S = 30.0


def decide_create(_operation: str, facts: SnapshotFacts, params: dict[str, Scalar]) -> Decision:
    """A snapshot of one guest; the default name carries the day (UTC)."""
    base = facts.base
    name = _chosen_name(facts, params)
    with_memory = bool(params.get("memory"))
    found = worst_first(check_create(facts, name, with_memory=with_memory))
    target = target_of(base)
    if blocks_among(found):
        return Decision(target, found, state=base.state.power)
    saves = with_memory and base.guest.kind == "qemu" and base.state.is_running
    sent: dict[str, Scalar] = {"snapname": name, "description": MARK}
    if saves:
        sent["vmstate"] = True
    steps = (
        Call(
            "POST",
            base.guest.ref.path("snapshot"),
            sent,
            effect="B",
            task_types=("qmsnapshot", "vzsnapshot"),
            does=f"snapshot {name}",
        ),
        WaitTask(_MEMORY_S if saves else _TASK_S),
        WaitState("snapshot.present", _GRACE_S, {"name": name}),
    )
    undo = f"pve snapshot delete {base.guest.vmid} {shell_word(name)}"
    return Decision(target, found, _item(facts, target, steps, undo=undo), state=base.state.power)


def _chosen_name(facts: SnapshotFacts, params: dict[str, Scalar]) -> str:
    asked = params.get("snapname")
    if asked:
        return check_name(str(asked))
    day = format_utc(facts.base.read_at, "%Y%m%d")
    base = f"pre-change-{day}"
    taken = {snapshot.name for snapshot in facts.snapshots.all}
    return next(name for name in _numbered(base, len(taken) + 1) if name not in taken)


def _numbered(base: str, count: int) -> list[str]:
    return [base, *(f"{base}-{number}" for number in range(2, count + 2))]


def check_name(name: str) -> str:
    """The name, if PVE takes it (pve-configid, AbstractConfig.pm). Raises UsageError."""
    if not _NAME.fullmatch(name) or name.lower() in _RESERVED:
        raise UsageError(
            f"{name!r} is no name for a snapshot",
            hint="2 to 40 letters, digits, - and _, a letter first; not current, pending, vzdump",
        )
    return name


def decide_delete(_operation: str, facts: SnapshotFacts, params: dict[str, Scalar]) -> Decision:
    """One snapshot goes. One that is not there is gone already."""
    base, name = facts.base, str(params["snapname"])
    target, snapshot = target_of(base), facts.snapshots.find(name)
    if snapshot is None:
        there = ", ".join(each.name for each in facts.snapshots.all) or "none"
        state = f"without snapshot {name} (it has: {there})"
        return Decision(target, (), is_already_so=True, state=state)
    found = worst_first(check_stored_change(base))
    if blocks_among(found):
        return Decision(target, found, state=base.state.power)
    steps = _removal(facts, snapshot)
    losses = (_loss_of(facts, snapshot),)
    return Decision(target, found, _item(facts, target, steps, losses), state=base.state.power)


def decide_prune(_operation: str, facts: SnapshotFacts, params: dict[str, Scalar]) -> Decision:
    """What no rule keeps goes, the oldest first; what others made stays unless `any`."""
    base, target = facts.base, target_of(facts.base)
    going, spared = choose_going(facts, params)
    if not going:
        return Decision(target, (), is_already_so=True, state="pruned")
    found = [*check_stored_change(base)]
    if spared:
        names = ", ".join(snapshot.name for snapshot in spared)
        found.append(
            Finding(
                "snapshot.spared",
                "info",
                subject_of(base),
                f"not made by pveops, so they stay: {names}",
                remedy="--any takes them, too",
            )
        )
    ordered = worst_first(iter(found))
    if blocks_among(ordered):
        return Decision(target, ordered, state=base.state.power)
    names = ",".join(snapshot.name for snapshot in going)
    steps = tuple(
        step
        for snapshot in going
        for step in _removal(facts, snapshot, {"all": names} if snapshot is going[-1] else {})
    )
    losses = tuple(_loss_of(facts, snapshot) for snapshot in going)
    return Decision(target, ordered, _item(facts, target, steps, losses), state=base.state.power)


def choose_going(
    facts: SnapshotFacts, params: dict[str, Scalar]
) -> tuple[tuple[Snapshot, ...], tuple[Snapshot, ...]]:
    """(those that go, those that would go and are spared because others made them).

    Raises UsageError when no rule was given: that must never mean "all".
    """
    keep = Retention(**{rule: int(params.get(f"keep_{rule}") or 0) for rule in Retention._fields})
    older_than = params.get("older_than")
    if not keep.keeps_something and older_than is None:
        raise UsageError(
            "which snapshots may go?", hint="say --keep-last 3, --keep-daily 7 or --older-than 14d"
        )
    latest = facts.base.read_at - int(older_than) if older_than is not None else None
    pool = facts.snapshots.all if params.get("any") else _ours(facts)
    kept = choose_kept(pool, keep)
    candidates = [
        each
        for each in facts.snapshots.all
        if each.name not in kept and (latest is None or each.snaptime <= latest)
    ]
    going = tuple(each for each in candidates if each in pool)
    return going, tuple(each for each in candidates if each not in pool)


def _ours(facts: SnapshotFacts) -> tuple[Snapshot, ...]:
    return tuple(snapshot for snapshot in facts.snapshots.all if snapshot.is_ours)


def decide_roll_back(_operation: str, facts: SnapshotFacts, params: dict[str, Scalar]) -> Decision:
    """The disks and the configuration become what they were at the snapshot."""
    base, name = facts.base, str(params["snapname"])
    target, snapshot = target_of(base), facts.snapshots.find(name)
    if snapshot is None:
        return Decision(target, tuple(check_exists(facts, name)), state=base.state.power)
    found = worst_first(check_roll_back(facts, snapshot))
    if blocks_among(found):
        return Decision(target, found, state=base.state.power)
    steps = (
        Call(
            "POST",
            base.guest.ref.path("snapshot", name, "rollback"),
            effect="C",
            task_types=("qmrollback", "vzrollback"),
            does=f"roll back to {name}",
        ),
        WaitTask(_TASK_S),
        WaitState(
            "snapshot.rolled-back",
            _GRACE_S,
            {"name": name},
            holds_already=facts.snapshots.parent == name,
        ),
    )
    losses = describe_loss(facts, snapshot)
    return Decision(target, found, _item(facts, target, steps, losses), state=base.state.power)


# -- parts of items ---------------------------------------------------------------


def _removal(
    facts: SnapshotFacts, snapshot: Snapshot, told: Mapping[str, Scalar] = MappingProxyType({})
) -> tuple[Step, ...]:
    """`told`: what the last look tells beside its own."""
    return (
        Call(
            "DELETE",
            facts.base.guest.ref.path("snapshot", snapshot.name),
            effect="B",
            task_types=("qmdelsnapshot", "vzdelsnapshot"),
            does=f"delete snapshot {snapshot.name}",
        ),
        WaitTask(_TASK_S),
        WaitState("snapshot.absent", _GRACE_S, {"name": snapshot.name, **told}),
    )


def _loss_of(facts: SnapshotFacts, snapshot: Snapshot) -> str:
    age = format_duration(max(0, facts.base.read_at - snapshot.snaptime))
    memory = " with its memory" if snapshot.has_memory else ""
    return f"snapshot {snapshot.name}{memory}, {age} old"


def _item(
    facts: SnapshotFacts,
    target: Target,
    steps: tuple[Step, ...],
    losses: tuple[str, ...] = (),
    undo: str = "",
) -> Item:
    base = facts.base
    names = ",".join(snapshot.name for snapshot in facts.snapshots.all)
    return Item(
        target=target,
        headline=headline_of(base),
        guards=guest_guards(base.state, base.config),
        before={
            "power": base.state.power,
            "snapshots": names,
            "parent": facts.snapshots.parent,
            "node": base.guest.node,
        },
        steps=steps,
        losses=losses,
        undo=undo,
    )
