"""After a lost answer: what became of a call that was sent, or may have been sent.

PVE has no idempotency keys, so the cluster is looked at: a task of ours, of the right kind,
about the right guest, begun since the call; and the state that the call was to bring about.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Literal, NamedTuple

from pveops.api.port import api_path
from pveops.api.tasks import list_tasks
from pveops.engine.goals import look, wait_for_goal
from pveops.engine.goals.sight import Sight
from pveops.errors import AccessError, PveopsError
from pveops.operations.plan import NO_ID, Call, Item, WaitState

if TYPE_CHECKING:
    from pveops.api.client import Client
    from pveops.clock import Clock

_LOOKS_S = (0.0, 1.0, 2.0, 4.0)
"""Pauses before each look: a worker is registered before PVE answers, but a request may still
lie in a proxy's queue."""
_SLACK_S = 2
"""Task start times have a resolution of one second."""
_FARTHEST_S = 86_400
"""How far a node's clock may be from ours where it cannot be asked for its time."""


class Sent(NamedTuple):
    """When a call was sent, in seconds since the epoch.

    own: by our clock, which may be set meanwhile. server: by that of the server that had answered
    last, whose pace is the cluster's.
    """

    own: float
    server: float

    def age_s(self, client: Client, clock: Clock) -> float:
        """How long ago that is, at most."""
        return max(0.0, clock.now() - self.own, client.server_time() - self.server)


class Settlement(NamedTuple):
    """What was found.

    adopted: exactly one task of ours was found; `upid` names it. reached: no task, but the state
    is as wanted. not-executed: the node answered, there is no such task, and the state is as it
    was. unknown: nobody could look, or what was found does not tell.
    """

    verdict: Literal["adopted", "reached", "not-executed", "unknown"]
    upid: str = ""
    sight: Sight | None = None
    why: str = ""


def settle(
    client: Client,
    clock: Clock,
    item: Item,
    number: int,
    *,
    sent: Sent,
    auth_id: str,
    known_upids: frozenset[str],
) -> Settlement:
    """Find out what became of the call that is step `number` of an item. Only reads.

    auth_id: `user@realm!token` as tasks carried it then.
    known_upids: tasks of ours that belong to other calls.
    """
    call = item.steps[number]
    if not isinstance(call, Call):
        raise TypeError(f"step {number} is no call")
    window = _find_window(client, clock, call, item, sent) if call.task_types else None
    goal = next((step for step in item.steps[number:] if isinstance(step, WaitState)), None)
    for pause_s in _LOOKS_S:
        clock.sleep(pause_s)
        try:
            found, doubtful = _find_tasks(client, item, call, window, auth_id, known_upids)
        except AccessError as error:
            return Settlement("unknown", why=error.message)
        except PveopsError as error:
            why, found, doubtful = error.message, None, []
        if found and len(found) == 1:
            return Settlement("adopted", upid=found[0])
        if found:
            return Settlement("unknown", why=f"{len(found)} tasks of ours fit: {', '.join(found)}")
    if found is None:
        return Settlement("unknown", why=why)
    if doubtful:
        told = f"{', '.join(doubtful)} may be it: the clock of its node cannot be read"
        return Settlement("unknown", why=told)
    return _by_state(client, clock, item, call, goal)


class _Window(NamedTuple):
    """By the node's clock: tasks since `begins` are new; those since `earliest` may be."""

    begins: int
    earliest: int


def _find_window(client: Client, clock: Clock, call: Call, item: Item, sent: Sent) -> _Window:
    """Start times of tasks are the node's own; the endpoint's and ours may be others.

    PVE tells the time to whoever has Sys.Audit on the node (`GET /nodes/{node}/time`).
    """
    path = api_path("nodes", call.task_node or item.target.node, "time")
    now: object = None
    with contextlib.suppress(PveopsError):
        told = client.get(path)
        now = told.get("time") if isinstance(told, dict) else None
    is_known = isinstance(now, int | float)
    here = float(now) if isinstance(now, int | float) else client.server_time()
    begins = int(here - sent.age_s(client, clock)) - _SLACK_S
    return _Window(begins, begins if is_known else begins - _FARTHEST_S)


def _find_tasks(
    client: Client,
    item: Item,
    call: Call,
    window: _Window | None,
    auth_id: str,
    known: frozenset[str],
) -> tuple[list[str], list[str]]:
    """The tasks that fit, and those that would if the node's clock is behind."""
    if window is None:
        return [], []
    subject = "" if call.task_id == NO_ID else call.task_id or item.target.id
    # Tasks that are about no guest, such as downloads, are told apart by their whole id below.
    rows = list_tasks(
        client,
        call.task_node or item.target.node,
        since=window.earliest,
        vmid=int(subject) if subject.isdecimal() else None,
        source="all",
    )
    fitting = [
        row.upid
        for row in rows
        if row.upid.type in call.task_types
        and row.upid.user == auth_id
        and row.upid.id == subject
        and row.upid.starttime >= window.earliest
        and str(row.upid) not in known
    ]
    return (
        [str(upid) for upid in fitting if upid.starttime >= window.begins],
        [str(upid) for upid in fitting if upid.starttime < window.begins],
    )


def _by_state(
    client: Client, clock: Clock, item: Item, call: Call, goal: WaitState | None
) -> Settlement:
    """No task of ours was found: tell by the state of the target.

    The node's task list shows a token its own tasks always, and PVE registers a worker before it
    answers. So without a task, a state that is as it was means that nothing was executed.
    """
    if goal is None:
        return Settlement("unknown", why="the call leaves no trace that could be read back")
    if call.is_late:
        sight = wait_for_goal(client, clock, item.target, goal, item.before, goal.timeout_s)
    else:
        sight = look(client, item.target, goal, item.before)
    if not sight.is_known:
        return Settlement("unknown", why=sight.why)
    if call.is_late and not sight.is_reached:
        return Settlement("unknown", sight=sight, why=f"it is still {sight.word}")
    held = goal.holds_already or _was_reached(item, goal.state)
    if sight.is_reached and not held:
        return Settlement("reached", sight=sight)
    if sight.is_reached and not call.task_types:
        return Settlement("unknown", sight=sight, why="the state was as wanted before, too")
    return Settlement("not-executed", sight=sight)


_WORDS = {"power.running": "running", "power.stopped": "stopped", "power.paused": "paused"}


def _was_reached(item: Item, goal: str) -> bool:
    """Whether the state before already looked like the goal (a reset: running before, too)."""
    return goal in _WORDS and _WORDS[goal] == item.before.get("power")
