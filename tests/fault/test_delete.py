"""Deleting a guest has three calls: each happens at most once, whatever breaks between them."""

from __future__ import annotations

from pathlib import Path

import pytest

from pveops.engine.apply import apply_plan, resume_run
from pveops.engine.approve import Consent
from pveops.engine.change import request_change
from pveops.engine.request import Ask
from pveops.sim.guest import Guest
from tests.fault.test_matrix import EXECUTED, NEVER_EXECUTED, KilledError, kill_at
from tests.world import World, join_world, make_world

CALLS = (
    {"method": "POST", "path": r"/vzdump$"},
    {"method": "POST", "path": r"/status/shutdown$"},
    {"method": "PUT", "path": r"/config$"},
)
LINES = 8
"""Two calls with intent, answer and task; one with intent and answer; then the outcome."""


def make_old_world(folder: Path) -> World:
    """Two days on, so that no backup is recent."""
    world = make_world(folder)
    world.cluster.timeline.advance(2 * 86_400)
    return world


def plan_delete(world: World) -> tuple[str, Consent]:
    change = request_change(world.session, Ask("guest.delete", ("web02",)))
    return change.plan_id, Consent("code", world.code)


def names(world: World) -> list[str]:
    return [row["path"].rpartition("/")[2] for row in world.effects()]


def guest_of(world: World) -> Guest:
    return world.cluster.guests[102]


@pytest.mark.parametrize("fault", EXECUTED)
@pytest.mark.parametrize("number", range(3))
def test_a_lost_answer_to_any_call_is_settled(number: int, fault: str, tmp_path: Path) -> None:
    world = make_old_world(tmp_path)
    plan, consent = plan_delete(world)
    world.cluster.faults.add(**CALLS[number], **EXECUTED[fault])
    receipt = apply_plan(world.session, plan, consent)
    assert receipt.status == "done", receipt
    assert names(world) == ["vzdump", "shutdown", "config"]


@pytest.mark.parametrize("fault", NEVER_EXECUTED)
@pytest.mark.parametrize("number", range(3))
def test_what_came_before_a_refused_call_is_told(number: int, fault: str, tmp_path: Path) -> None:
    world = make_old_world(tmp_path)
    plan, consent = plan_delete(world)
    world.cluster.faults.add(**CALLS[number], **NEVER_EXECUTED[fault])
    item = apply_plan(world.session, plan, consent).items[0]
    assert names(world) == ["vzdump", "shutdown", "config"][:number]
    assert item.status in {"failed", "unknown", "not-executed"}
    if number and item.status == "failed":
        assert item.message.startswith("done before that: back up to backups")
    assert "pveops-trash" not in str(guest_of(world).config["tags"])


@pytest.mark.parametrize("line", range(1, LINES + 1))
@pytest.mark.parametrize("before", [True, False], ids=["before", "after"])
def test_a_killed_deletion_goes_on_where_it_was(before: bool, line: int, tmp_path: Path) -> None:
    world = make_old_world(tmp_path)
    plan, consent = plan_delete(world)
    kill_at(world, line, before=before)
    with pytest.raises(KilledError):
        apply_plan(world.session, plan, consent)
    heir = join_world(tmp_path, world.seed)
    receipt = resume_run(heir.session, heir.session.store.list_runs()[0].id)
    assert receipt.status in {"done", "not-executed", "failed"}, receipt
    assert len(names(world)) == len(set(names(world)))
    if receipt.status == "done":
        assert "pveops-trash" in str(guest_of(world).config["tags"])


def test_asking_again_takes_up_what_was_left(tmp_path: Path) -> None:
    """The backup is there and the guest is down: only the mark is missing."""
    world = make_old_world(tmp_path)
    plan, consent = plan_delete(world)
    world.cluster.faults.add(**CALLS[2], **NEVER_EXECUTED["refused"])
    assert apply_plan(world.session, plan, consent).items[0].status == "failed"
    again, code = plan_delete(world)
    assert apply_plan(world.session, again, code).status == "done"
    assert names(world) == ["vzdump", "shutdown", "config"]
