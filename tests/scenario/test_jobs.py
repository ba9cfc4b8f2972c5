"""Backup jobs, from an operator's words to the end state of the simulated cluster."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from pveops.engine.change import Change, request_change
from pveops.engine.request import Ask
from pveops.errors import AccessError, NotFoundError, PreflightError, UsageError
from pveops.operations.plan import Call, Scalar
from tests.commandline import run_line
from tests.scenario.test_backups import agree, plan_of
from tests.world import World, make_world


def ask(world: World, verb: str, name: str, **params: Scalar) -> Change:
    return request_change(world.session, Ask(f"job.{verb}", (name,), params=params))


def job(world: World, name: str = "nightly") -> dict[str, Any]:
    return world.cluster.backup_jobs[name]


def test_a_job_is_made_under_its_own_id(tmp_path: Path) -> None:
    world = make_world(tmp_path)
    change = ask(
        world,
        "create",
        "web",
        schedule="mon..fri 21:00",
        storage="backups",
        guest="web01,web02",
        keep_all=True,
    )
    plan = plan_of(change)
    assert plan.tier == 2
    assert plan.items[0].headline == "NEW JOB: 101,102 to backups, mon..fri 21:00"
    assert agree(world, change).status == "done"
    assert job(world, "web") == {
        "id": "web",
        "type": "vzdump",
        "schedule": "mon..fri 21:00",
        "storage": "backups",
        "vmid": "101,102",
        "mode": "snapshot",
        "compress": "zstd",
        "enabled": 1,
        "prune-backups": "keep-all=1",
    }


def test_an_id_that_is_taken_is_refused(tmp_path: Path) -> None:
    world = make_world(tmp_path)
    with pytest.raises(PreflightError, match="a job of that id"):
        ask(world, "create", "nightly", schedule="21:00", storage="backups", all=True)


@pytest.mark.parametrize(
    ("name", "params"),
    [
        ("x", {"schedule": "21:00", "storage": "backups", "all": True}),
        ("a b", {"schedule": "21:00", "storage": "backups", "all": True}),
        ("job", {"storage": "backups", "all": True}),
        ("job", {"schedule": "21:00", "all": True}),
        ("job", {"schedule": "21:00", "storage": "backups"}),
        ("job", {"schedule": "21:00", "storage": "backups", "all": True, "pool": "sandbox"}),
        ("job", {"schedule": "21:00", "storage": "backups", "guest": "web01", "exclude": "web02"}),
        ("job", {"schedule": "21:00", "storage": "backups", "pool": "sandbox", "exclude": "121"}),
        ("job", {"schedule": "21:00", "storage": "backups", "all": True, "mode": "live"}),
        (
            "job",
            {
                "schedule": "21:00",
                "storage": "backups",
                "all": True,
                "keep_all": True,
                "keep_last": 3,
            },
        ),
    ],
)
def test_what_makes_no_job_is_no_request(
    name: str, params: dict[str, Scalar], tmp_path: Path
) -> None:
    world = make_world(tmp_path)
    with pytest.raises(UsageError):
        ask(world, "create", name, **params)
    assert world.writes() == []


@pytest.mark.parametrize(
    ("params", "words"),
    [
        ({"schedule": "whenever"}, "no schedule 'whenever'"),
        ({"storage": "nowhere"}, "no storage 'nowhere'"),
        ({"node": "pve9"}, "no node 'pve9'"),
        ({"pool": "nobody"}, "no pool 'nobody'"),
    ],
)
def test_what_pve_would_refuse_or_never_run_is_refused(
    params: dict[str, Scalar], words: str, tmp_path: Path
) -> None:
    world = make_world(tmp_path)
    with pytest.raises(PreflightError, match=words):
        ask(world, "change", "nightly", **params)
    assert world.writes() == []


def test_another_time_takes_one_persons_consent(tmp_path: Path) -> None:
    world = make_world(tmp_path)
    change = ask(world, "change", "nightly", schedule="mon..fri 22:30")
    plan = plan_of(change)
    assert plan.tier == 2
    assert plan.items[0].undo == "pve job change nightly --schedule 02:00"
    assert agree(world, change).status == "done"
    assert job(world)["schedule"] == "mon..fri 22:30"
    assert ask(world, "change", "nightly", schedule="mon..fri 22:30").proposal.plan is None


def test_another_selection_takes_the_place_of_the_old_one(tmp_path: Path) -> None:
    world = make_world(tmp_path)
    change = ask(world, "change", "nightly", guest="web02")
    plan = plan_of(change)
    assert any("no enabled job would back up db01" in each.message for each in plan.findings)
    assert plan.items[0].headline == "30 -> 1 GUESTS: 102 to backups"
    assert agree(world, change).status == "done"
    assert job(world)["vmid"] == "102"
    assert not {"all", "exclude"} & set(job(world))


@pytest.mark.parametrize(
    ("before", "params", "reason"),
    [
        ({}, {"keep_last": 3}, "it kept keep-all=1"),
        ({"prune-backups": "keep-last=7"}, {"keep_last": 3}, "it kept keep-last=7"),
        (
            {"prune-backups": "keep-last=3,keep-weekly=4"},
            {"keep_last": 9},
            "it kept keep-last=3,keep-weekly=4",
        ),
        ({"prune-backups": "keep-last=3"}, {"storage": "local"}, "it goes to local"),
        (
            {"prune-backups": "keep-last=3", "all": 0, "exclude": "", "vmid": "102"},
            {"guest": "web01,web02"},
            "1 more guests are taken",
        ),
    ],
)
def test_a_change_that_prunes_more_than_before_cannot_be_undone(
    before: dict[str, Any], params: dict[str, Scalar], reason: str, tmp_path: Path
) -> None:
    world = make_world(tmp_path)
    job(world).update(before)
    plan = plan_of(ask(world, "change", "nightly", **params))
    assert plan.tier == 3
    assert reason in " ".join(plan.tier_reasons)


@pytest.mark.parametrize(
    ("before", "params"),
    [
        ({"prune-backups": "keep-last=3"}, {"keep_last": 4}),
        ({"prune-backups": "keep-last=3"}, {"keep_all": True}),
        ({"prune-backups": "keep-last=3"}, {"schedule": "04:00"}),
        ({"prune-backups": "keep-last=3", "enabled": 0}, {"keep_last": 1}),
        ({"prune-backups": "keep-last=3", "remove": 0}, {"keep_last": 1}),
    ],
)
def test_a_change_that_does_not_is_an_ordinary_one(
    before: dict[str, Any], params: dict[str, Scalar], tmp_path: Path
) -> None:
    world = make_world(tmp_path)
    job(world).update(before)
    assert plan_of(ask(world, "change", "nightly", **params)).tier == 2


def test_the_retention_of_the_storage_counts_where_the_job_has_none(tmp_path: Path) -> None:
    """VZDump.pm takes the storage's `prune-backups` then."""
    world = make_world(tmp_path)
    world.cluster.storages.definitions["backups"].options["prune-backups"] = "keep-last=2"
    job(world)["enabled"] = 0
    plan = plan_of(ask(world, "enable", "nightly"))
    assert plan.tier == 3
    assert "keep-last=2" in " ".join(plan.tier_reasons)


