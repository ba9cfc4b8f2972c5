"""`cluster.rolling-reboot`: each node is emptied, rebooted, looked at and filled again in turn.

The whole way is in one plan, in stages, so that a person agrees to all of it and a run that was
cut off can be resumed. Since each node has its guests back before the next one begins, every
stage finds the cluster as it was planned; if not, guards and the watch end the run there.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from pveops.domain.facts import GuestFacts, Scene, read_guest_facts
from pveops.domain.guest import Guest
from pveops.domain.move import (
    MoveFacts,
    MoveScene,
    read_move_facts,
    read_move_scene,
    read_scene_of,
)
from pveops.domain.node import Node
from pveops.domain.node_power import (
    ClusterAround,
    NodePower,
    read_around,
    read_one_node,
)
from pveops.engine.pool import run_bounded
from pveops.operations.decision import Decision
from pveops.operations.findings import Finding, blocks_among
from pveops.operations.guest_checks import worst_first
from pveops.operations.move import move_item
from pveops.operations.move_choice import MoveChoice, read_choice
from pveops.operations.node_power import EMPTY_BY_THEN, node_target, reboot_item
from pveops.operations.node_power_checks import check_around, check_votes
from pveops.operations.plan import Item, Scalar, Target, WaitState
from pveops.operations.power import decide_power, power_steps
from pveops.operations.subject import target_of
from pveops.workflows.evacuation import guests_left, words_of
from pveops.workflows.moving import (
    Resting,
    Traveller,
    check_downtime,
    decide_traveller,
    place_travellers,
    room_of,
)

if TYPE_CHECKING:
    from pveops.api.client import Client

_SPARE = 0
"""The others carry a node's guests for minutes only."""
_START_S = 600.0
_AWAY, _DOWN, _BOOT, _UP, _HOME = range(5)
_PER_NODE = 5


class Away(NamedTuple):
    """A guest that leaves the node before, and comes back after."""

    traveller: Traveller
    node: int


class Stays(NamedTuple):
    """A guest that is shut down before, and runs again after."""

    facts: GuestFacts
    node: int


class Boot(NamedTuple):
    """The node itself."""

    facts: NodePower
    node: int
    remarks: tuple[Finding, ...] = ()


class Back(NamedTuple):
    """The second half of `Away` or `Stays`."""

    first: Leg


Leg = Away | Stays | Boot | Back


def read_rolling(client: Client, scene: Scene) -> Sequence[Leg | Resting]:
    """Five requests a running guest, about ten a node. Raises NotFoundError."""
    left = guests_left(scene.inventory, words_of(scene, "leave"))
    around = read_around(client, scene, [node.name for node in scene.inventory.nodes])
    chosen = [read_one_node(client, node, scene, around) for node in _asked_nodes(scene)]
    due = [facts for facts in chosen if _is_due(scene, facts)]
    if not due:
        return [_rest(facts) for facts in chosen]
    sheets = _read_sheets(client, scene)
    legs: list[Leg] = []
    for number, facts in enumerate(due):
        legs += _legs_of(client, scene, facts, number, left, sheets)
    travellers = [leg.traveller for leg in legs if isinstance(leg, Away)]
    remarks = tuple(check_downtime(travellers))
    first = next(number for number, leg in enumerate(legs) if isinstance(leg, Boot))
    legs[first] = Boot(due[0]._replace(running=()), 0, remarks)
    return legs


def _asked_nodes(scene: Scene) -> list[Node]:
    names = words_of(scene, "node")
    if names:
        return [scene.inventory.get_node(name) for name in dict.fromkeys(names)]
    return list(scene.inventory.nodes)


def _is_due(scene: Scene, facts: NodePower) -> bool:
    """Named, or all wanted, or a newer kernel waits; what cannot be known counts as waiting."""
    if words_of(scene, "node") or scene.params.get("all"):
        return True
    return facts.kernels.is_reboot_due is not False


def _rest(facts: NodePower) -> Resting:
    name = facts.node.name
    state = f"on its newest installed kernel ({facts.kernels.running})"
    return Resting(node_target(name), state)


def _read_sheets(client: Client, scene: Scene) -> MoveScene:
    names = [node.name for node in scene.inventory.nodes]
    return read_move_scene(client, names[0], names[1:], scene)


def _legs_of(
    client: Client,
    scene: Scene,
    facts: NodePower,
    number: int,
    left: frozenset[int],
    sheets: MoveScene,
) -> list[Leg]:
    """All that one node's turn takes, in order."""
    name = facts.node.name
    leaving = [guest for guest in facts.running if guest.vmid not in left]
    staying = [guest for guest in facts.running if guest.vmid in left]
    around = read_scene_of(client, name, sheets)
    travellers = _place(client, scene, leaving, around, name)
    away: list[Leg] = [Away(each, number) for each in travellers]
    stays: list[Leg] = [Stays(each, number) for each in _read_staying(client, staying, scene)]
    boot = Boot(facts._replace(running=()), number)
    placed = [leg for leg in away if isinstance(leg, Away) and leg.traveller.choice.target]
    return [*away, *stays, boot, *(Back(leg) for leg in (*stays, *placed))]


