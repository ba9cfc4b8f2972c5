"""Making what does not exist yet, under every fault: at most once, never adopting a stranger."""

from __future__ import annotations

from pathlib import Path

import pytest

from pveops.engine.apply import apply_plan, resume_run
from pveops.engine.approve import Consent
from pveops.engine.change import request_change
from pveops.engine.request import Ask
from pveops.operations.plan import Call
from tests.fault.test_matrix import EXECUTED, NEVER_EXECUTED, KilledError, kill_at
from tests.world import World, join_world, make_world

URL = "https://cloud.debian.org/images/cloud/trixie/latest/debian-13-genericcloud-amd64.qcow2"
CASES: dict[str, Ask] = {
    "container": Ask("guest.create", ("box",), params={"template": "debian-ct", "node": "pve1"}),
    "empty-vm": Ask("guest.create", ("box",), params={"template": "minimal-vm", "node": "pve1"}),
    "cloud-vm": Ask(
        "guest.create", ("box",), params={"template": "debian-cloud-vm", "start": True}
    ),
    "download": Ask(
        "storage.download", ("local",), params={"url": URL, "content": "import", "node": "pve2"}
    ),
}
PATHS = {
    "container": [("POST", r"/lxc$")],
    "empty-vm": [("POST", r"/qemu$")],
    "cloud-vm": [("POST", r"/qemu$"), ("PUT", r"/resize$"), ("POST", r"/status/start$")],
    "download": [("POST", r"/download-url$")],
}
CALLS = [(case, number) for case, paths in PATHS.items() for number in range(len(paths))]
LINES = [(case, line) for case, paths in PATHS.items() for line in range(1, 3 * len(paths) + 2)]
"""Each call has intent, answer and the end of its task; the outcome comes last."""


def plan_of(world: World, case: str) -> tuple[str, Consent]:
    change = request_change(world.session, CASES[case])
    assert change.proposal.plan is not None
    calls = [step for step in change.proposal.plan.items[0].steps if isinstance(step, Call)]
    assert len(calls) == len(PATHS[case])
    return change.plan_id, Consent("code", world.code)


def fault_at(case: str, number: int) -> dict[str, str]:
    method, path = PATHS[case][number]
    return {"method": method, "path": path}


def made(world: World) -> list[str]:
    return [guest.name for guest in world.cluster.guests.values() if guest.name == "box"]


@pytest.mark.parametrize("fault", EXECUTED)
@pytest.mark.parametrize(("case", "number"), CALLS)
def test_a_lost_answer_is_settled(case: str, number: int, fault: str, tmp_path: Path) -> None:
    world = make_world(tmp_path)
    plan, consent = plan_of(world, case)
    world.cluster.faults.add(**fault_at(case, number), **EXECUTED[fault])
    receipt = apply_plan(world.session, plan, consent)
    assert receipt.status == "done", receipt
    assert len(world.effects()) == len(PATHS[case])
    assert len(made(world)) == (case != "download")


@pytest.mark.parametrize("fault", NEVER_EXECUTED)
@pytest.mark.parametrize(("case", "number"), CALLS)
def test_what_never_happened_is_told(case: str, number: int, fault: str, tmp_path: Path) -> None:
    world = make_world(tmp_path)
    plan, consent = plan_of(world, case)
    world.cluster.faults.add(**fault_at(case, number), **NEVER_EXECUTED[fault])
    item = apply_plan(world.session, plan, consent).items[0]
    assert len(world.effects()) == number
    assert item.status in {"failed", "unknown", "not-executed"}
    if number and item.status == "failed":
        assert "done before that: create box" in item.message
        assert item.undo == "pve guest delete box"


@pytest.mark.parametrize("case", PATHS)
def test_a_failed_task_is_no_success(case: str, tmp_path: Path) -> None:
    world = make_world(tmp_path)
    plan, consent = plan_of(world, case)
    world.cluster.faults.add("task-error", **fault_at(case, 0), reason="no space left on device")
    item = apply_plan(world.session, plan, consent).items[0]
    assert item.status == "failed"
    assert "no space left" in item.message
    assert item.undo == ""


@pytest.mark.parametrize("before", [True, False], ids=["before", "after"])
@pytest.mark.parametrize(("case", "line"), LINES)
def test_a_killed_run_is_picked_up(case: str, line: int, before: bool, tmp_path: Path) -> None:
    world = make_world(tmp_path)
    plan, consent = plan_of(world, case)
    kill_at(world, line, before=before)
    with pytest.raises(KilledError):
        apply_plan(world.session, plan, consent)
    heir = join_world(tmp_path, world.seed)
    receipt = resume_run(heir.session, heir.session.store.list_runs()[0].id)
    assert receipt.items[0].status in {"done", "not-executed", "failed"}, receipt
    assert len(made(world)) <= 1
    paths = [entry["path"] for entry in world.effects()]
    assert len(paths) == len(set(paths))
    if receipt.status == "done":
        assert len(paths) == len(PATHS[case])
