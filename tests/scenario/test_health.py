"""Is the cluster healthy? What is wrong comes first, and what cannot be seen is never "fine"."""

from __future__ import annotations

from pathlib import Path

import pytest

from pveops.sim.membership import power_off_node, split_off
from tests.commandline import Outcome, run_line
from tests.world import World, make_world


def status(world: World, folder: Path, words: str = "") -> Outcome:
    return run_line(world, folder, f"pve status {words}")


def codes(outcome: Outcome) -> set[str]:
    return {finding["code"] for finding in outcome.json["findings"]}


def test_each_trouble_of_the_homelab_is_named_with_evidence_or_a_way_out(tmp_path: Path) -> None:
    world = make_world(tmp_path)
    outcome = status(world, tmp_path, "--json")
    found = {(f["code"], f["subject"]) for f in outcome.json["findings"]}
    assert ("guest.halted", "vm/120") in found
    assert ("guest.locked", "vm/105") in found
    assert ("guest.paused", "vm/132") in found
    assert any(code == "storage.full" or code.startswith("storage.") for code, _ in found)
    assert ("task.failed", "task/pve2/vzdump/") in found
    assert all(f.get("evidence") or f.get("remedy") for f in outcome.json["findings"])
    deep = {f["subject"] for f in status(world, tmp_path, "--deep --json").json["findings"]}
    assert "ct/202" in deep


def test_a_healthy_cluster_is_said_to_be_so(tmp_path: Path) -> None:
    world = make_world(tmp_path, seed="three-node-ceph")
    outcome = status(world, tmp_path)
    assert outcome.out.splitlines()[0] == "cluster ceph: nothing wrong"


@pytest.mark.parametrize(
    ("privilege", "said"),
    [("Sys.Audit", "quorum"), ("VM.Audit", "guests"), ("Datastore.Audit", "storages")],
)
def test_what_the_token_cannot_see_is_a_blind_spot_and_not_fine(
    privilege: str, said: str, tmp_path: Path
) -> None:
    world = make_world(tmp_path, seed="three-node-ceph")
    world.cluster.access.roles["AgentOperate"] -= {privilege}
    out = status(world, tmp_path).out
    assert "nothing wrong in what can be seen" in out.splitlines()[0]
    assert any("blind spot" in line and said in line for line in out.splitlines())


def test_a_dead_node_makes_its_guests_unknown_and_is_told_first(tmp_path: Path) -> None:
    world = make_world(tmp_path, seed="three-node-ceph")
    power_off_node(world.cluster, world.cluster.nodes["pve3"])
    outcome = status(world, tmp_path, "--json")
    first = outcome.json["findings"][0]
    assert (first["code"], first["subject"]) == ("node.not-online", "node/pve3")
    assert "unknown" in first["message"]
    assert outcome.json["data"]["guests"]["by_status"]["unknown"] >= 3


def test_without_quorum_that_comes_before_all_else(tmp_path: Path) -> None:
    world = make_world(tmp_path, seed="three-node-ceph")
    split_off(world.cluster, ["pve2", "pve3"])
    outcome = status(world, tmp_path, "--json")
    assert outcome.json["findings"][0]["code"] == "cluster.no-quorum"


def test_tasks_that_cannot_be_read_half_way_are_unknown(tmp_path: Path) -> None:
    world = make_world(tmp_path, seed="three-node-ceph")
    world.cluster.faults.add("refuse", method="GET", path=r"/cluster/tasks$", status=403, times=0)
    outcome = status(world, tmp_path)
    assert outcome.code == 0
    assert "running tasks: unknown" in outcome.out
