"""Does the backup of web02 work? Tried apart from everybody, and cleared away."""

from __future__ import annotations

from pathlib import Path

import pytest

from pveops.domain.selection import Selector
from pveops.engine.apply import apply_plan, resume_run
from pveops.engine.approve import Consent
from pveops.engine.change import request_change
from pveops.engine.request import Ask
from pveops.errors import NotFoundError, PreflightError
from tests.fault.test_matrix import EXECUTED, KilledError, kill_at
from tests.scenario.test_configuration import agree, ask, guest_of, plan_of
from tests.world import World, join_world, make_world

NAMES = ["qemu", "config", "start", "stop", "DELETE"]


def names(world: World) -> list[str]:
    return [
        "DELETE" if row["method"] == "DELETE" else row["path"].rpartition("/")[2]
        for row in world.effects()
    ]


def leftovers(world: World) -> list[str]:
    return [g.name for g in world.cluster.guests.values() if g.name.startswith("drill-")]


def test_a_backup_that_boots_has_passed_and_nothing_is_left(tmp_path: Path) -> None:
    world = make_world(tmp_path)
    before = set(world.cluster.guests)
    change = ask(world, "backup.drill", "web02")
    plan = plan_of(change)
    assert plan.tier == 2
    assert plan.items[0].headline.startswith("NEW FOR A WHILE, from the backup of web02, 7h old")
    receipt = agree(world, change)
    assert receipt.status == "done", receipt
    assert "bootable: its guest agent answered" in receipt.items[0].message
    assert receipt.items[0].message.endswith("; gone")
    assert set(world.cluster.guests) == before
    assert names(world) == NAMES
    put = next(row for row in world.effects() if row["method"] == "PUT")
    assert "link_down=1" in str(put)
    assert guest_of(world, "web02").process is not None


def test_a_container_is_tried_as_well(tmp_path: Path) -> None:
    world = make_world(tmp_path)
    receipt = agree(world, ask(world, "backup.drill", "proxy"))
    assert receipt.status == "done", receipt
    assert "it is a container" in receipt.items[0].message
    assert leftovers(world) == []


def test_one_that_does_not_start_has_failed_and_is_cleared_away(tmp_path: Path) -> None:
    world = make_world(tmp_path)
    change = ask(world, "backup.drill", "web02")
    world.cluster.faults.add("task-error", method="POST", path="/start$", reason="no bootable")
    receipt = agree(world, change)
    assert (receipt.status, receipt.exit_code) == ("failed", 10)
    assert "not running" in receipt.items[0].message
    assert leftovers(world) == []


def test_many_are_tried_one_after_the_other(tmp_path: Path) -> None:
    world = make_world(tmp_path)
    change = request_change(world.session, Ask("backup.drill", selector=Selector(tags=("home",))))
    receipt = apply_plan(world.session, change.plan_id, Consent("code", world.code))
    assert receipt.status == "done", receipt
    assert len(receipt.items) == 4
    assert leftovers(world) == []


def test_without_a_backup_there_is_nothing_to_try(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="no backup of scratch"):
        ask(make_world(tmp_path), "backup.drill", "scratch")


def test_a_guest_that_is_no_trial_any_more_is_never_removed(tmp_path: Path) -> None:
    """Somebody took the scratch guest over while it ran."""
    world = make_world(tmp_path)
    change = ask(world, "backup.drill", "web02")
    write = world.session.store.write_entry

    def taking_over(run: str, item: int, kind: str, at: float, data: object) -> None:
        write(run, item, kind, at, data)
        if kind == "verdict":
            scratch = next(g for g in world.cluster.guests.values() if g.name == "drill-web02")
            scratch.config["tags"] = "prod"

    world.session.store.write_entry = taking_over  # type: ignore[method-assign]
    receipt = agree(world, change)
    assert receipt.status == "failed"
    assert "DELETE" not in names(world)
    assert leftovers(world) == ["drill-web02"]
    assert receipt.items[0].undo == "pve guest delete drill-web02 --without-backup"


def test_what_an_earlier_trial_left_is_told(tmp_path: Path) -> None:
    world = make_world(tmp_path)
    guest_of(world, "sandbox").config["hostname"] = "drill-web02"
    with pytest.raises(PreflightError, match="an earlier trial broke off"):
        ask(world, "backup.drill", "web02")


@pytest.mark.parametrize("fault", ["lost-after", "596", "truncated"])
@pytest.mark.parametrize(
    "call",
    [
        {"method": "POST", "path": r"/qemu$"},
        {"method": "PUT", "path": r"/config$"},
        {"method": "POST", "path": r"/status/start$"},
        {"method": "POST", "path": r"/status/stop$"},
        {"method": "DELETE", "path": r"/qemu/\d+$"},
    ],
    ids=NAMES,
)
def test_a_lost_answer_to_any_call_is_settled(
    call: dict[str, str], fault: str, tmp_path: Path
) -> None:
    world = make_world(tmp_path)
    change = ask(world, "backup.drill", "web02")
    world.cluster.faults.add(**call, **EXECUTED[fault])
    receipt = agree(world, change)
    assert receipt.status == "done", receipt
    assert names(world) == NAMES


@pytest.mark.parametrize("before", [True, False], ids=["before", "after"])
@pytest.mark.parametrize("line", range(1, 16))
def test_a_killed_trial_is_picked_up(line: int, before: bool, tmp_path: Path) -> None:
    world = make_world(tmp_path)
    change = ask(world, "backup.drill", "web02")
    kill_at(world, line, before=before)
    with pytest.raises(KilledError):
        apply_plan(world.session, change.plan_id, Consent("code", world.code))
    heir = join_world(tmp_path, world.seed)
    receipt = resume_run(heir.session, heir.session.store.list_runs()[0].id)
    assert receipt.status in {"done", "not-executed", "failed"}, receipt
    done = names(world)
    assert len(done) == len(set(done))
    if receipt.status == "done":
        assert leftovers(world) == []
