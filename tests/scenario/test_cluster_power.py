"""The whole cluster switched off and brought back; nodes rebooted and switched off one by one."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from pveops.engine.apply import apply_plan, resume_run
from pveops.engine.approve import Consent
from pveops.engine.change import Change, request_change
from pveops.engine.outcome import Receipt
from pveops.engine.request import Ask
from pveops.errors import PveopsError
from pveops.operations.plan import Scalar
from pveops.sim.membership import power_off_node, power_on_node
from tests.fault.test_matrix import KilledError, kill_at
from tests.scenario.test_configuration import guest_of, plan_of
from tests.world import World, join_world, make_world


def ask(world: World, operation: str, *names: str, **params: Scalar) -> Change:
    return request_change(world.session, Ask(operation, names, params=params))


def agree(world: World, change: Change) -> Receipt:
    if change.receipt is not None:
        return change.receipt
    return apply_plan(world.session, change.plan_id, Consent("code", world.code))


def running(world: World) -> set[str]:
    return {guest.name for guest in world.cluster.guests.values() if guest.is_running}


def switch_on(world: World) -> None:
    for node in world.cluster.nodes.values():
        power_on_node(world.cluster, node)
    world.cluster.timeline.advance(60)


def sent(world: World, verb: str) -> list[str]:
    found = [re.search(rf"/(\d+)/status/{verb}$", e["path"]) for e in world.effects()]
    return [world.cluster.guests[int(match[1])].name for match in found if match]


def stops(world: World) -> list[str]:
    """Names in the order in which their shutdown was sent."""
    return sent(world, "shutdown")


def starts(world: World) -> list[str]:
    return sent(world, "start")


# -- everything off, and back -------------------------------------------------------


def test_the_power_goes_tonight_everything_off_in_order_and_back(tmp_path: Path) -> None:
    world = make_world(tmp_path, seed="three-node-ceph")
    for guest in world.cluster.guests.values():
        guest.config.pop("onboot", None)
    before = running(world)
    change = ask(world, "cluster.shutdown-plan")
    assert plan_of(change).tier == 3
    assert "3 nodes (pve2, pve3, pve1), 12 guests" in world.messages[-1]
    assert "undo: pve cluster bring-back" in world.messages[-1]

    receipt = agree(world, change)

    assert receipt.status == "done", receipt
    assert "12 of 12 guests are down, 3 of 3 nodes are off" in receipt.remark
    assert running(world) == set()
    assert not any(node.is_online for node in world.cluster.nodes.values())
    order = stops(world)
    assert (
        order.index("mail01") < order.index("web01") < order.index("app01") < order.index("db01")
    )

    switch_on(world)
    assert running(world) == set()
    back = agree(world, ask(world, "cluster.bring-back"))

    assert back.status == "done", back
    assert running(world) == before
    order = starts(world)
    turns = [order.index(name) for name in ("db01", "app01", "web01", "ci01")]
    assert turns == sorted(turns)
    assert world.cluster.ceph is not None
    assert world.cluster.ceph.flags == set()
    assert {r.state for r in world.cluster.ha.resources.values()} == {"started"}
    again = ask(world, "cluster.bring-back")
    assert again.proposal.plan is None


def test_the_next_order_waits_as_long_as_up_says(tmp_path: Path) -> None:
    """db01 and db02 have `up=30`."""
    world = make_world(tmp_path, seed="three-node-ceph")
    agree(world, ask(world, "cluster.shutdown-plan", guests_only=True))
    assert running(world) == set()
    agree(world, ask(world, "cluster.bring-back"))
    tasks = [t for n in world.cluster.nodes.values() for t in n.tasks.values()]
    began = {t.upid.id: t.upid.starttime for t in tasks if t.upid.type in {"qmstart", "hastart"}}
    assert began["103"] >= began["101"] + 30


def test_a_guest_that_does_not_shut_down_keeps_the_nodes_on(tmp_path: Path) -> None:
    world = make_world(tmp_path, seed="three-node-ceph")
    guest_of(world, "app02").temper.shutdown_s = None
    receipt = agree(world, ask(world, "cluster.shutdown-plan", timeout=20))
    assert receipt.exit_code == 11
    by_name = {item.target.name: item for item in receipt.items}
    assert by_name["app02"].status == "failed"
    assert by_name["db01"].status == "not-executed"
    assert all(node.is_online for node in world.cluster.nodes.values())
    assert {"app02", "db01", "db02"} <= running(world)
    back = agree(world, ask(world, "cluster.bring-back"))
    assert back.status == "done"
    assert len(running(world)) == 12


def test_who_is_left_goes_down_with_its_node_as_the_plan_says(tmp_path: Path) -> None:
    world = make_world(tmp_path, seed="three-node-ceph")
    guest_of(world, "app02").temper.shutdown_s = None
    change = ask(world, "cluster.shutdown-plan", leave="app02")
    assert any("app02" in f.message for f in plan_of(change).findings if f.severity == "warn")
    assert agree(world, change).status == "done"
    assert not any(node.is_online for node in world.cluster.nodes.values())


def test_tasks_at_work_and_unseen_guests_refuse_it(tmp_path: Path) -> None:
    world = make_world(tmp_path, seed="three-node-ceph")
    writer = world.session.make_writer()
    writer.write("POST", "/nodes/pve2/vzdump", {"vmid": "110", "storage": "backups"})
    with pytest.raises(PveopsError) as caught:
        ask(world, "cluster.shutdown-plan")
    assert caught.value.exit_code == 9
    assert stops(world) == []


def test_while_a_node_is_missing_only_what_can_be_started_is(tmp_path: Path) -> None:
    world = make_world(tmp_path, seed="three-node-ceph")
    for guest in world.cluster.guests.values():
        guest.config.pop("onboot", None)
    agree(world, ask(world, "cluster.shutdown-plan"))
    switch_on(world)
    power_off_node(world.cluster, world.cluster.nodes["pve3"])
    with pytest.raises(PveopsError, match="pve3 is not online"):
        ask(world, "cluster.bring-back")
    assert agree(world, ask(world, "cluster.bring-back", partly=True)).status == "done"
    assert running(world)
    assert not {"app03", "web02", "mail01"} & running(world)
    power_on_node(world.cluster, world.cluster.nodes["pve3"])
    world.cluster.timeline.advance(60)
    agree(world, ask(world, "cluster.bring-back"))
    assert {"app03", "web02", "mail01"} <= running(world)


def test_what_was_taken_down_long_ago_is_not_started_by_itself(tmp_path: Path) -> None:
    world = make_world(tmp_path, seed="three-node-ceph")
    agree(world, ask(world, "cluster.shutdown-plan", guests_only=True))
    world.cluster.timeline.advance(8 * 86_400)
    change = ask(world, "cluster.bring-back")
    assert change.proposal.plan is None
    assert any("taken down 8d" in d.state for d in change.proposal.decisions)


def switch(world: World, verb: str, *names: str) -> None:
    """As somebody does beside us."""
    for name in names:
        guest = guest_of(world, name)
        path = f"/nodes/{guest.node}/{guest.kind}/{guest.vmid}/status/{verb}"
        world.session.make_writer().write("POST", path, {})
    world.cluster.timeline.advance(60)


def test_who_stayed_off_between_two_shutdowns_is_not_started_after_the_second(
    tmp_path: Path,
) -> None:
    world = make_world(tmp_path, seed="three-node-ceph")
    was_up = running(world)
    agree(world, ask(world, "cluster.shutdown-plan", guests_only=True))
    switch(world, "start", *(was_up - {"ci01"}))
    world.cluster.timeline.advance(4 * 86_400)
    agree(world, ask(world, "cluster.shutdown-plan", guests_only=True))
    change = ask(world, "cluster.bring-back")
    names = {item.target.name for item in plan_of(change).items}
    assert "ci01" not in names
    assert names == was_up - {"ci01"}
    states = {d.target.name: d.state for d in change.proposal.decisions if d.is_already_so}
    assert states["ci01"] == "stopped since an earlier shutdown: start it by its name"


def test_a_shutdown_that_goes_on_with_an_earlier_one_keeps_its_guests(tmp_path: Path) -> None:
    world = make_world(tmp_path, seed="three-node-ceph")
    was_up = running(world)
    stubborn = guest_of(world, "app02")
    stubborn.temper.shutdown_s = None
    agree(world, ask(world, "cluster.shutdown-plan", guests_only=True, timeout=20))
    stubborn.temper.shutdown_s = 5.0
    agree(world, ask(world, "cluster.shutdown-plan", guests_only=True))
    assert running(world) == set()
    change = ask(world, "cluster.bring-back")
    assert {item.target.name for item in plan_of(change).items} == was_up


@pytest.mark.parametrize("line", [2, 9, 20, 40, 44])
def test_a_shutdown_that_was_killed_is_resumed(line: int, tmp_path: Path) -> None:
    world = make_world(tmp_path, seed="three-node-ceph")
    change = ask(world, "cluster.shutdown-plan")
    kill_at(world, line, before=False)
    with pytest.raises(KilledError):
        agree(world, change)
    heir = join_world(tmp_path, world.seed)
    receipt = resume_run(heir.session, heir.session.store.list_runs()[0].id)
    order = stops(world)
    assert len(order) == len(set(order))
    if receipt.status == "done":
        assert running(world) == set()
    else:
        assert any(node.is_online for node in world.cluster.nodes.values())


# -- one node ------------------------------------------------------------------------


def test_an_empty_node_is_rebooted_and_seen_to_be_whole(tmp_path: Path) -> None:
    world = make_world(tmp_path, seed="three-node-ceph")
    agree(world, ask(world, "node.evacuate", "pve3", allow_restart=True))
    receipt = agree(world, ask(world, "node.reboot", "pve3"))
    assert receipt.status == "done", receipt
    assert receipt.items[0].message == "up again with kernel 6.17.9-1-pve"


def test_a_node_with_guests_takes_a_word_and_tells_who_stays_down(tmp_path: Path) -> None:
    world = make_world(tmp_path)
    with pytest.raises(PveopsError, match="guests run on it"):
        ask(world, "node.reboot", "pve3")
    change = ask(world, "node.reboot", "pve3", with_guests=True)
    warned = [f.message for f in plan_of(change).findings if f.code == "node.not-onboot"]
    assert "db02" in warned[0]
    assert "monitor" not in warned[0]
    receipt = agree(world, change)
    assert receipt.status == "done", receipt
    assert "guests run there" in receipt.items[0].message
    assert guest_of(world, "monitor").is_running
    assert not guest_of(world, "db02").is_running


def test_a_node_is_switched_off_and_stays_off(tmp_path: Path) -> None:
    world = make_world(tmp_path, seed="three-node-ceph")
    agree(world, ask(world, "node.evacuate", "pve3", allow_restart=True))
    receipt = agree(world, ask(world, "node.shutdown", "pve3"))
    assert receipt.status == "done", receipt
    world.cluster.timeline.advance(600)
    assert not world.cluster.nodes["pve3"].is_online
    with pytest.raises(PveopsError):
        ask(world, "node.shutdown", "pve2", with_guests=True)


def test_a_reboot_always_takes_a_code(tmp_path: Path) -> None:
    world = make_world(tmp_path, seed="three-node-ceph", actor="person")
    change = ask(world, "node.reboot", "pve3", with_guests=True)
    for consent in (Consent("policy"), Consent("terminal", "pve3"), Consent("code", "AAAA-2222")):
        with pytest.raises(PveopsError):
            apply_plan(world.session, change.plan_id, consent)
    assert world.writes() == []
