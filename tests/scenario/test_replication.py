"""Replication: which copies are old, and one more copy now (pve-manager API2/Replication.pm)."""

from __future__ import annotations

from pathlib import Path

import pytest

from pveops.domain.replication import ReplicationJob
from pveops.engine.change import Change, request_change
from pveops.engine.request import Ask
from pveops.errors import NotFoundError, PveopsError
from pveops.sim.membership import power_off_node
from pveops.sim.replication import schedule
from tests.commandline import run_line
from tests.world import World, make_world


def ask(world: World, name: str) -> Change:
    return request_change(world.session, Ask("replication.run", (name,)))


def test_old_and_failing_copies_come_first(tmp_path: Path) -> None:
    world = make_world(tmp_path, seed="two-node")
    out = run_line(world, tmp_path, "pve replication status").out
    assert out.startswith("2 replication jobs, 1 not as they should be\n")
    rows = [line.split("\t") for line in out.splitlines() if "-0\t" in line]
    assert [row[:5] for row in rows] == [
        ["102-0", "pihole", "pve2", "pve1", "failing"],
        ["101-0", "homeassistant", "pve1", "pve2", "ok"],
    ]
    assert "out of space" in rows[0][-1]
    assert "next: pve replication run 102-0" in out
    told = run_line(world, tmp_path, "pve replication status --json").json
    ages = {row["id"]: row["age_s"] for row in told["data"]["items"]}
    assert ages["101-0"] == 600


@pytest.mark.parametrize(
    ("late_s", "is_running", "found"),
    [(0, False, 0), (599, False, 0), (700, False, 700), (700, True, 0)],
)
def test_a_job_is_late_once_it_should_have_run(late_s: int, is_running: bool, found: int) -> None:
    job = ReplicationJob(
        "101-0", 101, "pve1", "pve2", "*/15", True, 1, 10_000, 0, "", is_running=is_running
    )
    assert job.overdue_s(10_000 + late_s) == found


def test_a_dead_node_leaves_its_jobs_unknown(tmp_path: Path) -> None:
    world = make_world(tmp_path, seed="two-node")
    power_off_node(world.cluster, world.cluster.nodes["pve2"])
    out = run_line(world, tmp_path, "pve replication status").out
    assert "102-0\tpihole\tpve2\tpve1\tunknown" in out


@pytest.mark.parametrize("name", ["101-0", "homeassistant"])
def test_one_more_copy_is_made_now_and_seen(name: str, tmp_path: Path) -> None:
    world = make_world(tmp_path, seed="two-node")
    before = world.cluster.replication_states["101-0"].last_sync
    change = ask(world, name)
    assert change.receipt is not None
    assert change.receipt.status == "done", change.receipt
    assert world.cluster.replication_states["101-0"].last_sync > before


def test_a_copy_that_fails_is_a_failure_with_its_reason(tmp_path: Path) -> None:
    world = make_world(tmp_path, seed="two-node")
    change = ask(world, "pihole")
    assert change.receipt is not None
    assert change.receipt.exit_code == 10
    assert "out of space on rpool/data" in change.receipt.items[0].message
    assert change.receipt.items[0].duration_s < 60


def test_what_cannot_run_is_refused(tmp_path: Path) -> None:
    world = make_world(tmp_path, seed="two-node")
    world.cluster.replication_jobs["101-0"]["disable"] = 1
    with pytest.raises(PveopsError, match="disabled"):
        ask(world, "101-0")
    with pytest.raises(NotFoundError, match="no replication job"):
        ask(world, "nas")
    with pytest.raises(NotFoundError):
        ask(world, "999-0")
    power_off_node(world.cluster, world.cluster.nodes["pve2"])
    world.cluster.replication_jobs["101-0"].pop("disable")
    with pytest.raises(PveopsError, match="pve2 is not online"):
        ask(world, "101-0")
    assert world.writes() == []


@pytest.mark.parametrize("fault", ["lost-after", "lost-before"])
def test_a_lost_answer_is_settled_by_the_copy(fault: str, tmp_path: Path) -> None:
    world = make_world(tmp_path, seed="two-node")
    world.cluster.replication_jobs["101-0"]["schedule"] = "*-*-* 03:00"
    schedule(world.cluster, "101-0")
    world.cluster.faults.add(fault, method="POST", path=r"/schedule_now$")
    change = ask(world, "101-0")
    assert change.receipt is not None
    if fault == "lost-after":
        assert change.receipt.status == "done"
    else:
        assert change.receipt.exit_code in {12, 13}


def test_jobs_run_by_their_schedule_and_fail_while_the_target_is_off(tmp_path: Path) -> None:
    world = make_world(tmp_path, seed="two-node")
    state = world.cluster.replication_states["101-0"]
    before = state.last_sync
    world.cluster.timeline.advance(1000)
    assert state.last_sync > before
    power_off_node(world.cluster, world.cluster.nodes["pve2"])
    world.cluster.timeline.advance(1000)
    assert state.fail_count >= 1
    assert "exit code 255" in state.error
