"""Guests under HA: put in, taken out, told what is wanted, and led out of an error.

What the manager does is PVE's (pve-ha-manager Manager.pm, LRM.pm, Resources/PVEVM.pm); changes
take Sys.Console on `/` (API2/HA/Resources.pm).
"""

from __future__ import annotations

from pathlib import Path

import pytest

from pveops.engine.apply import apply_plan
from pveops.engine.approve import Consent
from pveops.engine.change import Change, request_change
from pveops.engine.outcome import Receipt
from pveops.engine.request import Ask
from pveops.errors import PveopsError, UsageError
from pveops.operations.plan import Scalar
from tests.scenario.test_configuration import guest_of, plan_of
from tests.world import World, make_world


def world_of(folder: Path, version: str = "9.2", **more: str) -> World:
    """With a token that may change HA."""
    world = make_world(folder, version=version, **more)  # type: ignore[arg-type]
    world.cluster.access.roles["AgentOperate"] |= {"Sys.Console"}
    return world


def ask(world: World, verb: str, *names: str, **params: Scalar) -> Change:
    return request_change(world.session, Ask(f"ha.{verb}", names, params=params))


def agree(world: World, change: Change) -> Receipt:
    assert change.receipt is None
    return apply_plan(world.session, change.plan_id, Consent("code", world.code))


def break_start(world: World, name: str) -> None:
    """Its bridge is gone: every start fails, on each node."""
    guest = guest_of(world, name)
    guest.config["net0"] = str(guest.config["net0"]).replace("vmbr0", "vmbr9")


# -- to the end ----------------------------------------------------------------------


@pytest.mark.parametrize("version", ["8.4", "9.2"])
def test_a_guest_is_put_under_ha_and_taken_out_again(version: str, tmp_path: Path) -> None:
    world = world_of(tmp_path, version)
    change = ask(world, "add", "web02", max_restart=2)
    warned = [f.code for f in plan_of(change).findings]
    assert "ha.local-disks" in warned
    assert plan_of(change).items[0].undo == "pve ha remove 102"
    receipt = agree(world, change)
    assert receipt.status == "done", receipt
    assert world.cluster.ha.resources["vm:102"].options["max_restart"] == 2
    assert ask(world, "add", "web02", max_restart=2).proposal.plan is None

    out = agree(world, ask(world, "remove", "web02"))
    assert out.status == "done"
    assert "vm:102" not in world.cluster.ha.resources
    assert guest_of(world, "web02").is_running
    assert ask(world, "remove", "web02").proposal.plan is None


def test_a_stopped_guest_that_ha_wants_started_is_started_and_that_is_told(tmp_path: Path) -> None:
    world = world_of(tmp_path)
    change = ask(world, "add", "windows-lab")
    assert "ha.starts" in {f.code for f in plan_of(change).findings}
    assert agree(world, change).status == "done"
    assert guest_of(world, "windows-lab").is_running


def test_what_ha_is_told_to_stop_is_stopped_before_it_is_done(tmp_path: Path) -> None:
    world = world_of(tmp_path)
    change = ask(world, "set-state", "vault", state="stopped")
    assert "ha.stops" in {f.code for f in plan_of(change).findings}
    receipt = agree(world, change)
    assert receipt.status == "done", receipt
    assert not guest_of(world, "vault").is_running
    assert receipt.items[0].undo == "pve ha set-state 108 started"
    assert agree(world, ask(world, "set-state", "vault", state="started")).status == "done"
    assert guest_of(world, "vault").is_running
    assert ask(world, "set-state", "vault", state="started").proposal.plan is None


def test_ha_moves_a_guest(tmp_path: Path) -> None:
    world = world_of(tmp_path)
    receipt = agree(world, ask(world, "migrate", "vault", node="pve3"))
    assert receipt.status == "done", receipt
    assert guest_of(world, "vault").node == "pve3"


def test_an_error_is_cleared_when_its_cause_is_mended(tmp_path: Path) -> None:
    world = world_of(tmp_path)
    agree(world, ask(world, "set-state", "vault", state="stopped"))
    break_start(world, "vault")
    failed = agree(world, ask(world, "set-state", "vault", state="started"))
    assert failed.exit_code in {8, 10}
    world.cluster.timeline.advance(300)
    assert world.cluster.ha.resources["vm:108"].current == "error"

    change = ask(world, "reset", "vault")
    cause = [f.message for f in plan_of(change).findings if f.code == "ha.cause"]
    assert "bridge 'vmbr9' does not exist" in cause[0]
    guest = guest_of(world, "vault")
    guest.config["net0"] = str(guest.config["net0"]).replace("vmbr9", "vmbr0")
    change = ask(world, "reset", "vault")
    receipt = agree(world, change)

    assert receipt.status == "done", receipt
    assert world.cluster.ha.resources["vm:108"].current == "started"
    assert guest.is_running


