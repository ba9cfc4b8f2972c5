"""`cluster.shutdown-plan` and `cluster.bring-back`: everything off in order, and on again.

Guests go first, in reverse startup order, each by its own clean shutdown; HA keeps those that it
manages stopped, and starts them when they are started again. Nodes follow, the one that answers
us last. Who was taken down is read from the run's own journal.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from pveops.domain.ceph import NOOUT
from pveops.domain.facts import GuestFacts, PastStop, Scene, read_guest_facts
from pveops.domain.guest import Guest
from pveops.domain.node_power import NodePower, read_around, read_one_node
from pveops.engine.course import Ending
from pveops.engine.pool import run_bounded
from pveops.errors import NotFoundError
from pveops.operations.decision import Decision
from pveops.operations.findings import Finding, blocks_among
from pveops.operations.guest_checks import worst_first
from pveops.operations.node_power import EMPTY_BY_THEN, node_target, set_noout, shutdown_item
from pveops.operations.node_power_checks import check_sight
from pveops.operations.plan import Item, Plan, Scalar, Target
from pveops.operations.power import decide_power
from pveops.units import DAY_S, format_duration
from pveops.workflows.evacuation import guests_left, words_of
from pveops.workflows.moving import Resting

if TYPE_CHECKING:
    from pveops.api.client import Client
    from pveops.engine.outcome import ItemOutcome

_FLAG_STAGE, _NODES_STAGE, _LAST_STAGE = 1 << 21, 1 << 22, 1 << 23
_NO_STAGE = -(1 << 21)
"""Before any guest's."""
_FORGOTTEN_S = 7 * DAY_S
_WAY_BACK = "pve cluster bring-back"


class Turn(NamedTuple):
    """A guest, to be stopped or started."""

    verb: str
    facts: GuestFacts


class Off(NamedTuple):
    """A node to be switched off."""

    facts: NodePower
    is_last: bool
    remarks: tuple[Finding, ...] = ()


class Noout(NamedTuple):
    """Ceph's flag, before nodes go and after they came back."""

    is_on: bool


class Missing(NamedTuple):
    """A guest whose node is not there."""

    guest: Guest


Leg = Turn | Off | Noout | Missing | Resting


def read_shutdown(client: Client, scene: Scene) -> Sequence[Leg]:
    """Three requests a running guest, about four a node."""
    inventory = scene.inventory
    if not inventory.nodes:
        raise NotFoundError("no node can be seen", hint="pve doctor: what the token may see")
    left = guests_left(inventory, words_of(scene, "leave"))
    off = set(inventory.nodes_not_online)
    running = [
        guest for guest in inventory.guests if guest.status != "stopped" and guest.node not in off
    ]
    legs: list[Leg] = [
        Turn("shutdown", facts)
        for facts in _read_guests(client, [g for g in running if g.vmid not in left], scene)
    ]
    if not scene.params.get("guests_only"):
        legs += _read_nodes(client, scene, left)
    return legs or [Resting(Target("cluster", "cluster", "cluster", ""), "off: nothing runs")]


def _read_guests(client: Client, guests: Sequence[Guest], scene: Scene) -> tuple[GuestFacts, ...]:
    nodes = [guest.node for guest in guests]
    return (
        run_bounded(nodes, lambda index: read_guest_facts(client, guests[index], scene))
        if guests
        else ()
    )


def _read_nodes(client: Client, scene: Scene, left: frozenset[int]) -> Iterator[Leg]:
    names = [node.name for node in scene.inventory.nodes if node.is_online]
    around = read_around(client, scene, names)
    if around.ceph is not None and around.ceph.status and not around.ceph.has_noout:
        yield Noout(is_on=True)
    last = scene.local if scene.local in names else (names[-1] if names else "")
    for node in scene.inventory.nodes:
        if not node.is_online:
            continue
        facts = read_one_node(client, node, scene, around)
        kept = tuple(guest for guest in facts.running if guest.vmid in left)
        remarks = tuple(_check_all(facts)) if node.name == names[0] else ()
        found = facts._replace(running=kept)
        yield Off(found, node.name == last, (*remarks, *_check_kept(found)))


