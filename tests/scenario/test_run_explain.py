"""`pve run explain`: what is left, what may be repeated, and what a person decides."""

from __future__ import annotations

from pathlib import Path

import pytest

from pveops.cli.run import look_at
from pveops.engine.apply import apply_plan
from pveops.engine.approve import Consent
from pveops.engine.change import request_change
from pveops.engine.explain import Explanation, Progress, explain_run
from pveops.engine.request import Ask
from pveops.operations.plan import decode_plan
from tests.commandline import run_line
from tests.fault.test_matrix import EXECUTED, NEVER_EXECUTED, KilledError, kill_at
from tests.world import World, make_world


def explained(world: World) -> tuple[Explanation, ...]:
    store = world.session.store
    row = store.list_runs()[0]
    plan = decode_plan(store.get_plan(row.plan).json)
    from pveops.engine.apply import read_receipt

    return explain_run(row.id, plan, Progress(read_receipt(row), store.read_entries(row.id)))


def carry_out(world: World, ask: Ask) -> None:
    change = request_change(world.session, ask)
    if change.receipt is None:
        apply_plan(world.session, change.plan_id, Consent("code", world.code))


def test_a_run_that_ends_while_one_looks_is_not_taken_for_left_unfinished(tmp_path: Path) -> None:
    """Its row was read as running, and its process had ended when that was looked for."""
    world = make_world(tmp_path)
    carry_out(world, Ask("guest.shutdown", ("web02",)))
    store = world.session.store
    (ended,) = store.list_runs()
    stale = ended._replace(state="running", pid=2**22, receipt=None)
    assert look_at(store, stale) == (ended, "done")


def test_what_went_well_needs_nothing(tmp_path: Path) -> None:
    world = make_world(tmp_path)
    carry_out(world, Ask("guest.shutdown", ("web02",)))
    (told,) = explained(world)
    assert (told.status, told.steps, told.missing) == ("done", (), ())
    out = run_line(world, tmp_path, f"pve run explain {world.session.store.list_runs()[0].id}").out
    assert "is whole: nothing is left to do" in out


def test_a_refused_call_is_offered_again_word_by_word(tmp_path: Path) -> None:
    world = make_world(tmp_path)
    world.cluster.faults.add(method="PUT", path="/config$", **NEVER_EXECUTED["refused"])
    params = {"memory": 8192, "option": "net0=firewall=1\nciuser=me", "onboot": "off"}
    carry_out(world, Ask("guest.set", ("web02",), params=params))
    (told,) = explained(world)
    assert told.status == "not-executed"
    assert told.steps == (
        "pve guest set 102 --memory 8192 --onboot off --option net0=firewall=1 --option ciuser=me",
    )


def test_an_unknown_outcome_is_never_offered_for_repetition(tmp_path: Path) -> None:
    world = make_world(tmp_path)
    change = request_change(world.session, Ask("guest.reboot", ("web02",)))
    world.cluster.faults.add(method="POST", path="/status/reboot$", **EXECUTED["lost-after"])
    world.cluster.faults.add("refuse", path="/tasks", status=595, reason="No route", times=0)
    apply_plan(world.session, change.plan_id, Consent("code", world.code))
    (told,) = explained(world)
    assert told.status == "unknown"
    assert told.steps[0].startswith("pve run resume run_")
    assert not any("reboot" in step for step in told.steps)
    assert told.steps[-1].startswith("a person: look at it")


def test_what_happened_before_a_failure_is_told_with_the_way_back(tmp_path: Path) -> None:
    world = make_world(tmp_path)
    carry_out(world, Ask("guest.delete", ("legacy-erp",), params={"timeout": 30}))
    (told,) = explained(world)
    assert told.status == "failed"
    assert told.happened == ("shut down",), "the call was taken; the guest ignored it"
    assert told.missing == ("mark as deleted",)
    assert "pve guest delete 114 --timeout 30" in told.steps
    assert told.steps[0].startswith("pve task log UPID:")


def test_a_run_whose_process_is_gone_is_picked_up(tmp_path: Path) -> None:
    world = make_world(tmp_path)
    change = request_change(world.session, Ask("guest.shutdown", ("web02", "wiki")))
    kill_at(world, 2, before=False)
    with pytest.raises(KilledError):
        apply_plan(world.session, change.plan_id, Consent("code", world.code))
    told = explained(world)
    open_ = [each for each in told if each.status in {"left", "not begun"}]
    assert open_, told
    assert all(each.steps[0].startswith("pve run resume run_") for each in open_)


def test_a_run_at_work_is_waited_for_and_not_called_left(tmp_path: Path) -> None:
    """This very process carries it out; its task has begun and is not through."""
    world = make_world(tmp_path)
    store = world.session.store
    write, told = store.write_entry, []

    def watching(run: str, item: int, kind: str, at: float, data: object) -> None:
        write(run, item, kind, at, data)
        if kind == "answer":
            told.append(run_line(world, tmp_path, f"pve run explain {run}").out)

    store.write_entry = watching  # type: ignore[method-assign]
    carry_out(world, Ask("guest.shutdown", ("web02",)))
    assert "0 of 1 are whole" in told[0]
    assert "102\tweb02\tat work" in told[0]
    assert "next: pve run wait run_" in told[0]
    assert "resume" not in told[0]
