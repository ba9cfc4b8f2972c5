"""Reading back: a change is done when the cluster shows it, whatever its task says.

Each goal is one way of looking; `wait-state` steps name one, `noun.state`, and the noun is the
module of this package that holds it.
"""

from __future__ import annotations

import importlib
from types import MappingProxyType
from typing import TYPE_CHECKING

from pveops.engine.goals.sight import Look, Sight, Sought, unknown
from pveops.errors import NotFoundError, UnreachableError
from pveops.operations.plan import Target, WaitState

if TYPE_CHECKING:
    from pveops.api.client import Client
    from pveops.clock import Clock
    from pveops.engine.goals.sight import Values

_FIRST_S = 0.5
_GROWTH = 1.5
_LONGEST_S = 3.0


def find_look(goal: str) -> Look:
    """How a goal is looked at. Raises KeyError for one that does not exist: our bug."""
    noun = goal.partition(".")[0]
    table: dict[str, Look] = importlib.import_module(f"pveops.engine.goals.{noun}").GOALS
    return table[goal]


def look(
    client: Client,
    target: Target,
    step: WaitState,
    before: Values,
    answer: Values = MappingProxyType({}),
) -> Sight:
    """One look at the target. Never raises for what is gone, or for a dead node."""
    try:
        return find_look(step.state)(client, Sought(target, before, step.expect, answer))
    except (UnreachableError, NotFoundError) as error:
        return unknown(error.message)


def wait_for_goal(
    client: Client,
    clock: Clock,
    target: Target,
    step: WaitState,
    before: Values,
    timeout_s: float,
    answer: Values = MappingProxyType({}),
) -> Sight:
    """Look until the goal is reached or the time is up; the last sight is returned."""
    deadline = clock.monotonic() + timeout_s
    pause = _FIRST_S
    while True:
        sight = look(client, target, step, before, answer)
        if sight.is_reached or sight.is_over or clock.monotonic() >= deadline:
            return sight
        clock.sleep(min(pause, max(0.0, deadline - clock.monotonic())))
        pause = min(pause * _GROWTH, _LONGEST_S)
