"""Backups that are there, and jobs, under every fault: at most one effect, and the truth."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest

from pveops.engine.apply import apply_plan, resume_run
from pveops.engine.approve import Consent
from pveops.engine.change import request_change
from pveops.engine.outcome import Receipt
from pveops.engine.request import Ask
from pveops.errors import AuthenticationError, StalePlanError
from pveops.operations.plan import Scalar
from pveops.sim.model import Cluster
from pveops.sim.seeds.furniture import add_backup
from pveops.sim.volume import Volume
from tests.fault.test_matrix import EXECUTED, NEVER_EXECUTED, KilledError, kill_at
from tests.world import World, join_world, make_world

CONTENT, JOBS = r"/content/", r"/cluster/backup(/|$)"


class Case(NamedTuple):
    """One write."""

    operation: str
    name: str
    """Empty: the oldest backup of web02."""
    params: dict[str, Scalar]
    method: str
    path: str
    has_task: bool
    is_done: Callable[[Cluster], bool]


def oldest(cluster: Cluster) -> Volume | None:
    """The oldest backup of web02 that the homelab begins with, if it is there still."""
    volumes = cluster.storages.backings["backups", ""].volumes.values()
    found = [volume for volume in volumes if volume.vmid == 102 and "2026_11_21" in volume.name]
    return found[0] if found else None


def is_protected(cluster: Cluster) -> bool:
    volume = oldest(cluster)
    return volume is not None and volume.is_protected


CASES: dict[str, Case] = {
    "protect": Case("backup.protect", "", {}, "PUT", CONTENT, False, is_protected),
    "unprotect": Case(
        "backup.unprotect", "", {}, "PUT", CONTENT, False, lambda c: not is_protected(c)
    ),
    "delete": Case("backup.delete", "", {}, "DELETE", CONTENT, True, lambda c: oldest(c) is None),
    "prune": Case(
        "backup.prune",
        "web02",
        {"keep_last": 2},
        "DELETE",
        CONTENT,
        True,
        lambda c: oldest(c) is None,
    ),
    "job-create": Case(
        "job.create",
        "weekly",
        {"schedule": "sat 03:00", "storage": "backups", "guest": "web01", "keep_last": 2},
        "POST",
        JOBS,
        False,
        lambda c: "weekly" in c.backup_jobs,
    ),
    "job-change": Case(
        "job.change",
        "nightly",
        {"schedule": "03:00"},
        "PUT",
        JOBS,
        False,
        lambda c: c.backup_jobs["nightly"]["schedule"] == "03:00",
    ),
    "job-disable": Case(
        "job.disable",
        "nightly",
        {},
        "PUT",
        JOBS,
        False,
        lambda c: not c.backup_jobs["nightly"]["enabled"],
    ),
    "job-enable": Case(
        "job.enable",
        "nightly",
        {},
        "PUT",
        JOBS,
        False,
        lambda c: bool(c.backup_jobs["nightly"]["enabled"]),
    ),
}
WITH_TASK = [name for name, case in CASES.items() if case.has_task]
LINES = [
    (name, line) for name, case in CASES.items() for line in range(1, 5 if case.has_task else 4)
]


def world_of(name: str, folder: Path) -> World:
    """A world in which the case is not done yet."""
    world = make_world(folder)
    volume = oldest(world.cluster)
    assert volume is not None
    volume.is_protected = name == "unprotect"
    world.cluster.backup_jobs["nightly"]["enabled"] = 0 if name == "job-enable" else 1
    assert not CASES[name].is_done(world.cluster)
    return world


def plan_of(world: World, name: str) -> tuple[str, Consent]:
    """A stored plan with the consent that it needs, whatever the policy says."""
    from pveops.engine.apply import store_plan
    from pveops.engine.request import propose

    case, volume = CASES[name], oldest(world.cluster)
    assert volume is not None
    ask = Ask(case.operation, (case.name or volume.volid,), params=case.params)
    proposal = propose(world.session, ask)
    assert proposal.plan is not None
    assert proposal.verdict is not None
    if proposal.verdict.action == "at_once":
        return store_plan(world.session, proposal.plan).id, Consent("policy")
    return request_change(world.session, ask).plan_id, Consent("code", world.code)


def check_truth(world: World, name: str, receipt: Receipt) -> None:
    """What the receipt says is what the simulated cluster has."""
    item, effects = receipt.items[0], world.effects()
    assert len(effects) <= 1, effects
    if item.status == "done":
        assert CASES[name].is_done(world.cluster)
        assert receipt.exit_code == 0
    if item.status == "not-executed":
        assert not CASES[name].is_done(world.cluster)
        assert effects == []
    if item.status == "unknown":
        assert receipt.exit_code == 13
    assert world.session.audit.verify().is_whole


@pytest.mark.parametrize("name", CASES)
def test_without_a_fault_it_is_done_once(name: str, tmp_path: Path) -> None:
    world = world_of(name, tmp_path)
    receipt = apply_plan(world.session, *plan_of(world, name))
    assert receipt.status == "done", receipt
    check_truth(world, name, receipt)


@pytest.mark.parametrize("fault", NEVER_EXECUTED)
@pytest.mark.parametrize("name", CASES)
def test_what_was_never_executed_is_never_called_done(
    name: str, fault: str, tmp_path: Path
) -> None:
    world = world_of(name, tmp_path)
    plan, consent = plan_of(world, name)
    case = CASES[name]
    world.cluster.faults.add(method=case.method, path=case.path, **NEVER_EXECUTED[fault])
    receipt = apply_plan(world.session, plan, consent)
    assert receipt.items[0].status in {"not-executed", "unknown"}, receipt
    assert world.effects() == []
    check_truth(world, name, receipt)


@pytest.mark.parametrize("fault", EXECUTED)
@pytest.mark.parametrize("name", CASES)
def test_a_lost_answer_is_settled_by_looking(name: str, fault: str, tmp_path: Path) -> None:
    world = world_of(name, tmp_path)
    plan, consent = plan_of(world, name)
    case = CASES[name]
    world.cluster.faults.add(method=case.method, path=case.path, **EXECUTED[fault])
    receipt = apply_plan(world.session, plan, consent)
    assert receipt.status == "done", receipt
    check_truth(world, name, receipt)


@pytest.mark.parametrize(
    ("kind", "status"), [("task-error", "failed"), ("task-vanish", "unknown")]
)
@pytest.mark.parametrize("name", WITH_TASK)
def test_a_task_that_fails_is_no_success(
    name: str, kind: str, status: str, tmp_path: Path
) -> None:
    world = world_of(name, tmp_path)
    plan, consent = plan_of(world, name)
    world.cluster.faults.add(kind, method="DELETE", path=CONTENT, reason="I/O error")
    receipt = apply_plan(world.session, plan, consent)
    assert receipt.items[0].status == status, receipt
    check_truth(world, name, receipt)


@pytest.mark.parametrize("name", CASES)
def test_a_stale_plan_is_refused(name: str, tmp_path: Path) -> None:
    """Another backup came, the job was edited, or one of the id was made."""
    world = world_of(name, tmp_path)
    plan, consent = plan_of(world, name)
    add_backup(world.cluster, "backups", world.cluster.guests[102], 0.01, 1.5)
    world.cluster.backup_jobs["nightly"]["comment"] = "edited by somebody"
    world.cluster.backup_jobs.setdefault("weekly", {"id": "weekly", "type": "vzdump", "all": 1})
    receipt = apply_plan(world.session, plan, consent)
    assert receipt.items[0].error == StalePlanError.code
    assert world.effects() == []


@pytest.mark.parametrize("name", CASES)
def test_a_revoked_token_is_told(name: str, tmp_path: Path) -> None:
    world = world_of(name, tmp_path)
    plan, consent = plan_of(world, name)
    world.cluster.access.revoked.add(world.seed.token_id)
    before = len(world.effects())
    try:
        receipt = apply_plan(world.session, plan, consent)
    except AuthenticationError:
        # Where the guests' marks are looked at first, nothing is begun, and nothing is spent.
        assert len(world.effects()) == before
        assert world.session.store.get_plan(plan).state == "open"
    else:
        assert receipt.exit_code == 6
        check_truth(world, name, receipt)


@pytest.mark.parametrize("before", [True, False], ids=["before", "after"])
@pytest.mark.parametrize(("name", "line"), LINES)
def test_a_killed_run_is_picked_up_without_a_second_effect(
    name: str, line: int, before: bool, tmp_path: Path
) -> None:
    world = world_of(name, tmp_path)
    plan, consent = plan_of(world, name)
    kill_at(world, line, before=before)
    with pytest.raises(KilledError):
        apply_plan(world.session, plan, consent)
    heir = join_world(tmp_path, world.seed)
    receipt = resume_run(heir.session, heir.session.store.list_runs()[0].id)
    assert receipt.items[0].status in {"done", "not-executed"}, receipt
    check_truth(world, name, receipt)
