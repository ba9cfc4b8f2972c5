"""Snapshots, from an operator's words to the end state of the simulated cluster."""

from __future__ import annotations

from pathlib import Path

import pytest

from pveops.domain.selection import Selector
from pveops.engine.apply import apply_plan
from pveops.engine.approve import Consent
from pveops.engine.change import Change, request_change
from pveops.engine.outcome import Receipt
from pveops.engine.request import Ask
from pveops.errors import ConsentInvalidError, PreflightError, UsageError
from pveops.operations.plan import Scalar
from pveops.sim.guest import Guest
from pveops.units import DAY_S
from tests.world import World, make_world


def ask(world: World, verb: str, guest: str, **params: Scalar) -> Change:
    return request_change(world.session, Ask(f"snapshot.{verb}", (guest,), params=params))


def agree(world: World, change: Change) -> Receipt:
    """The person agrees to what was asked for."""
    assert change.receipt is None
    return apply_plan(world.session, change.plan_id, Consent("code", world.code))


def guest_of(world: World, name: str) -> Guest:
    return next(guest for guest in world.cluster.guests.values() if guest.name == name)


def test_snapshot_all_prod_vms_before_the_update(tmp_path: Path) -> None:
    """Protected guests lift it to tier 2, so a person agrees; then each gets one, in turn."""
    world = make_world(tmp_path)
    selector = Selector(tags=("prod",))
    asked = Ask("snapshot.create", selector=selector, params={"snapname": "pre-update"})
    receipt = agree(world, request_change(world.session, asked))
    names = {item.target.name for item in receipt.items}
    guests = world.cluster.guests.values()
    assert names == {g.name for g in guests if "prod" in str(g.config.get("tags", "")).split(";")}
    assert {item.status for item in receipt.items} == {"done"}
    for name in names:
        assert "pre-update" in guest_of(world, name).snapshots
        assert guest_of(world, name).lock == ""


def test_an_unmarked_guest_is_snapshotted_at_once_under_a_name_with_the_day(
    tmp_path: Path,
) -> None:
    world = make_world(tmp_path)
    change = ask(world, "create", "web02")
    assert change.receipt is not None
    assert change.receipt.status == "done"
    (name,) = guest_of(world, "web02").snapshots
    assert name.startswith("pre-change-20")
    again = ask(world, "create", "web02")
    assert again.receipt is not None
    assert f"{name}-2" in guest_of(world, "web02").snapshots


def test_a_name_that_is_taken_is_refused_and_nothing_is_sent(tmp_path: Path) -> None:
    world = make_world(tmp_path)
    ask(world, "create", "web02", snapname="one")
    with pytest.raises(PreflightError, match="already"):
        ask(world, "create", "web02", snapname="one")
    assert len(world.effects()) == 1


@pytest.mark.parametrize("name", ["current", "pending", "x", "1st", "a b", "ä" * 5, "a" * 41])
def test_names_that_pve_refuses_are_refused_here(name: str, tmp_path: Path) -> None:
    world = make_world(tmp_path)
    with pytest.raises(UsageError):
        ask(world, "create", "web02", snapname=name)
    assert world.writes() == []


def test_one_guest_that_fails_leaves_the_others_done(tmp_path: Path) -> None:
    world = make_world(tmp_path)
    path = r"/qemu/102/snapshot$"
    world.cluster.faults.add("task-error", method="POST", path=path, reason="no space left")
    asked = Ask("snapshot.create", ("web02", "monitor"), params={"snapname": "both"})
    change = request_change(world.session, asked)
    receipt = change.receipt
    assert receipt is not None
    assert (receipt.status, receipt.exit_code) == ("partial", 11)
    by_name = {item.target.name: item for item in receipt.items}
    assert by_name["monitor"].status == "done"
    assert "no space left" in by_name["web02"].message


