"""`node.return`: the guests that evacuations moved off a node go back there."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from pveops.domain.facts import PastMove, Scene
from pveops.domain.guest import Guest
from pveops.domain.move import MoveFacts, MoveScene, read_move_facts, read_move_scene
from pveops.engine.pool import run_bounded
from pveops.operations.decision import Decision
from pveops.operations.move_choice import MoveChoice, read_choice
from pveops.operations.plan import Scalar, Target
from pveops.units import DAY_S, format_duration
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

_FORGOTTEN_S = 30 * DAY_S
"""A node may wait for a spare part for weeks."""


def read_return(client: Client, scene: Scene) -> Sequence[Traveller | Resting]:
    """Those that evacuations of the node moved, as they are now: five requests a guest.

    Who is back already, was moved on by somebody since, or is another guest by now, rests.
    """
    home = scene.names[0] if scene.names else ""
    scene.inventory.get_node(home)
    moves = [move for move in scene.past_moves if move.source == home]
    by_vmid = {guest.vmid: guest for guest in scene.inventory.guests}
    resting = [
        rest for move in moves if (rest := _rest_of(move, by_vmid.get(move.vmid), scene.now))
    ]
    asleep = {rest.target.id for rest in resting}
    away = [by_vmid[move.vmid] for move in moves if str(move.vmid) not in asleep]
    if not away:
        node = Target("node", home, home, home)
        return resting or [Resting(node, "as it was: nobody is known to be away from it")]
    scenes = {
        name: read_move_scene(client, name, (home,), scene)
        for name in sorted({guest.node for guest in away})
    }
    facts = run_bounded(
        [guest.node for guest in away],
        lambda i: read_move_facts(client, away[i], scene, scenes[away[i].node]),
    )
    identities = {move.vmid: move.identity for move in moves}
    others = [each for each in facts if not _is_same(each, identities)]
    resting += [_stranger(each) for each in others]
    return (*_place(facts, others, scenes, scene, home), *resting)


def _place(
    facts: Sequence[MoveFacts],
    others: Sequence[MoveFacts],
    scenes: dict[str, MoveScene],
    scene: Scene,
    home: str,
) -> tuple[Traveller, ...]:
    same = [each for each in facts if each not in others]
    params: dict[str, Scalar] = {"allow_restart": bool(scene.params.get("allow_restart"))}
    for name in ("target_storage", "bwlimit"):
        if scene.params.get(name):
            params[name] = str(scene.params[name])
    choice: MoveChoice = read_choice(params, "")
    sheet = next(iter(scenes.values())).sheets[home]
    rooms = [room_of(sheet, scene)] if sheet.is_online else []
    travellers, _ = place_travellers(same, choice, rooms, spare=0, is_strict=False)
    remarks = tuple(check_downtime(travellers))
    return tuple(
        each._replace(remarks=remarks) if number == 0 else each
        for number, each in enumerate(travellers)
    )


def decide_return(
    _operation: str, found: Traveller | Resting, _params: dict[str, Scalar]
) -> Decision:
    """One guest on its way back. Pure."""
    if isinstance(found, Resting):
        return Decision(found.target, (), is_already_so=True, state=found.state)
    return decide_traveller(
        found, lambda vmid: f"move the others one by one: `pve guest migrate {vmid} NODE`"
    )


def _rest_of(move: PastMove, guest: Guest | None, now: float) -> Resting | None:
    target = Target(move.kind, str(move.vmid), move.name, guest.node if guest else move.source)
    if guest is None or guest.kind != move.kind:
        return Resting(target, "gone")
    if guest.node == move.source:
        return Resting(target, f"back on {move.source}")
    if guest.node != move.target:
        return Resting(target, f"on {guest.node}, where somebody moved it since")
    if now - move.at > _FORGOTTEN_S:
        # It may be there on purpose by now.
        age = format_duration(now - move.at)
        told = f"on {guest.node} since an evacuation {age} ago: move it by its name"
        return Resting(target, told)
    return None


def _is_same(facts: MoveFacts, identities: dict[int, str]) -> bool:
    """VMs keep their uuid; a container's volumes may be named anew when it moves."""
    guest = facts.base.guest
    return guest.kind == "lxc" or facts.base.config.identity == identities[guest.vmid]


def _stranger(facts: MoveFacts) -> Resting:
    guest = facts.base.guest
    target = Target(guest.kind, str(guest.vmid), guest.name, guest.node)
    return Resting(target, "another guest by now than the one that was moved")
