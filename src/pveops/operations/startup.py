"""The order in which guests start and stop together: their option `startup`. Pure.

PVE starts a node's guests by `order`, those without one last, and stops them the other way
round; `up` is how long it waits after a guest before the next order, `down` how long a shutdown
may take (pve-manager API2/Nodes.pm, startall and stopall).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import msgspec

from pveops.domain.guest import GuestConfig
from pveops.operations.plan import Item, Step, WaitState

UP_FOR = "power.up-for"
_LAST = 1 << 20
_STOPPING = frozenset({"shutdown", "stop"})
_ORDERED = _STOPPING | {"start", "reboot"}
_SLACK_S = 60.0


class Startup(NamedTuple):
    """`order=2,up=30,down=120`; what is not said is None."""

    order: int | None = None
    up_s: int | None = None
    down_s: int | None = None


def parse_startup(text: str) -> Startup:
    """What the option says; a bare number is the order (PVE::JSONSchema, pve-startup-order)."""
    found: dict[str, int] = {}
    for part in text.split(","):
        key, _, value = part.strip().rpartition("=")
        if value.isdecimal():
            found[key or "order"] = int(value)
    return Startup(found.get("order"), found.get("up"), found.get("down"))


def stage_of(verb: str, config: GuestConfig) -> int:
    """When a guest's turn comes among several; 0 for verbs that know no order."""
    if verb not in _ORDERED:
        return 0
    order = parse_startup(config.get("startup")).order
    turn = _LAST if order is None else min(order, _LAST - 1)
    return -turn if verb in _STOPPING else turn


def settling_step(verb: str, config: GuestConfig) -> tuple[Step, ...]:
    """After a start: that the guest has been up for as long as the next order has to wait."""
    up_s = parse_startup(config.get("startup")).up_s
    if verb != "start" or not up_s:
        return ()
    return (WaitState(UP_FOR, up_s + _SLACK_S, {"seconds": up_s}),)


def arrange(items: Sequence[Item]) -> tuple[Item, ...]:
    """In the order of their stages; nobody waits for what no later stage waits for."""
    last = max((item.stage for item in items), default=0)
    return tuple(
        item if item.stage < last else _unsettled(item)
        for item in sorted(items, key=lambda item: item.stage)
    )


def _unsettled(item: Item) -> Item:
    steps = tuple(
        step for step in item.steps if not isinstance(step, WaitState) or step.state != UP_FOR
    )
    return item if len(steps) == len(item.steps) else msgspec.structs.replace(item, steps=steps)


def describe_stages(items: Sequence[Item]) -> str:
    """`3 steps by startup order: db01; app01, app02; web01`; empty when all go together."""
    stages = sorted({item.stage for item in items})
    if len(stages) < 2:
        return ""
    groups = [
        ", ".join(item.target.name or item.target.id for item in items if item.stage == stage)
        for stage in stages
    ]
    return f"{len(stages)} steps by startup order: {'; '.join(groups)}"
