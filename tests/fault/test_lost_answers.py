"""Answers that are lost where clocks differ, tokens change, or several calls look alike."""

from __future__ import annotations

import email.utils
from pathlib import Path

import pytest

from pveops.api.client import Client
from pveops.api.decorators import ReadOnly
from pveops.api.port import Request, Response, Transport
from pveops.clock import Clock
from pveops.engine.apply import apply_plan, resume_run
from pveops.engine.approve import Consent
from pveops.engine.change import request_change
from pveops.engine.outcome import ItemOutcome
from pveops.engine.request import Ask
from tests.fault.test_matrix import KilledError, kill_at
from tests.world import World, join_world, make_world

CALL = "/status/(reset|reboot)$"


class OtherClock:
    """The endpoint tells a time of its own; it may be another node than the guest's."""

    def __init__(self, inner: Transport, ahead_s: float) -> None:
        self._inner = inner
        self._ahead_s = ahead_s

    def send(self, request: Request) -> Response:
        response = self._inner.send(request)
        date = response.headers.get("date")
        if not date:
            return response
        at = email.utils.parsedate_to_datetime(date).timestamp() + self._ahead_s
        headers = {**response.headers, "date": email.utils.formatdate(at, usegmt=True)}
        return response._replace(headers=headers)

    def close(self) -> None:
        self._inner.close()


def lose(world: World, operation: str, kind: str) -> tuple[int, ItemOutcome]:
    """The calls that had an effect, and what is said of them."""
    change = request_change(world.session, Ask(operation, ("web02",)))
    assert change.plan_id
    world.cluster.faults.add(kind=kind, method="POST", path=CALL)
    before = len(world.effects())
    receipt = apply_plan(world.session, change.plan_id, Consent("code", world.code))
    return len(world.effects()) - before, receipt.items[0]


def skew(world: World, *, endpoint_s: float = 0.0, node_s: float = 0.0) -> None:
    """The endpoint's clock, or that of the guest's node, is ahead."""
    clock = world.cluster.timeline
    transport = OtherClock(world.requests, endpoint_s)
    world.session = world.session._replace(
        reader=Client(ReadOnly(transport), clock),
        make_writer=lambda tier=3: Client(transport, clock),
    )
    for node in world.cluster.nodes.values():
        node.clock_offset_s = node_s


@pytest.mark.parametrize("operation", ["guest.reset", "guest.reboot"])
@pytest.mark.parametrize("ahead_s", [-3600, -4, 4, 3600])
@pytest.mark.parametrize("which", ["endpoint_s", "node_s"])
def test_clocks_that_differ_make_no_executed_call_one_that_never_was(
    which: str, ahead_s: int, operation: str, tmp_path: Path
) -> None:
    world = make_world(tmp_path)
    skew(world, **{which: ahead_s})
    effects, item = lose(world, operation, "lost-after")
    assert (effects, item.status) == (1, "done"), item.message


@pytest.mark.parametrize("ahead_s", [-3600, 0, 3600])
def test_a_call_that_never_was_is_told_whatever_the_clocks_say(
    ahead_s: int, tmp_path: Path
) -> None:
    world = make_world(tmp_path)
    skew(world, node_s=ahead_s)
    assert lose(world, "guest.reset", "lost-after")[0] == 1  # an earlier one of the same kind
    world.cluster.faults.clear()
    world.cluster.timeline.advance(60)
    effects, item = lose(world, "guest.reset", "lost-before")
    assert (effects, item.status) == (0, "not-executed"), item.message


@pytest.mark.parametrize(("ahead_s", "status"), [(0, "done"), (-60, "unknown")])
def test_without_the_nodes_time_a_task_that_may_be_ours_is_unknown(
    ahead_s: int, status: str, tmp_path: Path
) -> None:
    """A token without Sys.Audit on the node may not ask for its time."""
    world = make_world(tmp_path)
    skew(world, node_s=ahead_s)
    world.cluster.faults.add(
        kind="refuse",
        method="GET",
        path="/time$",
        status=403,
        reason="Permission check failed",
        times=0,
    )
    effects, item = lose(world, "guest.reset", "lost-after")
    assert (effects, item.status) == (1, status), item.message


def test_a_token_that_was_replaced_meanwhile_does_not_hide_what_the_old_one_did(
    tmp_path: Path,
) -> None:
    world = make_world(tmp_path)
    change = request_change(world.session, Ask("guest.reset", ("web02",)))
    world.cluster.faults.add(kind="lost-after", method="POST", path=CALL)
    kill_at(world, 2, before=False)
    with pytest.raises(KilledError):
        apply_plan(world.session, change.plan_id or "", Consent("code", world.code))
    world.cluster.timeline.advance(300)
    heir = join_world(tmp_path, world.seed).session._replace(auth_id="agent@pve!ops-b")
    item = resume_run(heir, heir.store.list_runs()[0].id).items[0]
    assert len(world.effects()) == 1
    assert item.status == "done", item.message


class SetClock:
    """Our clock, after somebody has set it. It is no longer the pace of the cluster's."""

    def __init__(self, inner: Clock, by_s: float) -> None:
        self._inner = inner
        self._by_s = by_s

    def now(self) -> float:
        return self._inner.now() + self._by_s

    def monotonic(self) -> float:
        return self._inner.monotonic()

    def sleep(self, seconds: float) -> None:
        self._inner.sleep(seconds)


@pytest.mark.parametrize("by_s", [-3600, 3600])
def test_our_clock_that_was_set_meanwhile_does_not_hide_what_was_done(
    by_s: int, tmp_path: Path
) -> None:
    world = make_world(tmp_path)
    change = request_change(world.session, Ask("guest.reset", ("web02",)))
    world.cluster.faults.add(kind="lost-after", method="POST", path=CALL)
    kill_at(world, 2, before=False)
    with pytest.raises(KilledError):
        apply_plan(world.session, change.plan_id or "", Consent("code", world.code))
    world.cluster.timeline.advance(300)
    heir = join_world(tmp_path, world.seed).session
    heir = heir._replace(clock=SetClock(heir.clock, by_s))
    item = resume_run(heir, heir.store.list_runs()[0].id).items[0]
    assert len(world.effects()) == 1
    assert item.status == "done", item.message


@pytest.mark.parametrize(("kind", "count"), [("lost-before", 1), ("lost-after", 2)])
def test_one_of_several_deletions_is_not_taken_for_another(
    kind: str, count: int, tmp_path: Path
) -> None:
    """PVE calls the tasks of all deletions of a guest's backups on a storage alike."""
    world = make_world(tmp_path)
    ask = Ask("backup.prune", ("web02",), params={"keep_last": 1})
    change = request_change(world.session, ask)
    plan = change.proposal.plan
    assert plan is not None
    deletions = [step for step in plan.items[0].steps if getattr(step, "method", "") == "DELETE"]
    assert len(deletions) > 1
    world.cluster.faults.add(kind=kind, method="DELETE", path="/content/", after=1)
    receipt = apply_plan(world.session, change.plan_id or "", Consent("code", world.code))
    item = receipt.items[0]
    if kind == "lost-before":
        assert (len(world.effects()), item.status) == (count, "failed")
        assert "the call never took effect" in item.message
    else:
        assert (len(world.effects()), item.status) == (len(deletions), "done"), item.message