# -- refused -------------------------------------------------------------------------


def test_a_token_without_the_right_is_told_what_root_can_type(tmp_path: Path) -> None:
    world = make_world(tmp_path)
    with pytest.raises(PveopsError, match=r"Sys\.Console") as caught:
        ask(world, "add", "web02")
    assert caught.value.hint == "root on a node: `ha-manager add vm:102 --state started`"
    assert world.writes() == []


@pytest.mark.parametrize("verb", ["set-state", "reset", "migrate"])
def test_what_ha_does_not_manage_is_refused(verb: str, tmp_path: Path) -> None:
    world = world_of(tmp_path)
    params: dict[str, dict[str, Scalar]] = {
        "set-state": {"state": "stopped"},
        "migrate": {"node": "pve3"},
    }
    with pytest.raises(PveopsError, match="HA does not manage it"):
        ask(world, verb, "web02", **params.get(verb, {}))


def test_templates_unknown_states_and_groups_of_old_are_refused(tmp_path: Path) -> None:
    world = world_of(tmp_path)
    with pytest.raises(PveopsError, match="template"):
        ask(world, "add", "debian-13-template")
    with pytest.raises(UsageError, match="no state for HA"):
        ask(world, "set-state", "vault", state="running")
    with pytest.raises(PveopsError, match="rules in place of groups"):
        ask(world, "add", "web02", group="fast")


def test_in_error_nothing_but_a_reset_is_taken(tmp_path: Path) -> None:
    world = world_of(tmp_path)
    world.cluster.ha.resources["vm:108"].current = "error"
    with pytest.raises(PveopsError, match="state error") as caught:
        ask(world, "set-state", "vault", state="stopped")
    assert caught.value.hint == "pve ha reset 108"
    world.cluster.ha.resources["vm:108"].current = "started"
    assert ask(world, "reset", "vault").proposal.plan is None


# -- half-way ------------------------------------------------------------------------


def test_an_error_whose_cause_is_still_there_comes_back_and_is_no_success(tmp_path: Path) -> None:
    world = world_of(tmp_path)
    agree(world, ask(world, "set-state", "vault", state="stopped"))
    break_start(world, "vault")
    world.cluster.ha.resources["vm:108"].current = "error"
    world.cluster.ha.resources["vm:108"].state = "started"
    receipt = agree(world, ask(world, "reset", "vault"))
    assert receipt.exit_code == 10
    assert "done before that: disable it" in receipt.items[0].message
    assert not guest_of(world, "vault").is_running


def test_what_changed_meanwhile_refuses_the_plan(tmp_path: Path) -> None:
    world = world_of(tmp_path)
    change = ask(world, "set-state", "vault", state="stopped")
    world.cluster.ha.resources["vm:108"].options["max_restart"] = 3
    receipt = agree(world, change)
    assert receipt.items[0].status == "not-executed"
    assert guest_of(world, "vault").is_running


@pytest.mark.parametrize("fault", ["lost-after", "hang-after", "596"])
def test_a_lost_answer_is_settled_by_what_is_configured(fault: str, tmp_path: Path) -> None:
    world = world_of(tmp_path)
    change = ask(world, "add", "web02")
    given = {"kind": "status-after", "status": 596} if fault == "596" else {"kind": fault}
    world.cluster.faults.add(**given, method="POST", path=r"/ha/resources$")  # type: ignore[arg-type]
    receipt = agree(world, change)
    assert receipt.status == "done", receipt
    assert "vm:102" in world.cluster.ha.resources


def test_rules_that_are_left_are_named(tmp_path: Path) -> None:
    world = world_of(tmp_path)
    rule = {"type": "node-affinity", "resources": "vm:108", "nodes": "pve1,pve2"}
    world.cluster.ha.rules["near"] = rule
    change = ask(world, "remove", "vault")
    lost = [f.message for f in plan_of(change).findings if f.code == "ha.rules-lost"]
    assert "near" in lost[0]
    assert agree(world, change).status == "done"
    assert world.cluster.ha.rules == {}
