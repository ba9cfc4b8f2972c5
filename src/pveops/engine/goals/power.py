"""Goals of the power verbs: predicates over the guest's state now and before."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

from pveops.domain.guest import GuestState
from pveops.engine.goals.place import read_where_it_is, ref_of
from pveops.engine.goals.sight import Look, Sight, Sought, Values
from pveops.operations.plan import Scalar

if TYPE_CHECKING:
    from pveops.api.client import Client


def _is_running(state: GuestState, _: Values) -> bool:
    return state.is_running and state.qmpstatus == "running"


def _is_stopped(state: GuestState, _: Values) -> bool:
    return not state.is_running


def _is_restarted(state: GuestState, before: Values) -> bool:
    if not _is_running(state, before):
        return False
    pid = before.get("pid")
    return state.pid != pid if pid and state.pid else state.uptime_s < int(before["uptime_s"] or 0)


def _is_paused(state: GuestState, _: Values) -> bool:
    return state.is_running and state.qmpstatus in {"paused", "suspended"}


def _is_hibernated(state: GuestState, _: Values) -> bool:
    return not state.is_running and state.lock == "suspended"


def _look(test: Callable[[GuestState, Values], bool], client: Client, sought: Sought) -> Sight:
    state = read_where_it_is(client, ref_of(sought.target))
    return Sight(test(state, sought.before), state.power, sight_of(state))


def sight_of(state: GuestState) -> dict[str, Scalar]:
    """A guest's state for receipts and records."""
    return {"power": state.power, "uptime_s": state.uptime_s, "node": state.ref.node}


def _look_up_for(client: Client, sought: Sought) -> Sight:
    """`expect`: `seconds` that the guest has to have run."""
    state = read_where_it_is(client, ref_of(sought.target))
    is_settled = state.is_running and state.uptime_s >= int(sought.expect["seconds"] or 0)
    return Sight(is_settled, state.power, sight_of(state))


GOALS: dict[str, Look] = {
    "power.running": partial(_look, _is_running),
    "power.stopped": partial(_look, _is_stopped),
    "power.restarted": partial(_look, _is_restarted),
    "power.paused": partial(_look, _is_paused),
    "power.hibernated": partial(_look, _is_hibernated),
    "power.up-for": _look_up_for,
}
