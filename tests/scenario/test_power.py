"""Guests restarted, and many started and stopped in their order."""

from __future__ import annotations

from pathlib import Path

import pytest

from pveops.engine.apply import apply_plan
from pveops.engine.approve import Consent
from pveops.engine.change import Change, request_change
from pveops.engine.outcome import Receipt
from pveops.engine.request import Ask
from pveops.errors import AmbiguousError, PveopsError
from pveops.operations.plan import Scalar
from pveops.operations.startup import Startup, parse_startup
from pveops.sim.tasks import Task
from tests.scenario.test_configuration import guest_of, plan_of
from tests.world import World, make_world


def ask(world: World, verb: str, *names: str, **params: Scalar) -> Change:
    return request_change(world.session, Ask(f"guest.{verb}", names, params=params))


def agree(world: World, change: Change) -> Receipt:
    if change.receipt is not None:
        return change.receipt
    return apply_plan(world.session, change.plan_id, Consent("code", world.code))


def tasks_of(world: World, *kinds: str) -> list[Task]:
    every = [task for node in world.cluster.nodes.values() for task in node.tasks.values()]
    found = [task for task in every if task.upid.type in kinds and task.endtime]
    return sorted(found, key=lambda task: task.upid.starttime)


# -- "restart web01" -----------------------------------------------------------------


def test_restart_web01_is_a_clean_reboot_that_is_seen_to_have_happened(tmp_path: Path) -> None:
    world = make_world(tmp_path)
    web01 = guest_of(world, "web01")
    assert web01.process is not None
    pid = web01.process.pid
    change = ask(world, "reboot", "web01")
    assert plan_of(change).items[0].headline == "RUNNING 40d"
    assert world.writes() == []
    receipt = agree(world, change)
    assert receipt.status == "done", receipt
    assert web01.process is not None
    assert web01.process.pid != pid
    assert int(receipt.items[0].after["uptime_s"] or 0) < 60


def test_a_restart_tells_what_it_will_put_into_effect(tmp_path: Path) -> None:
    world = make_world(tmp_path)
    plan = plan_of(ask(world, "reboot", "reports"))
    assert any("take effect: memory" in finding.message for finding in plan.findings)


@pytest.mark.parametrize(
    ("name", "said"),
    [("batch", "paused"), ("gitlab", "locked"), ("mail01", "io-error"), ("dns02", "stopped")],
)
def test_what_cannot_be_restarted_is_refused_with_the_way_out(
    name: str, said: str, tmp_path: Path
) -> None:
    world = make_world(tmp_path)
    with pytest.raises(PveopsError, match=said) as caught:
        ask(world, "reboot", name)
    assert "pve " in caught.value.hint
    assert world.writes() == []


def test_two_guests_of_that_name_are_asked_about(tmp_path: Path) -> None:
    with pytest.raises(AmbiguousError):
        ask(make_world(tmp_path), "reboot", "test")


def test_a_guest_that_ignores_the_button_is_a_failure_with_the_hard_way_named(
    tmp_path: Path,
) -> None:
    world = make_world(tmp_path)
    receipt = agree(world, ask(world, "reboot", "legacy-erp", timeout=20))
    assert receipt.exit_code == 10
    assert receipt.items[0].status == "failed"
    assert guest_of(world, "legacy-erp").is_running


# -- many, in their order ------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "startup"),
    [
        ("", Startup()),
        ("3", Startup(3)),
        ("order=1,up=30,down=120", Startup(1, 30, 120)),
        ("up=15", Startup(None, 15)),
        ("order=x,down=", Startup()),
    ],
)
def test_the_startup_option_is_read_as_pve_reads_it(text: str, startup: Startup) -> None:
    assert parse_startup(text) == startup


def test_many_stop_in_the_reverse_of_the_order_in_which_they_start(tmp_path: Path) -> None:
    world = make_world(tmp_path, seed="three-node-ceph")
    names = ("web01", "db02", "app01", "ci01")
    change = ask(world, "shutdown", *names)
    order = [f.message for f in plan_of(change).findings if f.code == "guest.startup-order"]
    assert order == ["4 steps by startup order: ci01; web01; app01; db02"]
    assert agree(world, change).status == "done"
    stopped = tasks_of(world, "qmshutdown", "hastop")
    assert list(dict.fromkeys(task.upid.id for task in stopped)) == ["108", "106", "103", "102"]

    assert agree(world, ask(world, "start", *names)).status == "done"
    started = tasks_of(world, "qmstart", "hastart")
    began = {task.upid.id: task.upid.starttime for task in reversed(started)}
    assert sorted(began, key=lambda vmid: began[vmid]) == ["102", "103", "106", "108"]
    # db02 has `up=30`: the next order waits for it.
    assert began["103"] >= began["102"] + 30


def test_one_alone_waits_for_nobody(tmp_path: Path) -> None:
    world = make_world(tmp_path, seed="three-node-ceph")
    agree(world, ask(world, "shutdown", "db02"))
    receipt = agree(world, ask(world, "start", "db02"))
    assert receipt.status == "done"
    assert receipt.items[0].duration_s < 30


def test_one_that_fails_half_way_is_told_and_the_others_go_on(tmp_path: Path) -> None:
    world = make_world(tmp_path, seed="three-node-ceph")
    guest_of(world, "app01").temper.shutdown_s = None
    receipt = agree(world, ask(world, "shutdown", "web02", "app01", "app02", timeout=20))
    assert (receipt.status, receipt.exit_code) == ("partial", 11)
    statuses = {item.target.name: item.status for item in receipt.items}
    assert statuses == {"web02": "done", "app01": "failed", "app02": "done"}


def test_the_time_that_startup_gives_a_shutdown_is_waited_for(tmp_path: Path) -> None:
    world = make_world(tmp_path, seed="three-node-ceph")
    ci01 = guest_of(world, "ci01")
    ci01.config["startup"] = "down=200"
    ci01.temper.shutdown_s = 150.0
    assert agree(world, ask(world, "shutdown", "ci01")).status == "done"
