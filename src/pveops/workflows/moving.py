"""What evacuating a node and returning to it have in common: guests as movers, nodes as rooms."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import NamedTuple

import msgspec

from pveops.domain.facts import Scene
from pveops.domain.guest import Guest
from pveops.domain.move import MoveFacts
from pveops.domain.node_sheet import NodeSheet
from pveops.operations.decision import Decision
from pveops.operations.findings import Finding, blocks_among
from pveops.operations.guest_checks import subject_of, worst_first
from pveops.operations.move import check_move, move_item
from pveops.operations.move_checks import check_guest
from pveops.operations.move_choice import MoveChoice, method_of
from pveops.operations.place_checks import check_place, space_needed
from pveops.operations.plan import Target
from pveops.operations.subject import target_of
from pveops.workflows.allocator import Allocation, Mover, Room, allocate

_STEM = re.compile(r"(?P<stem>.*?[A-Za-z])[-_.]?\d+")
_ORDER = {"live": 0, "offline": 1, "restart": 2}


class Traveller(NamedTuple):
    """A guest on the way: its facts, and where it goes.

    choice: the target is empty when no node takes it; `reasons` says why, one a node.
    """

    facts: MoveFacts
    choice: MoveChoice
    reasons: tuple[str, ...] = ()
    remarks: tuple[Finding, ...] = ()
    """About the whole, told with the first of them."""


def check_downtime(travellers: Iterable[Traveller]) -> Iterator[Finding]:
    """Who goes down on the way."""
    names = [
        each.facts.base.guest.name
        for each in travellers
        if each.choice.target and method_of(each.facts) == "restart"
    ]
    if names:
        yield Finding(
            "move.downtime",
            "warn",
            "cluster",
            f"stopped, moved and started again: {', '.join(names)}",
        )


class Resting(NamedTuple):
    """Nothing is to be done about it, and why."""

    target: Target
    state: str


def place_travellers(
    facts: Sequence[MoveFacts],
    choice: MoveChoice,
    rooms: Sequence[Room],
    *,
    spare: int,
    is_strict: bool,
) -> tuple[tuple[Traveller, ...], Allocation]:
    """Where each guest goes, in the order of the moves: live ones, stopped ones, restarts."""
    names = [room.node for room in rooms]
    free = [each for each in facts if not blocks_among(check_guest(each, choice))]
    movers = [mover_of(each, choice, names) for each in free]
    allocation = allocate(movers, rooms, spare=spare, is_strict=is_strict)
    found = [
        Traveller(
            each,
            choice._replace(target=allocation.placed.get(each.base.guest.vmid, "")),
            allocation.blocked.get(each.base.guest.vmid, ()),
        )
        for each in facts
    ]
    found.sort(key=lambda each: (_ORDER[method_of(each.facts)], each.facts.base.guest.vmid))
    return tuple(found), allocation


def mover_of(facts: MoveFacts, choice: MoveChoice, nodes: Iterable[str]) -> Mover:
    """The guest as the allocator sees it; its memory is the allocator's to judge."""
    base = facts.base
    refused = {}
    for node in nodes:
        blocks = blocks_among(check_place(facts, choice._replace(target=node)))
        against = [finding.message for finding in blocks if finding.code != "memory.short"]
        if against:
            refused[node] = "; ".join(against)
    rules = facts.scene.rules or ()
    mine = [rule for rule in rules if rule.kind == "apart" and base.guest.vmid in rule.vmids]
    return Mover(
        vmid=base.guest.vmid,
        memory_bytes=base.guest.maxmem_bytes if base.state.is_running else 0,
        space=space_needed(facts, choice),
        refused=refused,
        replicas=frozenset(
            job.target for job in facts.scene.replicas or () if job.vmid == base.guest.vmid
        ),
        apart=frozenset(vmid for rule in mine for vmid in rule.vmids) - {base.guest.vmid},
        role=role_of(base.guest),
    )


def room_of(sheet: NodeSheet, scene: Scene) -> Room:
    """The node as the allocator sees it."""
    guests = [guest for guest in scene.inventory.guests if guest.node == sheet.name]
    known = [storage for storage in sheet.storages if storage.has_figures]
    roles = Counter(role_of(guest) for guest in guests)
    return Room(
        node=sheet.name,
        memory_bytes=sheet.room_bytes,
        promised_bytes=sheet.promised_bytes,
        space={each.storage: max(0, each.total_bytes - each.used_bytes) for each in known},
        shared=frozenset(each.storage for each in known if each.is_shared),
        vmids=frozenset(guest.vmid for guest in guests),
        roles={role: count for role, count in roles.items() if role},
    )


def role_of(guest: Guest) -> str:
    """`db` of `db01` and `db-2`: guests that are likely to stand in for each other."""
    match = _STEM.fullmatch(guest.name)
    return match["stem"] if match else ""


def decide_traveller(traveller: Traveller, options: Callable[[int], str]) -> Decision:
    """A traveller, decided. options: what else can be done about a guest that stays."""
    facts, choice = traveller.facts, traveller.choice
    state = facts.base.state.power
    target = target_of(facts.base)
    if choice.target:
        found = (*traveller.remarks, *check_move(facts, choice))
        dependents = facts.preconditions.dependents if facts.preconditions else ()
        if dependents:
            found = (*found, _dependents(facts, dependents))
        ordered = worst_first(iter(_with_options(found, facts, options)))
        if blocks_among(ordered):
            return Decision(target, ordered, state=state)
        return Decision(target, ordered, move_item(facts, choice), state=state)
    found = (*traveller.remarks, *check_guest(facts, choice))
    if traveller.reasons:
        text = f"no node takes it: {'; '.join(traveller.reasons)}"
        found = (*found, Finding("move.no-place", "block", subject_of(facts.base), text))
    ordered = worst_first(iter(_with_options(found, facts, options)))
    return Decision(target, ordered, state=state)


def _dependents(facts: MoveFacts, dependents: Sequence[str]) -> Finding:
    return Finding(
        "ha.dependents",
        "block",
        subject_of(facts.base),
        f"HA would move {', '.join(dependents)} along, in the midst of the other moves",
        remedy=f"move it first, by itself: `pve guest migrate {facts.base.guest.vmid} NODE`",
    )


def _with_options(
    found: Iterable[Finding], facts: MoveFacts, options: Callable[[int], str]
) -> list[Finding]:
    """What blocks a guest, with what else can be done about that guest."""
    own, other = subject_of(facts.base), options(facts.base.guest.vmid)
    return [
        msgspec.structs.replace(
            finding, remedy=f"{finding.remedy}; or {other}" if finding.remedy else other
        )
        if finding.severity == "block" and finding.subject == own
        else finding
        for finding in found
    ]
