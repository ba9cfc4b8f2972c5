"""Pools made, filled and emptied; what follows is told before (pve-manager API2/Pool.pm)."""

from __future__ import annotations

from pathlib import Path

import pytest

from pveops.engine.apply import apply_plan
from pveops.engine.approve import Consent
from pveops.engine.change import Change, request_change
from pveops.engine.outcome import Receipt
from pveops.engine.request import Ask
from pveops.errors import AccessError, NotFoundError, PveopsError, UsageError
from pveops.operations.plan import Scalar
from tests.commandline import run_line
from tests.scenario.test_configuration import plan_of
from tests.world import World, make_world


def ask(world: World, verb: str, pool: str, **params: Scalar) -> Change:
    return request_change(world.session, Ask(f"pool.{verb}", (pool,), params=params))


def agree(world: World, change: Change) -> Receipt:
    if change.receipt is not None:
        return change.receipt
    return apply_plan(world.session, change.plan_id, Consent("code", world.code))


def members(world: World, pool: str) -> set[int]:
    return world.cluster.pools.by_id[pool].vmids


# -- to the end ----------------------------------------------------------------------


def test_a_pool_is_made_filled_emptied_and_deleted(tmp_path: Path) -> None:
    world = make_world(tmp_path)
    assert agree(world, ask(world, "create", "media", comment="films")).status == "done"
    assert ask(world, "create", "media").proposal.plan is None
    change = ask(world, "add", "media", members="jellyfin,photos", storage="backups")
    assert plan_of(change).items[0].headline == "GAINS jellyfin, photos, backups"
    assert plan_of(change).items[0].undo == "pve pool remove media 110 113 --storage backups"
    assert agree(world, change).status == "done"
    assert members(world, "media") == {110, 113}
    assert ask(world, "add", "media", members="jellyfin").proposal.plan is None
    with pytest.raises(PveopsError, match="not empty"):
        ask(world, "delete", "media")
    agree(world, ask(world, "remove", "media", members="110,113", storage="backups"))
    assert agree(world, ask(world, "delete", "media")).status == "done"
    assert "media" not in world.cluster.pools.by_id


def test_the_commands_are_those_of_the_help(tmp_path: Path) -> None:
    world = make_world(tmp_path)
    assert run_line(world, tmp_path, "pve pool create lab --comment 'to play'").code == 0
    outcome = run_line(world, tmp_path, "pve pool add lab jellyfin mqtt")
    assert outcome.code == 3
    assert "GAINS jellyfin, mqtt" in outcome.out
    assert run_line(world, tmp_path, "pve pool add lab").code == 2


# -- refused -------------------------------------------------------------------------


def test_a_guest_is_in_one_pool_unless_it_is_to_leave_the_other(tmp_path: Path) -> None:
    world = make_world(tmp_path)
    with pytest.raises(PveopsError, match="belongs to the pool production"):
        ask(world, "add", "sandbox", members="web01")
    assert agree(world, ask(world, "add", "sandbox", members="web01", move=True)).status == "done"
    assert 101 in members(world, "sandbox")
    assert 101 not in members(world, "production")


def test_leaving_the_pool_of_a_backup_job_takes_more_consent(tmp_path: Path) -> None:
    world = make_world(tmp_path)
    job = world.cluster.backup_jobs["nightly"]
    job.pop("all")
    job.pop("exclude")
    job["pool"] = "production"
    change = ask(world, "remove", "production", members="web02,web01")
    assert plan_of(change).tier == 3
    assert "will not take web02, web01 any more" in world.messages[-1]
    world.cluster.pools.by_id["production"].vmids.clear()
    with pytest.raises(PveopsError, match="the backup job nightly takes this pool"):
        ask(world, "delete", "production")


def test_what_is_not_there_is_not_found(tmp_path: Path) -> None:
    world = make_world(tmp_path)
    with pytest.raises(NotFoundError, match="there is no pool"):
        ask(world, "add", "nope", members="web01")
    with pytest.raises(NotFoundError):
        ask(world, "add", "sandbox", members="nobody")
    with pytest.raises(PveopsError, match="no storage 'floppy'"):
        ask(world, "add", "sandbox", storage="floppy")
    with pytest.raises(UsageError):
        ask(world, "create", "9 lives")
    assert world.writes() == []


# -- half-way ------------------------------------------------------------------------


@pytest.mark.parametrize("fault", ["lost-after", "hang-after"])
def test_a_lost_answer_is_settled_by_the_members(fault: str, tmp_path: Path) -> None:
    world = make_world(tmp_path)
    change = ask(world, "add", "sandbox", members="jellyfin")
    world.cluster.faults.add(fault, method="PUT", path=r"/pools$")
    receipt = agree(world, change)
    assert receipt.status == "done", receipt
    assert 110 in members(world, "sandbox")


def test_members_that_changed_meanwhile_refuse_the_plan(tmp_path: Path) -> None:
    world = make_world(tmp_path)
    change = ask(world, "remove", "sandbox", members="scratch")
    world.cluster.pools.by_id["sandbox"].vmids.add(110)
    receipt = agree(world, change)
    assert receipt.items[0].status == "not-executed"
    assert 211 in members(world, "sandbox")


def test_without_the_right_it_is_an_access_error(tmp_path: Path) -> None:
    world = make_world(tmp_path)
    world.cluster.access.roles["AgentOperate"] -= {"Pool.Allocate"}
    receipt = agree(world, ask(world, "create", "media"))
    assert receipt.exit_code == AccessError.exit_code
