"""Migration of one guest: the decision. Pure."""

from __future__ import annotations

from pveops.domain.move import MoveFacts
from pveops.operations.decision import Decision
from pveops.operations.findings import Finding, blocks_among
from pveops.operations.guards import guest_guards
from pveops.operations.guest_checks import worst_first
from pveops.operations.move_checks import check_guest
from pveops.operations.move_choice import (
    MoveChoice,
    changes_storage,
    describe_move,
    method_of,
    read_choice,
    way_back,
)
from pveops.operations.place_checks import check_place, space_needed
from pveops.operations.plan import Call, Item, Scalar, WaitState, WaitTask
from pveops.operations.subject import headline_of, target_of

_MOVE_S = 86_400.0
_GRACE_S = 30.0
_TAKE_UP_S = 120.0
"""HA's manager works in rounds of 10 s, and the node's own after it."""
_HA_S = 7_200.0
"""HA's own move carries disks and memory before it shows."""


def decide_migrate(_operation: str, facts: MoveFacts, params: dict[str, Scalar]) -> Decision:
    """`guest.migrate`: one guest to the node of the parameter `node`."""
    choice = read_choice(params, str(params["node"]))
    target = target_of(facts.base)
    if choice.target == facts.base.guest.node and not facts.base.state.lock:
        return Decision(target, (), is_already_so=True, state=f"on {choice.target}")
    found = check_move(facts, choice)
    if blocks_among(found):
        return Decision(target, found, state=facts.base.state.power)
    return Decision(target, found, move_item(facts, choice), state=facts.base.state.power)


def check_move(facts: MoveFacts, choice: MoveChoice) -> tuple[Finding, ...]:
    """Every finding about guest and target, the blocking ones first."""
    return worst_first(iter([*check_guest(facts, choice), *check_place(facts, choice)]))


def move_item(facts: MoveFacts, choice: MoveChoice) -> Item:
    """What is done: the call, its task, and the guest as it was on the other node."""
    base = facts.base
    guest, state = base.guest, base.state
    is_vm, is_queued = guest.kind == "qemu", state.is_ha_managed
    tasks = ("hamigrate",) if is_queued else ("qmigrate",) if is_vm else ("vzmigrate",)
    call = Call(
        "POST",
        guest.ref.path("migrate"),
        _sent(facts, choice),
        effect="C",
        task_types=tasks,
        does=f"migrate to {choice.target}",
    )
    expect: dict[str, Scalar] = {"node": choice.target, "runs": state.is_running}
    if is_queued:
        expect["is_queued"] = True
    storages = sorted(space_needed(facts, choice))
    if storages:
        expect["storages"] = ",".join(storages)
        expect["left"] = ",".join(sorted({volume.storage for volume in facts.volumes}))
    return Item(
        target=target_of(base),
        headline=f"{headline_of(base)}, {describe_move(facts, choice)}",
        guards=guest_guards(state, base.config),
        before={
            "power": state.power,
            "uptime_s": state.uptime_s,
            "pid": state.pid,
            "node": guest.node,
        },
        steps=(
            call,
            WaitTask(_MOVE_S),
            *(_take_up(choice) if is_queued else ()),
            WaitState("guest.on-node", _HA_S if is_queued else _GRACE_S, expect),
        ),
        undo=way_back(facts, choice),
    )


def _take_up(choice: MoveChoice) -> tuple[WaitState, ...]:
    """A lost request is told by its task alone: others may be moving the guest."""
    expect: dict[str, Scalar] = {"node": choice.target}
    return (WaitState("guest.taken-up", _TAKE_UP_S, expect, holds_already=True),)


def _sent(facts: MoveFacts, choice: MoveChoice) -> dict[str, Scalar]:
    sent: dict[str, Scalar] = {"target": choice.target}
    method, is_vm = method_of(facts), facts.base.guest.kind == "qemu"
    if method == "live":
        sent["online"] = True
        if any(not volume.is_cdrom or volume.is_generated for volume in facts.volumes):
            sent["with-local-disks"] = True
    if method == "restart":
        sent["restart"] = True
    if changes_storage(facts, choice):
        sent["targetstorage" if is_vm else "target-storage"] = choice.target_storage
    if choice.limit_kib and not facts.base.state.is_ha_managed:
        sent["bwlimit"] = choice.limit_kib
    return sent
