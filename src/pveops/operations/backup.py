"""Backups: made, protected, deleted, pruned. Pure decisions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType

from pveops.api.port import api_path
from pveops.domain.backup import Backup
from pveops.domain.backup_facts import PruneFacts, PrunePlace, RunFacts, VolumeFacts
from pveops.operations import vzdump
from pveops.operations.backup_checks import (
    check_delete,
    check_protect,
    check_prune,
    check_run,
    going_of,
    interruption_of,
    mode_of,
)
from pveops.operations.decision import Decision
from pveops.operations.findings import blocks_among
from pveops.operations.guards import backup_guard, guest_guards
from pveops.operations.guest_checks import worst_first
from pveops.operations.plan import Call, Item, Scalar, Step, Target, WaitState, WaitTask
from pveops.operations.subject import headline_of, target_of
from pveops.units import format_bytes, format_duration

_GRACE_S = 30.0
_DELETE_S = 3600.0
_LASTING = ("name", "identity")
"""Of a guest's guards, those that matter to its old backups."""


def decide_run(_operation: str, facts: RunFacts, params: dict[str, Scalar]) -> Decision:
    """A backup of one guest, now."""
    base, target, mode = facts.base, target_of(facts.base), mode_of(params)
    found = worst_first(check_run(facts, params))
    if blocks_among(found) or facts.storage is None:
        return Decision(target, found, state=base.state.power)
    existing = facts.existing or ()
    guards = guest_guards(base.state, base.config)
    if facts.existing is not None:
        place = facts.storage.storage
        guards |= backup_guard(place, base.guest.node, existing, base.guest.vmid)
    backup = vzdump.Backup(
        base.guest,
        facts.storage,
        f"{facts.reason or 'on demand'} (pveops)",
        base.read_at,
        mode,
        is_protected=bool(params.get("protected")),
    )
    item = Item(
        target=target,
        headline=headline_of(base),
        guards=guards,
        before={
            "power": base.state.power,
            "node": base.guest.node,
            "newest_backup": existing[-1].volid if existing else None,
        },
        steps=vzdump.vzdump_steps(backup),
        raises=interruption_of(facts, params),
    )
    return Decision(target, found, item, state=base.state.power)


# -- one backup by its volume id ----------------------------------------------------


def decide_protect(operation: str, facts: VolumeFacts, _params: dict[str, Scalar]) -> Decision:
    """Keep a backup from pruning and deletion, or let go of it again."""
    wanted, backup, target = operation == "backup.protect", facts.backup, _volume_target(facts)
    state = "protected" if backup.is_protected else "not protected"
    if backup.is_protected == wanted:
        return Decision(target, (), is_already_so=True, state=state)
    found = worst_first(check_protect(facts, is_wanted=wanted))
    if blocks_among(found):
        return Decision(target, found, state=state)
    expect = _place(backup, facts.node) | {"protected": wanted}
    call = Call(
        "PUT",
        _volume_path(backup, facts.node),
        {"protected": wanted},
        effect="B",
        does="protect it" if wanted else "take its protection away",
    )
    opposite = "unprotect" if wanted else "protect"
    item = _volume_item(
        facts,
        (call, WaitState("backup.protected", _GRACE_S, expect)),
        undo=f"pve backup {opposite} {backup.volid}",
    )
    return Decision(target, found, item, state=state)


def decide_delete(_operation: str, facts: VolumeFacts, _params: dict[str, Scalar]) -> Decision:
    """One backup goes, for good."""
    target, backup = _volume_target(facts), facts.backup
    found = worst_first(check_delete(facts))
    if blocks_among(found):
        return Decision(target, found)
    losses = (_loss(backup, facts.read_at),)
    item = _volume_item(facts, _removal(backup, facts.node), losses=losses)
    return Decision(target, found, item)


def _volume_target(facts: VolumeFacts) -> Target:
    """The backup; its guest's tags and pool go with it, so that the policy protects both."""
    backup, guest = facts.backup, facts.guest
    return Target(
        kind="volume",
        id=backup.volid,
        name=backup.volid.rpartition("/")[2],
        node=facts.node,
        tags=guest.tags if guest else (),
        pool=guest.pool if guest else "",
    )


