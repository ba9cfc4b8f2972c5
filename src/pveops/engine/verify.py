"""Reading back: a change is done when the cluster shows it, whatever its task says.

Each goal is a predicate over the target's state now and before; `wait-state` steps name one.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, NamedTuple

from pveops.api.tasks import TaskStatus, get_status
from pveops.domain.guest import GuestRef, GuestState, read_guest_state
from pveops.domain.inventory import read_inventory
from pveops.errors import NotFoundError, UnreachableError
from pveops.operations.plan import Scalar, Target

if TYPE_CHECKING:
    from pveops.api.client import Client
    from pveops.clock import Clock

_FIRST_S = 0.5
_GROWTH = 1.5
_LONGEST_S = 3.0

Before = Mapping[str, Scalar]
Goal = Callable[[GuestState, Before], bool]


def _is_running(state: GuestState, _: Before) -> bool:
    return state.is_running and state.qmpstatus == "running"


def _is_stopped(state: GuestState, _: Before) -> bool:
    return not state.is_running


def _is_restarted(state: GuestState, before: Before) -> bool:
    if not _is_running(state, before):
        return False
    pid = before.get("pid")
    return state.pid != pid if pid and state.pid else state.uptime_s < int(before["uptime_s"] or 0)


def _is_paused(state: GuestState, _: Before) -> bool:
    return state.is_running and state.qmpstatus in {"paused", "suspended"}


def _is_hibernated(state: GuestState, _: Before) -> bool:
    return not state.is_running and state.lock == "suspended"


GOALS: dict[str, Goal] = {
    "power.running": _is_running,
    "power.stopped": _is_stopped,
    "power.restarted": _is_restarted,
    "power.paused": _is_paused,
    "power.hibernated": _is_hibernated,
}


class Sight(NamedTuple):
    """What a look at the target has shown. `state` is None when nobody could look."""

    is_reached: bool
    state: GuestState | TaskStatus | None
    why: str = ""

    @property
    def word(self) -> str:
        """The state in a word or two."""
        if self.state is None:
            return "unknown"
        if isinstance(self.state, GuestState):
            return self.state.power
        return "running" if self.state.is_running else f"ended ({self.state.exitstatus})"

    @property
    def after(self) -> dict[str, Scalar]:
        """The state for receipts and records."""
        if self.state is None:
            return {"power": "unknown"}
        if isinstance(self.state, TaskStatus):
            return {"status": self.word, "node": self.state.upid.node}
        return {
            "power": self.state.power,
            "uptime_s": self.state.uptime_s,
            "node": self.state.ref.node,
        }


def look(client: Client, target: Target, goal: str, before: Before) -> Sight:
    """One look at the target, on the node where it is now. Never raises for a dead node."""
    if target.kind == "task":
        return _look_at_task(client, target)
    ref = GuestRef(int(target.id), "lxc" if target.kind == "lxc" else "qemu", target.node, "")
    try:
        state = _read_where_it_is(client, ref)
    except (UnreachableError, NotFoundError) as error:
        return Sight(False, None, error.message)
    return Sight(GOALS[goal](state, before), state)


def _look_at_task(client: Client, target: Target) -> Sight:
    """The one goal for a task is its end."""
    try:
        status = get_status(client, target.id)
    except (UnreachableError, NotFoundError) as error:
        return Sight(False, None, error.message)
    return Sight(not status.is_running, status)


def _read_where_it_is(client: Client, ref: GuestRef) -> GuestState:
    try:
        return read_guest_state(client, ref)
    except NotFoundError:
        # HA may have started it elsewhere: look its place up, once.
        for guest in read_inventory(client).guests:
            if guest.vmid == ref.vmid and guest.node != ref.node:
                return read_guest_state(client, guest.ref)
        raise


def wait_for_goal(
    client: Client, clock: Clock, target: Target, goal: str, before: Before, timeout_s: float
) -> Sight:
    """Look until the goal is reached or the time is up; the last sight is returned."""
    deadline = clock.monotonic() + timeout_s
    pause = _FIRST_S
    while True:
        sight = look(client, target, goal, before)
        if sight.is_reached or clock.monotonic() >= deadline:
            return sight
        clock.sleep(min(pause, max(0.0, deadline - clock.monotonic())))
        pause = min(pause * _GROWTH, _LONGEST_S)