def read_bring_back(client: Client, scene: Scene) -> Sequence[Leg]:
    """Three requests a guest that the last shutdown took down."""
    guests = {guest.vmid: guest for guest in scene.inventory.guests}
    rest = [found for stop in scene.past_stops if (found := _rest_of(stop, guests, scene.now))]
    asleep = {each.target.id for each in rest}
    waiting = [guests[s.vmid] for s in scene.past_stops if str(s.vmid) not in asleep]
    off = set(scene.inventory.nodes_not_online)
    there = [guest for guest in waiting if guest.node not in off]
    identities = {stop.vmid: stop.identity for stop in scene.past_stops}
    legs: list[Leg] = []
    for facts in _read_guests(client, there, scene):
        legs.append(_turn_of(facts, identities[facts.guest.vmid]))
    if not scene.params.get("partly"):
        legs += [Missing(guest) for guest in waiting if guest.node in off]
    around = read_around(client, scene, ())
    if scene.past_stops and around.ceph is not None and around.ceph.has_noout and not off:
        legs.append(Noout(is_on=False))
    nobody = Target("cluster", "cluster", "cluster", "")
    return [*legs, *rest] or [Resting(nobody, "as it was: no shutdown is waiting to be undone")]


def _rest_of(stop: PastStop, guests: dict[int, Guest], now: float) -> Resting | None:
    guest = guests.get(stop.vmid)
    target = Target(stop.kind, str(stop.vmid), stop.name, guest.node if guest else "")
    if guest is None or guest.kind != stop.kind:
        return Resting(target, "gone")
    if guest.status == "running":
        return Resting(target, guest.status)
    if stop.is_of_earlier:
        return Resting(target, "stopped since an earlier shutdown: start it by its name")
    if now - stop.at > _FORGOTTEN_S:
        # It may have run since, and have been stopped on purpose.
        age = format_duration(now - stop.at)
        return Resting(target, f"stopped, but it was taken down {age} ago: start it by its name")
    return None


def _turn_of(facts: GuestFacts, identity: str) -> Leg:
    if facts.config.identity == identity:
        return Turn("start", facts)
    guest = facts.guest
    target = Target(guest.kind, str(guest.vmid), guest.name, guest.node)
    return Resting(target, "another guest by now than the one that was shut down")


# -- decisions ------------------------------------------------------------------------


def decide_leg(operation: str, leg: Leg, params: dict[str, Scalar]) -> Decision:
    """One part of a shutdown, or of the way back. Pure."""
    if isinstance(leg, Resting):
        return Decision(leg.target, (), is_already_so=True, state=leg.state)
    if isinstance(leg, Turn):
        kept = {key: params[key] for key in ("timeout", "force_after") if params.get(key)}
        return _with_way_back(decide_power(f"guest.{leg.verb}", leg.facts, kept), operation)
    if isinstance(leg, Noout):
        return _decide_noout(leg)
    if isinstance(leg, Missing):
        return _decide_missing(leg, operation)
    return _decide_off(leg)


def _with_way_back(decision: Decision, operation: str) -> Decision:
    if decision.item is None or operation != "cluster.shutdown-plan":
        return decision
    item = msgspec.structs.replace(decision.item, undo=_WAY_BACK)
    return decision._replace(item=item)


def _decide_noout(leg: Noout) -> Decision:
    target = Target("ceph", NOOUT, NOOUT, "")
    item = Item(
        target=target,
        headline="CEPH KEEPS DATA WHERE IT IS" if leg.is_on else "CEPH MAY MOVE DATA AGAIN",
        guards={},
        before={NOOUT: not leg.is_on},
        steps=set_noout(is_on=leg.is_on),
        stage=_FLAG_STAGE if leg.is_on else _NO_STAGE,
        undo=_WAY_BACK if leg.is_on else "",
    )
    return Decision(target, (), item)


