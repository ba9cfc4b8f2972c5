"""A run that was left unfinished is told, and what picks it up; without a request."""

from __future__ import annotations

from pathlib import Path

import pytest

from pveops.engine.apply import apply_plan, close_run, resume_run
from pveops.monitor.alerts import Seen
from pveops.monitor.own_runs import see_runs
from tests.commandline import Outcome, run_line
from tests.fault.test_matrix import CALL, KilledError, kill_at, plan_of
from tests.world import World, join_world, make_world

NOTHING = Seen(0, ())


def look(world: World, folder: Path) -> Outcome:
    world.cluster.timeline.advance(90)
    return run_line(world, folder, "pve monitor run")


def killed(folder: Path) -> tuple[World, str]:
    """A world in which the process that carried a run is gone, and the run."""
    world = make_world(folder)
    plan, consent = plan_of(world, "stop-vm")
    kill_at(world, 2, before=True)
    with pytest.raises(KilledError):
        apply_plan(world.session, plan, consent)
    heir = join_world(folder, world.seed)
    return heir, heir.session.store.list_runs()[0].id


def test_a_run_whose_process_is_gone_is_told_until_it_is_resumed(tmp_path: Path) -> None:
    world, run = killed(tmp_path)
    look(world, tmp_path)
    told = look(world, tmp_path)
    (line,) = (line for line in told.out.splitlines() if f"run/{run}" in line)
    assert line.startswith("warning run/")
    assert "guest.stop of" in line
    assert "its process is gone" in line
    status = run_line(world, tmp_path, "pve monitor status --json").json["data"]["items"]
    (alert,) = (each for each in status if each["finding"] == "run.abandoned")
    assert alert["remedy"] == f"pve run resume {run}"
    resume_run(world.session, run)
    outs = [look(world, tmp_path).out for _ in range(2)]
    assert [f"cleared run/{run}" in out for out in outs] == [False, True]


def test_a_run_that_a_person_has_closed_is_told_no_more(tmp_path: Path) -> None:
    world, run = killed(tmp_path)
    for _ in range(2):
        look(world, tmp_path)
    close_run(world.session, run)
    outs = [look(world, tmp_path).out for _ in range(2)]
    assert [f"cleared run/{run}" in out for out in outs] == [False, True]


def test_a_run_of_which_the_outcome_is_not_known_is_told(tmp_path: Path) -> None:
    world = make_world(tmp_path)
    plan, consent = plan_of(world, "stop-vm")
    world.cluster.faults.add("task-vanish", method="POST", path=CALL)
    receipt = apply_plan(world.session, plan, consent)
    assert receipt.status == "unknown"
    (found,) = see_runs(world.session.store, "sim", NOTHING).findings
    assert found.subject == f"run/{receipt.run}"
    assert "not known" in found.message


def test_a_run_that_went_well_and_another_profiles_run_are_not_told(tmp_path: Path) -> None:
    world, _ = killed(tmp_path)
    assert see_runs(world.session.store, "office", NOTHING) == NOTHING
    other = make_world(tmp_path / "other")
    plan, consent = plan_of(other, "stop-vm")
    assert apply_plan(other.session, plan, consent).status == "done"
    assert see_runs(other.session.store, "sim", NOTHING) == NOTHING


def test_a_run_that_another_host_carries_is_neither_told_nor_over(tmp_path: Path) -> None:
    world, run = killed(tmp_path)
    store = world.session.store
    row = store.get_run(run)
    assert store.adopt_run(row, row._replace(host="elsewhere.example"))
    for file in store.folder.rglob(f"*{run}*"):
        file.unlink()
    seen = see_runs(store, "sim", NOTHING)
    assert seen.findings == ()
    assert seen.unseen == (("run.abandoned", f"run/{run}"),)


def test_where_a_broker_keeps_the_runs_they_are_a_blind_spot(tmp_path: Path) -> None:
    world = make_world(tmp_path)
    line = "pve monitor run --json"
    data = run_line(world, tmp_path, line, broker="/run/nowhere.sock").json["data"]
    assert any("left unfinished" in spot for spot in data["blind_spots"])