def _place(
    client: Client, scene: Scene, leaving: Sequence[Guest], around: MoveScene, name: str
) -> tuple[Traveller, ...]:
    if not leaving:
        return ()
    nodes = [guest.node for guest in leaving]
    facts: Sequence[MoveFacts] = run_bounded(
        nodes, lambda index: read_move_facts(client, leaving[index], scene, around)
    )
    others = [node for node in scene.inventory.nodes if node.name != name and node.is_online]
    rooms = [
        room_of(around.sheets[node.name], scene)
        for node in others
        if node.hastate != "maintenance"
    ]
    choice = read_choice({"allow_restart": bool(scene.params.get("allow_restart"))}, "")
    return place_travellers(facts, choice, rooms, spare=_SPARE, is_strict=False)[0]


def _read_staying(
    client: Client, staying: Sequence[Guest], scene: Scene
) -> tuple[GuestFacts, ...]:
    if not staying:
        return ()
    nodes = [guest.node for guest in staying]
    return run_bounded(nodes, lambda index: read_guest_facts(client, staying[index], scene))


# -- decisions ------------------------------------------------------------------------


def decide_rolling(_operation: str, leg: Leg | Resting, _params: dict[str, Scalar]) -> Decision:
    """One leg of the way. Pure."""
    if isinstance(leg, Resting):
        return Decision(leg.target, (), is_already_so=True, state=leg.state)
    if isinstance(leg, Boot):
        return _decide_boot(leg)
    if isinstance(leg, Away):
        return _staged(decide_traveller(leg.traveller, _options), leg.node, _AWAY)
    if isinstance(leg, Stays):
        return _staged(decide_power("guest.shutdown", leg.facts, {}), leg.node, _DOWN)
    return _decide_back(leg)


def _options(vmid: int) -> str:
    return f"shut it down for the reboot: --leave {vmid}"


def _staged(decision: Decision, node: int, part: int) -> Decision:
    if decision.item is None:
        return decision
    item = msgspec.structs.replace(decision.item, stage=node * _PER_NODE + part)
    return decision._replace(item=item)


def _decide_boot(leg: Boot) -> Decision:
    facts = leg.facts
    around: ClusterAround = facts.around
    found = worst_first(
        iter(
            [
                *check_votes(around.votes, facts.node.name),
                *check_around(around, is_strict=True),
                *_check_kernels(facts),
                *leg.remarks,
            ]
        )
    )
    target = node_target(facts.node.name)
    if blocks_among(found):
        return Decision(target, found, state=facts.node.status)
    decision = Decision(
        target, found, reboot_item(facts, empty=EMPTY_BY_THEN), state=facts.node.status
    )
    return _staged(decision, leg.node, _BOOT)


def _check_kernels(facts: NodePower) -> Iterator[Finding]:
    if facts.kernels.is_reboot_due is None:
        yield Finding(
            "node.kernel-unknown",
            "warn",
            f"node/{facts.node.name}",
            "the token may not see which kernels are installed there",
            evidence="/nodes/NODE/apt/versions needs Sys.Audit on the node",
        )


def _decide_back(leg: Back) -> Decision:
    first = leg.first
    if isinstance(first, Stays):
        item = _again_item(first.facts)
        return _staged(Decision(target_of(first.facts), (), item), first.node, _UP)
    if isinstance(first, Away):
        traveller = first.traveller
        item = home_item(traveller.facts, traveller.choice)
        return _staged(Decision(item.target, (), item), first.node, _HOME)
    raise TypeError(f"{type(first).__name__} has no second half")


def home_item(facts: MoveFacts, choice: MoveChoice) -> Item:
    """The way back, from where the guest will be by then."""
    base, home = facts.base, facts.base.guest.node
    there = base.guest._replace(node=choice.target)
    state = base.state._replace(ref=base.state.ref._replace(node=choice.target))
    moved = facts._replace(base=base._replace(guest=there, state=state))
    item = move_item(moved, choice._replace(target=home))
    return msgspec.structs.replace(
        item,
        headline=f"BACK to {home}",
        guards=_lasting(base, ("name", "status", "lock", "is_ha_managed")),
        target=msgspec.structs.replace(item.target, node=choice.target),
        undo="",
    )


def _lasting(base: GuestFacts, fields: Sequence[str]) -> dict[str, Scalar]:
    """What is the same after a move: no process id, and no digest where disks moved along."""
    guards: dict[str, Scalar] = {
        "name": base.state.ref.name,
        "status": base.state.status,
        "lock": base.state.lock,
        "is_ha_managed": base.state.is_ha_managed,
    }
    kept = {field: guards[field] for field in fields}
    # A container is told by its root volume, which may be named anew when it moves.
    return kept | ({"identity": base.config.identity} if base.guest.kind == "qemu" else {})


def _again_item(base: GuestFacts) -> Item:
    """A guest that starts with its node is waited for; any other is started."""
    starts_itself = base.config.get("onboot") in {"1", "true"} and not base.state.is_ha_managed
    steps = (
        (WaitState("power.running", _START_S),)
        if starts_itself
        else power_steps("start", base, {}, does="start")
    )
    target: Target = target_of(base)
    return Item(
        target=target,
        headline="STARTS WITH ITS NODE" if starts_itself else "START AGAIN",
        guards=_lasting(base, ("name", "is_ha_managed")),
        before={"power": "stopped", "node": base.guest.node},
        steps=steps,
    )
