"""`node.evacuate`: every guest of a node to the others, so that it can be switched off."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from pveops.domain.facts import Scene
from pveops.domain.inventory import Inventory
from pveops.domain.move import read_move_facts, read_move_scene
from pveops.domain.selection import resolve_guest
from pveops.domain.votes import read_votes
from pveops.engine.pool import run_bounded
from pveops.errors import NodeUnreachableError, UsageError
from pveops.operations.decision import Decision
from pveops.operations.findings import Finding
from pveops.operations.move_choice import read_choice
from pveops.operations.node_power_checks import check_votes
from pveops.operations.plan import Scalar, Target
from pveops.units import format_bytes
from pveops.workflows.allocator import Allocation
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

_SPARE = 1


def read_evacuation(client: Client, scene: Scene) -> Sequence[Traveller | Resting]:
    """The guests of the node that is named, and where each goes: five requests a guest.

    Raises NotFoundError and UsageError for nodes and guests that do not fit.
    """
    source = _get_node(scene)
    left = guests_left(scene.inventory, words_of(scene, "leave"))
    targets = _targets(scene, source)
    leaving = [g for g in scene.inventory.guests if g.node == source and g.vmid not in left]
    if not leaving:
        # An empty node is no guest, but it is what was asked about.
        node = Target("node", source, source, source)
        return [Resting(node, f"empty{_staying(scene, left)}")]
    around = read_move_scene(client, source, targets, scene)
    nodes = [source] * len(leaving)
    facts = run_bounded(nodes, lambda i: read_move_facts(client, leaving[i], scene, around))
    rooms = [room_of(around.sheets[name], scene) for name in targets if _is_up(scene, name)]
    asked = scene.params.get("spare")
    spare = int(str(asked)) if asked is not None else _SPARE
    travellers, allocation = place_travellers(
        facts,
        read_choice(_scalars(scene), ""),
        rooms,
        spare=spare,
        is_strict=asked is not None,
    )
    remarks = (
        *check_downtime(travellers),
        *check_votes(read_votes(client, scene.inventory), source),
        *_check_spare(allocation, spare, is_strict=asked is not None),
        *_check_left(scene, source, left),
        *_check_ceph(scene, source),
    )
    return (travellers[0]._replace(remarks=remarks), *travellers[1:])


def decide_evacuate(
    _operation: str, found: Traveller | Resting, _params: dict[str, Scalar]
) -> Decision:
    """One guest of the evacuation. Pure."""
    if isinstance(found, Resting):
        return Decision(found.target, (), is_already_so=True, state=found.state)
    return decide_traveller(found, lambda vmid: f"leave it where it is: --leave {vmid}")


def guests_left(inventory: Inventory, words: Sequence[str]) -> frozenset[int]:
    """The vmids that the words name. Raises NotFoundError, AmbiguousError."""
    return frozenset(resolve_guest(inventory, word).vmid for word in words)


def _get_node(scene: Scene) -> str:
    name = scene.names[0] if scene.names else ""
    node = scene.inventory.get_node(name)
    if not node.is_online:
        raise NodeUnreachableError(
            f"{name} is {node.status}: nothing can be moved off it",
            hint="HA recovers what it manages; look at the nodes with `pve status`",
        )
    return name


def _targets(scene: Scene, source: str) -> tuple[str, ...]:
    wanted = words_of(scene, "target")
    for name in wanted:
        scene.inventory.get_node(name)
    if source in wanted:
        raise UsageError(f"{source} cannot be both the node to empty and a target")
    return tuple(wanted) or tuple(sorted({node.name for node in scene.inventory.nodes} - {source}))


def _is_up(scene: Scene, name: str) -> bool:
    """Online, and not being emptied by HA itself."""
    node = scene.inventory.find_node(name)
    return node is not None and node.is_online and node.hastate != "maintenance"


def words_of(scene: Scene, name: str) -> tuple[str, ...]:
    """A parameter of several words."""
    return tuple(filter(None, str(scene.params.get(name) or "").split(",")))


def _scalars(scene: Scene) -> dict[str, Scalar]:
    return {
        key: value
        for key, value in scene.params.items()
        if value is None or isinstance(value, str | int | float | bool)
    }


# -- about the whole ----------------------------------------------------------------


def _check_spare(allocation: Allocation, spare: int, *, is_strict: bool) -> Iterator[Finding]:
    if allocation.spare_short_bytes and not is_strict:
        what = "a further node" if spare == 1 else f"{spare} further nodes"
        yield Finding(
            "memory.no-spare",
            "warn",
            "cluster",
            f"afterwards {what} may not fail: {format_bytes(allocation.spare_short_bytes)} of "
            "memory are missing to take over the guests",
            remedy=f"--spare {spare} leaves guests where they are rather than that",
        )


def _check_left(scene: Scene, source: str, left: frozenset[int]) -> Iterator[Finding]:
    for guest in scene.inventory.guests:
        if guest.vmid in left and guest.node == source and guest.status != "stopped":
            yield Finding(
                "node.not-empty",
                "warn",
                f"node/{source}",
                f"{guest.ref.label} stays there and is {guest.status}, as asked",
                remedy=f"before the node is switched off: `pve guest shutdown {guest.vmid}`",
            )


def _check_ceph(scene: Scene, source: str) -> Iterator[Finding]:
    kinds = {each.type for each in scene.inventory.storages if each.node == source}
    if kinds & {"rbd", "cephfs"}:
        yield Finding(
            "ceph.noout",
            "info",
            f"node/{source}",
            "Ceph is in use: before the node is switched off, tell it not to move data away",
            remedy="as root, if the node holds OSDs: `ceph osd ok-to-stop`, `ceph osd set noout`",
        )


def _staying(scene: Scene, left: frozenset[int]) -> str:
    names = [guest.ref.label for guest in scene.inventory.guests if guest.vmid in left]
    return f" but for {', '.join(names)}" if names else ": it has no guests"
