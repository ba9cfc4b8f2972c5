"""What an agent reads of a change is told once: every character costs it something."""

from __future__ import annotations

import re
from pathlib import Path

from tests.commandline import run_line
from tests.world import make_world


def test_a_plan_for_few_names_each_target_once(tmp_path: Path) -> None:
    line = "pve snapshot create --tag web --snapname pre-update"
    out = run_line(make_world(tmp_path), tmp_path, line).out
    assert out.count("web02") == 1
    assert "info vm/101, vm/102: a snapshot lies on the same storage" in out


def test_a_plan_for_more_than_a_card_holds_lists_all_of_them_and_each_once(tmp_path: Path) -> None:
    world = make_world(tmp_path, seed="three-node-ceph")
    out = run_line(world, tmp_path, "pve node evacuate pve2 --allow-restart").out
    assert "NODE EVACUATE pve2: 5 targets" in out
    assert "see the plan" not in out.replace("undo: per target, see the plan", "")
    listed = re.findall(r"^(\d+)\tpve2|^(\d+)\s", out, re.MULTILINE)
    assert len(listed) == 5
    assert out.count("app02") == 1


def test_a_refused_request_tells_the_reason_once(tmp_path: Path) -> None:
    world = make_world(tmp_path, seed="three-node-ceph")
    out = run_line(world, tmp_path, "pve node evacuate pve2").out
    reason = "containers cannot move while they run"
    assert [line.split()[0] for line in out.splitlines() if reason in line] == ["error"]
    assert re.search(r"^202\s+dns02\s+blocked$", out, re.MULTILINE)


def test_the_doctor_tells_what_guest_and_node_have_to_do(tmp_path: Path) -> None:
    world = make_world(tmp_path)
    out = run_line(world, tmp_path, "pve guest doctor web01").out
    assert "load: 9% of 2 CPUs, 2.4 GiB of 4.0 GiB memory\n" in out
    assert re.search(r"^load of pve1: \d+% of 16 CPUs, \d+ GiB of 64 GiB memory$", out, re.M)
    told = run_line(world, tmp_path, "pve guest doctor web01 --json").json["data"]
    assert told["load"]["maxcpu"] == 2
    assert told["node_load"]["maxcpu"] == 16


def test_the_doctor_tells_no_load_of_a_guest_that_does_not_run(tmp_path: Path) -> None:
    world = make_world(tmp_path)
    out = run_line(world, tmp_path, "pve guest doctor dns02").out
    assert "\nload:" not in out
    assert "load of pve3: " in out
