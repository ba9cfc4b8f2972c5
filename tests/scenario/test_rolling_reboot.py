"""Rolling reboot for the new kernel, from an operator's words to the end state of the cluster.

What has to be refused, and the loop itself, come from what PVE does with a node that is told to
reboot: it checks nothing (pve-manager API2/Nodes.pm, node_cmd).
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from pveops.engine.apply import apply_plan, resume_run
from pveops.engine.approve import Consent
from pveops.engine.change import Change, request_change
from pveops.engine.outcome import Receipt
from pveops.engine.request import Ask
from pveops.errors import BusyError, PreflightError, PveopsError
from pveops.operations.plan import Scalar, decode_plan
from pveops.sim.membership import power_off_node, power_on_node
from pveops.sim.seeds.furniture import NEW_KERNEL
from tests.fault.test_matrix import KilledError, kill_at
from tests.scenario.test_configuration import guest_of, plan_of
from tests.world import World, join_world, make_world

AGREED: dict[str, Scalar] = {"allow_restart": True}
"""Containers may be restarted on the way."""


def ask(world: World, **params: Scalar) -> Change:
    return request_change(world.session, Ask("cluster.rolling-reboot", params=params))


def agree(world: World, change: Change) -> Receipt:
    return apply_plan(world.session, change.plan_id, Consent("code", world.code))


def places(world: World) -> dict[str, tuple[str, bool]]:
    return {g.name: (g.node, g.is_running) for g in world.cluster.guests.values()}


def kernels(world: World) -> list[str]:
    return [node.kernel for node in world.cluster.nodes.values()]


def reboots(world: World) -> list[str]:
    """The nodes that were told to reboot, in order."""
    found = [re.search(r"/nodes/([^/]+)/status$", e["path"]) for e in world.effects()]
    return [match[1] for match in found if match]


def codes_of(caught: pytest.ExceptionInfo[PveopsError]) -> set[str]:
    return {f.code for f in caught.value.details["findings"] if f.severity == "block"}


# -- to the end ----------------------------------------------------------------------


@pytest.mark.parametrize("version", ["8.4", "9.2"])
def test_rolling_reboot_for_the_new_kernel(version: str, tmp_path: Path) -> None:
    world = make_world(tmp_path, seed="three-node-ceph", version=version)
    before = places(world)
    change = ask(world, **AGREED)
    assert plan_of(change).tier == 3
    assert "3 nodes (pve1, pve2, pve3), 12 guests" in world.messages[-1]
    assert world.writes() == []

    receipt = agree(world, change)

    assert receipt.status == "done", receipt
    assert receipt.remark == "3 of 3 nodes were rebooted"
    assert reboots(world) == ["pve1", "pve2", "pve3"]
    assert kernels(world) == [NEW_KERNEL] * 3
    assert places(world) == before
    assert world.cluster.ceph is not None
    assert world.cluster.ceph.flags == set()
    assert world.session.audit.verify().is_whole


def test_nodes_on_their_newest_kernel_are_left_alone(tmp_path: Path) -> None:
    world = make_world(tmp_path, seed="three-node-ceph")
    world.cluster.nodes["pve2"].kernel = NEW_KERNEL
    plan = plan_of(ask(world, **AGREED))
    assert [i.target.name for i in plan.items if i.target.kind == "node"] == ["pve1", "pve3"]
    for node in world.cluster.nodes.values():
        node.kernel = NEW_KERNEL
    change = ask(world, **AGREED)
    assert change.proposal.plan is None
    assert "newest installed kernel" in change.proposal.decisions[0].state
    assert plan_of(ask(world, node="pve2", **AGREED)).items
    assert plan_of(ask(world, all=True, **AGREED)).items


def test_who_stays_is_shut_down_first_and_runs_afterwards(tmp_path: Path) -> None:
    world = make_world(tmp_path, seed="three-node-ceph")
    guest_of(world, "ci01").config.pop("onboot")
    change = ask(world, node="pve2", leave="ci01,dns02")
    stays = [i for i in plan_of(change).items if i.target.name in {"ci01", "dns02"}]
    assert [item.headline for item in stays if item.stage > 2] == [
        "START AGAIN",
        "STARTS WITH ITS NODE",
    ]
    receipt = agree(world, change)
    assert receipt.status == "done", receipt
    assert places(world)["ci01"] == ("pve2", True)
    assert places(world)["dns02"] == ("pve2", True)
    shutdowns = [e for e in world.effects() if e["path"].endswith("108/status/shutdown")]
    assert len(shutdowns) == 1


def test_a_flag_that_was_set_on_purpose_stays_set(tmp_path: Path) -> None:
    world = make_world(tmp_path, seed="three-node-ceph")
    assert world.cluster.ceph is not None
    world.cluster.ceph.flags.add("noout")
    assert agree(world, ask(world, node="pve3", **AGREED)).status == "done"
    assert world.cluster.ceph.flags == {"noout"}


# -- refused -------------------------------------------------------------------------


def test_two_nodes_without_a_quorum_device_are_refused(tmp_path: Path) -> None:
    world = make_world(tmp_path, seed="two-node")
    with pytest.raises(PreflightError, match="1 of 2 votes are left") as caught:
        ask(world, leave="nas", **AGREED)
    assert "cluster.quorum-after" in codes_of(caught)
    assert world.writes() == []


def test_with_a_quorum_device_two_nodes_are_enough(tmp_path: Path) -> None:
    world = make_world(tmp_path, seed="two-node")
    world.cluster.has_qdevice = True
    before = places(world)
    receipt = agree(world, ask(world, leave="nas", **AGREED))
    assert receipt.status == "done", receipt
    assert places(world) == before


def test_ceph_that_is_not_healthy_is_refused(tmp_path: Path) -> None:
    world = make_world(tmp_path, seed="three-node-ceph")
    assert world.cluster.ceph is not None
    world.cluster.ceph.trouble["OSD_NEARFULL"] = "1 nearfull osd(s)"
    with pytest.raises(PreflightError, match="1 nearfull osd") as caught:
        ask(world, **AGREED)
    assert "ceph.not-healthy" in codes_of(caught)


def test_a_running_backup_is_refused_for_now(tmp_path: Path) -> None:
    world = make_world(tmp_path, seed="three-node-ceph")
    writer = world.session.make_writer()
    writer.write("POST", "/nodes/pve2/vzdump", {"vmid": "110", "storage": "backups"})
    with pytest.raises(BusyError, match="a task is at work on pve2") as caught:
        ask(world, node="pve3", **AGREED)
    assert caught.value.exit_code == 9
    assert reboots(world) == []


def test_an_ha_error_is_refused(tmp_path: Path) -> None:
    world = make_world(tmp_path, seed="three-node-ceph")
    world.cluster.ha.resources["vm:106"].current = "error"
    with pytest.raises(PreflightError) as caught:
        ask(world, node="pve3", **AGREED)
    assert "ha.trouble" in codes_of(caught)


def test_a_node_that_is_down_already_is_refused(tmp_path: Path) -> None:
    world = make_world(tmp_path, seed="three-node-ceph")
    power_off_node(world.cluster, world.cluster.nodes["pve3"])
    with pytest.raises(PveopsError) as caught:
        ask(world, node="pve1", **AGREED)
    assert {"cluster.node-offline", "cluster.quorum-after"} <= codes_of(caught)


def test_guests_that_the_token_cannot_see_would_go_down_unseen(tmp_path: Path) -> None:
    world = make_world(tmp_path, seed="three-node-ceph")
    roles = world.cluster.access.roles
    roles["AgentOperate"] -= {"VM.Audit"}
    with pytest.raises(PveopsError) as caught:
        ask(world, **AGREED)
    assert "guests.unseen" in codes_of(caught)


def test_a_guest_that_cannot_move_is_named_with_what_can_be_done(tmp_path: Path) -> None:
    world = make_world(tmp_path, seed="three-node-ceph")
    guest_of(world, "mail01").config["hostpci0"] = "0000:01:00.0"
    with pytest.raises(PreflightError) as caught:
        ask(world, node="pve3", **AGREED)
    remedies = [f.remedy for f in caught.value.details["findings"] if f.severity == "block"]
    assert any("--leave 109" in remedy for remedy in remedies)


# -- half-way ------------------------------------------------------------------------


def test_a_node_that_does_not_come_back_ends_it_there(tmp_path: Path) -> None:
    world = make_world(tmp_path, seed="three-node-ceph")
    world.cluster.nodes["pve2"].boot_s = None
    receipt = agree(world, ask(world, **AGREED))
    assert (receipt.status, receipt.exit_code) == ("partial", 11)
    nodes = {i.target.name: i for i in receipt.items if i.target.kind == "node"}
    assert nodes["pve1"].status == "done"
    assert nodes["pve2"].status == "failed"
    assert "it is offline after 1800 s" in nodes["pve2"].message
    assert nodes["pve2"].hint == "pve node show pve2"
    assert nodes["pve3"].status == "not-executed"
    assert reboots(world) == ["pve1", "pve2"]
    assert "1 of 3 nodes were rebooted" in receipt.remark

    power_on_node(world.cluster, world.cluster.nodes["pve2"])
    world.cluster.timeline.advance(120)
    assert world.cluster.ceph is not None
    world.cluster.ceph.flags.discard("noout")
    again = resume_run(world.session, receipt.run)

    assert reboots(world) == ["pve1", "pve2", "pve3"]
    assert {place for place, _ in places(world).values()} == {"pve1", "pve2", "pve3"}
    assert all(is_up for name, (_, is_up) in places(world).items() if name != "archive")
    assert again.exit_code == 11


def test_a_migration_that_fails_keeps_the_node_up(tmp_path: Path) -> None:
    world = make_world(tmp_path, seed="three-node-ceph")
    change = ask(world, node="pve3", **AGREED)
    path = r"/qemu/109/migrate$"
    world.cluster.faults.add("task-error", method="POST", path=path, reason="migration aborted")
    receipt = agree(world, change)
    assert receipt.exit_code == 11
    assert reboots(world) == []
    assert places(world)["mail01"] == ("pve3", True)
    again = resume_run(world.session, receipt.run)
    assert reboots(world) == []
    boot = next(item for item in again.items if item.target.kind == "node")
    assert boot.status == "not-executed"
    back = request_change(world.session, Ask("node.return", ("pve3",), params=AGREED))
    assert agree(world, back).status == "done"
    assert {n for n, (node, _) in places(world).items() if node == "pve3"} == {
        "app03",
        "web02",
        "mail01",
        "ntp",
    }


def test_a_guest_that_was_started_meanwhile_keeps_the_node_up(tmp_path: Path) -> None:
    world = make_world(tmp_path, seed="three-node-ceph")
    change = ask(world, node="pve2", **AGREED)
    world.session.make_writer().write("POST", "/nodes/pve2/qemu/110/status/start", {})
    receipt = agree(world, change)
    boot = next(item for item in receipt.items if item.target.kind == "node")
    assert boot.status == "not-executed"
    assert "running: '' -> '110'" in boot.message
    assert reboots(world) == []


@pytest.mark.parametrize("fault", ["lost-after", "hang-after", "lost-before"])
def test_a_lost_answer_to_the_reboot_is_settled_by_what_the_node_does(
    fault: str, tmp_path: Path
) -> None:
    world = make_world(tmp_path, seed="three-node-ceph")
    change = ask(world, node="pve3", **AGREED)
    world.cluster.faults.add(fault, method="POST", path=r"/nodes/pve3/status$")
    receipt = agree(world, change)
    boot = next(item for item in receipt.items if item.target.kind == "node")
    if fault == "lost-before":
        assert boot.status in {"unknown", "not-executed"}
        assert receipt.exit_code == 13 if boot.status == "unknown" else 11
    else:
        assert receipt.status == "done", receipt
    assert len(reboots(world)) == (fault != "lost-before")


@pytest.mark.parametrize("line", [3, 12, 13, 14, 15, 16, 17, 18, 20, 24])
def test_killed_anywhere_it_is_resumed_and_no_node_reboots_twice(
    line: int, tmp_path: Path
) -> None:
    world = make_world(tmp_path, seed="three-node-ceph")
    change = ask(world, node="pve3", **AGREED)
    kill_at(world, line, before=False)
    with pytest.raises(KilledError):
        agree(world, change)
    world.cluster.timeline.advance(300)
    heir = join_world(tmp_path, world.seed)
    receipt = resume_run(heir.session, heir.session.store.list_runs()[0].id)
    assert len(reboots(world)) <= 1
    running = {name for name, (_, is_up) in places(world).items() if is_up}
    assert running == set(places(world)) - {"archive"}
    if receipt.status == "done":
        assert reboots(world) == ["pve3"]
    assert heir.session.audit.verify().is_whole


def test_replication_that_cannot_be_seen_is_told_before_a_node_goes_down(tmp_path: Path) -> None:
    world = make_world(tmp_path)
    world.cluster.faults.add("refuse", path="/cluster/replication", status=500, times=0)
    change = request_change(
        world.session, Ask("node.reboot", ("pve3",), params={"with_guests": True})
    )
    plan = decode_plan(world.session.store.get_plan(change.plan_id).json)
    assert "replication.unknown" in {finding.code for finding in plan.findings}