def _volume_item(
    facts: VolumeFacts, steps: tuple[Step, ...], losses: tuple[str, ...] = (), undo: str = ""
) -> Item:
    backup = facts.backup
    place = sorted(facts.siblings, reverse=True).index(backup)
    rank = "THE NEWEST" if place == 0 else f"number {place + 1}"
    many = f"{rank} of {len(facts.siblings)}" if len(facts.siblings) > 1 else "THE ONLY ONE"
    whose = facts.guest.ref.label if facts.guest else f"{backup.vmid}, which is no guest any more"
    return Item(
        target=_volume_target(facts),
        headline=f"{many} on {backup.storage} of {whose}",
        guards=backup_guard(backup.storage, facts.node, facts.siblings, backup.vmid),
        before={
            "ctime": backup.ctime,
            "size_bytes": backup.size_bytes,
            "protected": backup.is_protected,
        },
        steps=steps,
        losses=losses,
        undo=undo,
    )


# -- many of one guest ----------------------------------------------------------------


def decide_prune(_operation: str, facts: PruneFacts, _params: dict[str, Scalar]) -> Decision:
    """What PVE's dry run marks goes, each by its own volume id, the oldest first.

    PVE's own prune call would choose anew at that moment, and take others than were shown.
    """
    base, target = facts.base, target_of(facts.base)
    found = worst_first(check_prune(facts))
    if blocks_among(found):
        return Decision(target, found, state=base.state.power)
    going = going_of(facts)
    if not going:
        return Decision(target, found, is_already_so=True, state="pruned")
    known = guest_guards(base.state, base.config)
    guards = {field: known[field] for field in _LASTING}
    for place in facts.places:
        mine = [each.backup for each in place.candidates]
        guards |= backup_guard(place.storage, place.node, mine, base.guest.vmid)
    item = Item(
        target=target,
        headline=f"{len(going)} OF {_count(facts)} BACKUPS GO, {_remaining(facts)}",
        guards=guards,
        before={"backups": ",".join(_names(facts.places))},
        steps=_removals(going),
        losses=tuple(_loss(backup, base.read_at) for backup, _ in going),
    )
    return Decision(target, found, item, state=base.state.power)


def _count(facts: PruneFacts) -> int:
    return sum(len(place.candidates) for place in facts.places)


def _remaining(facts: PruneFacts) -> str:
    """What stays, by the newest of it."""
    kept = [
        each.backup for place in facts.places for each in place.candidates if each.mark != "remove"
    ]
    if not kept:
        return "NONE STAYS"
    age = format_duration(max(0, facts.base.read_at - max(kept).ctime))
    return f"the newest that stays is {age} old"


def _names(places: tuple[PrunePlace, ...]) -> list[str]:
    return [each.backup.volid for place in places for each in place.candidates]


# -- parts of items ---------------------------------------------------------------


def _removals(going: Sequence[tuple[Backup, str]]) -> tuple[Step, ...]:
    """One after the other; the last look tells of all of them."""
    volids = ",".join(backup.volid for backup, _ in going)
    last = len(going) - 1
    return tuple(
        step
        for number, (backup, node) in enumerate(going)
        for step in _removal(backup, node, {"all": volids} if number == last else {})
    )


def _removal(
    backup: Backup, node: str, told: Mapping[str, Scalar] = MappingProxyType({})
) -> tuple[Step, ...]:
    return (
        Call(
            "DELETE",
            _volume_path(backup, node),
            effect="B",
            task_types=("imgdel",),
            does=f"delete {backup.volid}",
            task_node=node,
            task_id=f"{backup.vmid}@{backup.storage}",
        ),
        WaitTask(_DELETE_S),
        WaitState("backup.absent", _GRACE_S, {**_place(backup, node), **told}),
    )


def _volume_path(backup: Backup, node: str) -> str:
    return api_path("nodes", node, "storage", backup.storage, "content", backup.volid)


def _place(backup: Backup, node: str) -> dict[str, Scalar]:
    return {"storage": backup.storage, "node": node, "volid": backup.volid}


def _loss(backup: Backup, now: int) -> str:
    age = format_duration(max(0, now - backup.ctime))
    return f"{backup.volid} ({age} old, {format_bytes(backup.size_bytes)})"