def _decide_missing(leg: Missing, operation: str) -> Decision:
    guest = leg.guest
    target = Target(guest.kind, str(guest.vmid), guest.name, guest.node)
    finding = Finding(
        "node.not-online",
        "block",
        f"node/{guest.node}",
        f"{guest.node} is not online, and {guest.ref.label} is on it",
        evidence="/cluster/resources",
        remedy=f"switch it on first; or start what can be: `pve {operation.replace('.', ' ')} "
        "--partly`",
    )
    return Decision(target, (finding,), state="stopped")


def _decide_off(leg: Off) -> Decision:
    facts = leg.facts
    found = worst_first(iter(leg.remarks))
    target = node_target(facts.node.name)
    if blocks_among(found):
        return Decision(target, found, state=facts.node.status)
    item = shutdown_item(facts, is_last=leg.is_last, empty=EMPTY_BY_THEN)
    stage = _LAST_STAGE if leg.is_last else _NODES_STAGE
    item = msgspec.structs.replace(item, stage=stage, undo=_WAY_BACK)
    return Decision(target, found, item, state=facts.node.status)


def _check_all(facts: NodePower) -> Iterator[Finding]:
    """About the whole cluster, told once. What is broken already keeps nobody from going down."""
    around = facts.around
    yield from check_sight(around)
    for node, tasks in sorted(around.busy.items()):
        for upid in (tasks or ())[:1]:
            yield Finding(
                "node.busy",
                "block",
                f"node/{node}",
                f"a task is at work on {node}, and would be cut off",
                evidence=upid,
                remedy=f"wait for it: `pve task wait {upid}`",
            )
    if around.ceph is not None and not around.ceph.is_healthy and not around.ceph.is_elsewhere:
        yield Finding(
            "ceph.not-healthy",
            "warn",
            "cluster",
            f"Ceph is not healthy: {around.ceph.told}",
            evidence="/cluster/ceph/status",
        )
    if around.offline:
        yield Finding(
            "cluster.node-offline",
            "warn",
            "cluster",
            f"nothing is done about what is not online: {', '.join(around.offline)}",
            evidence="/cluster/resources",
        )
    if around.ha is None:
        yield Finding("ha.unknown", "warn", "cluster", "the token may not see what HA does")


def _check_kept(facts: NodePower) -> Iterator[Finding]:
    managed = {each.vmid for each in facts.around.ha or ()}
    for guest in facts.running:
        tail = "; HA would start it elsewhere" if guest.vmid in managed else ""
        yield Finding(
            "node.guests-go-down",
            "warn",
            f"node/{facts.node.name}",
            f"{guest.ref.label} is left running and goes down with its node, as asked{tail}",
        )


class ShutdownWatch:
    """Nothing more goes down after something did not."""

    def __init__(self, _client: Client, plan: Plan) -> None:
        self._nodes = sum(item.target.kind == "node" for item in plan.items)

    def find_trouble(self) -> str:
        """A cluster that is going down is not measured by what is still there."""
        return ""

    def judge_end(self, outcomes: Sequence[ItemOutcome]) -> Ending:
        """What is off, and the way back."""
        good = [each for each in outcomes if each.status in {"done", "already"}]
        guests = [each for each in outcomes if each.target.kind in {"qemu", "lxc"}]
        down = sum(each.target.kind in {"qemu", "lxc"} for each in good)
        off = sum(each.target.kind == "node" for each in good)
        told = f"{down} of {len(guests)} guests are down"
        if self._nodes:
            told += f", {off} of {self._nodes} nodes are off"
        is_done = len(good) == len(outcomes)
        back = "when the nodes are on again" if self._nodes else "to start them again"
        return Ending(is_done, f"{told}; {back}: `pve cluster bring-back`")
