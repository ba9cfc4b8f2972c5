"""A target with several calls: each happens at most once, and what has happened is told."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from pveops.engine.apply import apply_plan, resume_run, store_plan
from pveops.engine.approve import Consent
from pveops.engine.change import request_change
from pveops.engine.request import Ask, propose
from pveops.operations.plan import Call, WaitState, WaitTask
from tests.fault.test_matrix import EXECUTED, NEVER_EXECUTED, KilledError, kill_at
from tests.world import World, join_world, make_world

STOP, START = r"/status/stop$", r"/status/start$"
LINES_OF_THE_FIRST_CALL = 3
"""intent, answer, task."""


def plan_stop_and_start(world: World) -> str:
    """One item that stops web02 and starts it again, in a plan that asks nobody."""
    proposal = propose(world.session, Ask("guest.start", ("windows-lab",)))
    stop = propose(world.session, Ask("guest.stop", ("web02",))).plan
    assert proposal.plan is not None
    assert stop is not None
    (item,) = stop.items
    path = f"/nodes/{item.target.node}/qemu/{item.target.id}/status/start"
    steps = (
        *item.steps,
        Call("POST", path, task_types=("qmstart",), does="start it"),
        WaitTask(60.0),
        WaitState("power.running", 30.0),
    )
    item = msgspec.structs.replace(item, steps=steps)
    return store_plan(world.session, msgspec.structs.replace(proposal.plan, items=(item,))).id


def names(world: World) -> list[str]:
    return [row["path"].rpartition("/")[2] for row in world.effects()]


def test_every_call_is_carried_out_in_its_order(tmp_path: Path) -> None:
    world = make_world(tmp_path)
    receipt = apply_plan(world.session, plan_stop_and_start(world), Consent("policy"))
    assert receipt.status == "done", receipt
    assert receipt.items[0].after["power"] == "running"
    assert names(world) == ["stop", "start"]


@pytest.mark.parametrize("fault", NEVER_EXECUTED)
def test_a_second_call_that_never_happened_leaves_the_first_told(
    fault: str, tmp_path: Path
) -> None:
    world = make_world(tmp_path)
    plan = plan_stop_and_start(world)
    world.cluster.faults.add(method="POST", path=START, **NEVER_EXECUTED[fault])
    receipt = apply_plan(world.session, plan, Consent("policy"))
    item = receipt.items[0]
    assert names(world) == ["stop"]
    assert item.status in {"failed", "unknown"}, item
    assert receipt.exit_code not in {0, 8}
    if item.status == "failed":
        assert item.message.startswith("done before that: guest.start; then ")


@pytest.mark.parametrize("fault", EXECUTED)
@pytest.mark.parametrize("path", [STOP, START])
def test_a_lost_answer_to_either_call_is_settled(path: str, fault: str, tmp_path: Path) -> None:
    world = make_world(tmp_path)
    plan = plan_stop_and_start(world)
    world.cluster.faults.add(method="POST", path=path, **EXECUTED[fault])
    receipt = apply_plan(world.session, plan, Consent("policy"))
    assert receipt.status == "done", receipt
    assert names(world) == ["stop", "start"]


@pytest.mark.parametrize("line", range(1, 8))
@pytest.mark.parametrize("before", [True, False], ids=["before", "after"])
def test_a_killed_run_goes_on_where_it_was(before: bool, line: int, tmp_path: Path) -> None:
    world = make_world(tmp_path)
    plan = plan_stop_and_start(world)
    kill_at(world, line, before=before)
    with pytest.raises(KilledError):
        apply_plan(world.session, plan, Consent("policy"))
    heir = join_world(tmp_path, world.seed)
    receipt = resume_run(heir.session, heir.session.store.list_runs()[0].id)
    done = names(world)
    assert len(done) == len(set(done))
    if receipt.status == "done":
        assert done == ["stop", "start"]
    else:
        assert receipt.items[0].status in {"failed", "not-executed"}, receipt
    assert heir.session.audit.verify().is_whole


def test_what_is_left_is_not_begun_after_the_plan_expired(tmp_path: Path) -> None:
    world = make_world(tmp_path)
    plan = plan_stop_and_start(world)
    kill_at(world, LINES_OF_THE_FIRST_CALL, before=False)
    with pytest.raises(KilledError):
        apply_plan(world.session, plan, Consent("policy"))
    world.cluster.timeline.advance(4000)
    heir = join_world(tmp_path, world.seed)
    receipt = resume_run(heir.session, heir.session.store.list_runs()[0].id)
    assert (receipt.status, receipt.exit_code) == ("failed", 9)
    assert names(world) == ["stop"]


def test_another_guest_in_the_place_is_not_touched_on_resumption(tmp_path: Path) -> None:
    world = make_world(tmp_path)
    plan = plan_stop_and_start(world)
    kill_at(world, LINES_OF_THE_FIRST_CALL, before=False)
    with pytest.raises(KilledError):
        apply_plan(world.session, plan, Consent("policy"))
    guest = next(g for g in world.cluster.guests.values() if g.name == "web02")
    guest.config["smbios1"] = "uuid=another"
    heir = join_world(tmp_path, world.seed)
    receipt = resume_run(heir.session, heir.session.store.list_runs()[0].id)
    assert (receipt.status, receipt.exit_code) == ("failed", 9)
    assert names(world) == ["stop"]


@pytest.mark.parametrize("line", [2, 3])
def test_a_run_killed_after_a_task_failed_remembers_that_it_did(line: int, tmp_path: Path) -> None:
    """The state looks as wanted, as it did before: only the task's word tells (line 3)."""
    world = make_world(tmp_path)
    guest = world.cluster.guests[102]
    guest.snapshots["old"] = {**guest.config, "snaptime": int(world.cluster.timeline.now())}
    guest.config["parent"] = "old"
    ask = Ask("snapshot.rollback", ("web02",), params={"snapname": "old"})
    change = request_change(world.session, ask)
    world.cluster.faults.add("task-error", method="POST", path="/rollback$", reason="no space")
    kill_at(world, line, before=False)
    with pytest.raises(KilledError):
        apply_plan(world.session, change.plan_id, Consent("code", world.code))
    heir = join_world(tmp_path, world.seed)
    item = resume_run(heir.session, heir.session.store.list_runs()[0].id).items[0]
    assert item.status == "failed", item
    assert "no space" in item.message