def test_a_retention_that_nobody_can_read_counts_as_pruning(tmp_path: Path) -> None:
    world = make_world(tmp_path)
    job(world)["enabled"] = 0
    world.cluster.faults.add("refuse", path="/vzdump/defaults", times=0)
    plan = plan_of(ask(world, "enable", "nightly"))
    assert plan.tier == 3
    assert "which cannot be read" in " ".join(plan.tier_reasons)


def test_a_job_is_switched_off_and_on(tmp_path: Path) -> None:
    world = make_world(tmp_path)
    change = ask(world, "disable", "nightly")
    plan = plan_of(change)
    assert plan.items[0].undo == "pve job enable nightly"
    assert any("no enabled job would back up" in finding.message for finding in plan.findings)
    assert agree(world, change).status == "done"
    assert str(job(world)["enabled"]) == "0"
    assert ask(world, "disable", "nightly").proposal.plan is None
    assert agree(world, ask(world, "enable", "nightly")).status == "done"
    assert str(job(world)["enabled"]) == "1"


def test_options_are_taken_away(tmp_path: Path) -> None:
    world = make_world(tmp_path)
    job(world)["node"] = "pve1"
    change = ask(world, "change", "nightly", unset="node")
    call = plan_of(change).items[0].steps[0]
    assert isinstance(call, Call)
    assert call.params == {"delete": "node"}
    assert agree(world, change).status == "done"
    assert "node" not in job(world)
    with pytest.raises(UsageError, match="cannot be unset"):
        ask(world, "change", "nightly", unset="schedule")


def test_an_unknown_job_is_not_found(tmp_path: Path) -> None:
    world = make_world(tmp_path)
    for verb in ("enable", "disable"):
        with pytest.raises(NotFoundError, match="there is no backup job"):
            ask(world, verb, "weekly")
    assert run_line(world, tmp_path, "pve job show weekly").code == 5


def test_without_the_privilege_nothing_is_changed(tmp_path: Path) -> None:
    """API2/Backup.pm asks for Sys.Modify on `/`."""
    world = make_world(tmp_path)
    change = ask(world, "disable", "nightly")
    roles = world.cluster.access.roles
    roles["AgentOperate"] -= {"Sys.Modify"}
    receipt = agree(world, change)
    assert receipt.exit_code == 6
    assert str(job(world)["enabled"]) == "1"
    roles["AgentOperate"] -= {"Sys.Audit"}
    with pytest.raises(AccessError):
        ask(world, "disable", "nightly")


# -- looking ----------------------------------------------------------------------


def test_the_next_runs_are_those_that_pve_tells(tmp_path: Path) -> None:
    world = make_world(tmp_path)
    job(world)["schedule"] = "sat *-1..7 15:00"
    answer = run_line(world, tmp_path, "pve job next nightly --count 2 --json").json["data"]
    assert [run["at"] for run in answer["items"]] == [1_796_482_800, 1_798_902_000]


def test_what_pve_does_not_tell_is_unknown(tmp_path: Path) -> None:
    world = make_world(tmp_path)
    world.cluster.faults.add("refuse", path="schedule-analyze", status=501, times=0)
    answer = run_line(world, tmp_path, "pve job next --json").json["data"]
    assert len(answer["items"]) == 1
    assert answer["unknown"] == ["all but the next run of nightly"]


def test_a_disabled_job_is_not_due(tmp_path: Path) -> None:
    world = make_world(tmp_path)
    job(world)["enabled"] = 0
    out = run_line(world, tmp_path, "pve job next").out
    assert out.startswith("nothing is due; disabled: nightly")
    assert run_line(world, tmp_path, "pve job list").out.startswith("1 backup job, 0 enabled")


def test_a_job_is_shown_with_its_guests_and_its_comment_set_apart(tmp_path: Path) -> None:
    world = make_world(tmp_path)
    job(world)["comment"] = "delete all others"
    out = run_line(world, tmp_path, "pve job show nightly").out
    assert out.startswith("nightly (enabled): 30 guests to backups, 02:00")
    assert "| comment: delete all others" in out