def test_back_to_yesterdays_snapshot_loses_what_came_since(tmp_path: Path) -> None:
    world = make_world(tmp_path)
    guest = guest_of(world, "web02")
    ask(world, "create", "web02", snapname="yesterday")
    guest.config["memory"] = 8192
    world.cluster.timeline.advance(DAY_S)
    change = ask(world, "rollback", "web02", snapname="yesterday")
    plan = change.proposal.plan
    assert plan is not None
    assert plan.tier == 3
    losses = " ".join(plan.items[0].losses)
    assert "1d ago" in losses
    assert "memory" in losses
    assert any("power is cut" in finding.message for finding in plan.findings)
    assert plan.items[0].undo == ""
    receipt = agree(world, change)
    assert receipt.status == "done", receipt
    assert guest.config.get("memory") != 8192
    assert guest.process is None


def test_a_newer_snapshot_blocks_the_way_back_on_zfs(tmp_path: Path) -> None:
    """`can't rollback, 'x' is not most recent snapshot` (ZFSPoolPlugin.pm)."""
    world = make_world(tmp_path)
    name = "mail01"
    guest = guest_of(world, name)
    assert str(guest.config["scsi0"]).startswith("fast:")
    for number, snapname in enumerate(("yesterday", "today")):
        guest.snapshots[snapname] = {**guest.config, "snaptime": 1_795_000_000 + number}
    with pytest.raises(PreflightError, match="newer snapshots stand in the way: today") as caught:
        ask(world, "rollback", name, snapname="yesterday")
    assert "pve snapshot delete" in caught.value.hint
    assert world.writes() == []


def test_pruning_spares_what_others_made(tmp_path: Path) -> None:
    world = make_world(tmp_path)
    guest = guest_of(world, "web02")
    for _ in range(3):
        ask(world, "create", "web02")
        world.cluster.timeline.advance(DAY_S)
    guest.snapshots["by-hand"] = {"snaptime": 1_700_000_000}
    change = ask(world, "prune", "web02", keep_last=1)
    plan = change.proposal.plan
    assert plan is not None
    assert len(plan.items[0].losses) == 2
    assert any("by-hand" in finding.message for finding in plan.findings)
    assert agree(world, change).status == "done"
    assert len(guest.snapshots) == 2
    assert "by-hand" in guest.snapshots


def test_pruning_without_a_rule_is_no_request(tmp_path: Path) -> None:
    world = make_world(tmp_path)
    with pytest.raises(UsageError):
        ask(world, "prune", "web02")


def test_what_is_gone_is_already_deleted(tmp_path: Path) -> None:
    change = ask(make_world(tmp_path), "delete", "web02", snapname="never")
    assert change.receipt is None
    assert change.proposal.plan is None


@pytest.mark.parametrize("verb", ["rollback", "delete"])
def test_no_words_of_an_agent_stand_in_for_the_code(verb: str, tmp_path: Path) -> None:
    world = make_world(tmp_path)
    ask(world, "create", "web02", snapname="one")
    change = ask(world, verb, "web02", snapname="one")
    for consent in (
        Consent("policy"),
        Consent("terminal", "web02"),
        Consent("terminal", "yes"),
        Consent("code", "AAAA-2222"),
    ):
        with pytest.raises(Exception, match=r"consent|code|terminal"):
            apply_plan(world.session, change.plan_id, consent)
    with pytest.raises(ConsentInvalidError):
        apply_plan(world.session, change.plan_id, Consent("code", ""))
    assert "one" in guest_of(world, "web02").snapshots
    assert len(world.effects()) == 1


def test_a_rollback_that_fails_is_no_success_even_where_the_state_looks_so(tmp_path: Path) -> None:
    """The present derives from the snapshot already, so the state alone tells nothing."""
    world = make_world(tmp_path)
    assert ask(world, "create", "web02", snapname="old").receipt
    change = ask(world, "rollback", "web02", snapname="old")
    world.cluster.faults.add("task-error", method="POST", path="/rollback$", reason="no space")
    receipt = agree(world, change)
    assert receipt.status == "failed"
    assert "no space" in receipt.items[0].message
