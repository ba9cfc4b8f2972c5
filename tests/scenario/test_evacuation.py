"""A node emptied and filled again, from an operator's words to the end state of the cluster."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from pveops.engine.apply import apply_plan, resume_run
from pveops.engine.approve import Consent
from pveops.engine.change import Change, request_change
from pveops.engine.outcome import Receipt
from pveops.engine.request import Ask
from pveops.errors import PveopsError
from pveops.operations.plan import Scalar
from pveops.sim.membership import power_off_node, power_on_node
from pveops.sim.seeds.furniture import add_vm
from tests.fault.test_matrix import KilledError, kill_at
from tests.scenario.test_configuration import agree, guest_of, plan_of
from tests.world import World, join_world, make_world

STUCK: dict[str, Scalar] = {"leave": "gitlab,mail01", "allow_restart": True}
"""In the homelab `gitlab` is locked by a backup that failed, and `mail01` waits for space."""
MOVES = re.compile(r"/(qemu|lxc)/(\d+)/migrate$")


def ask(world: World, operation: str, node: str, **params: Scalar) -> Change:
    return request_change(world.session, Ask(operation, (node,), params=params))


def mend(world: World) -> None:
    """Take away what keeps guests on pve2: a left lock, and a full pool that only pve2 has."""
    guest_of(world, "gitlab").config.pop("lock")
    mail = guest_of(world, "mail01")
    assert mail.process is not None
    mail.process.qmpstatus = "running"


def guests_on(world: World, node: str) -> set[int]:
    return {guest.vmid for guest in world.cluster.guests.values() if guest.node == node}


def moved(world: World) -> Counter[int]:
    """How often the cluster was made to move each guest."""
    paths = (MOVES.search(effect["path"]) for effect in world.effects())
    return Counter(int(match[2]) for match in paths if match)


def most_at_once(world: World) -> int:
    """The largest number of moves that went on together; starts are known to the second."""
    tasks = [
        task
        for node in world.cluster.nodes.values()
        for task in node.tasks.values()
        if task.upid.type in {"qmigrate", "vzmigrate"}
    ]
    spans = [(float(task.upid.starttime), task.endtime or 0.0) for task in tasks]
    return max(
        sum(start <= moment and moment + 1.0 < end for start, end in spans) for moment, _ in spans
    )


def check_places(world: World, receipt: Receipt, dead: str = "") -> None:
    """The report equals what the simulated cluster shows; what ran on a dead node does not."""
    for item in receipt.items:
        guest = world.cluster.guests[int(item.target.id)]
        if item.status == "done":
            assert guest.node == item.after["node"] != item.target.node
            is_up = item.after["power"] == "running" and guest.node != dead
            assert guest.is_running == is_up
        if item.status == "not-executed":
            assert guest.node == item.target.node
    assert max(moved(world).values(), default=0) <= 1
    assert world.session.audit.verify().is_whole


# -- to the end ---------------------------------------------------------------------


def test_move_everything_off_pve2_so_i_can_add_ram(tmp_path: Path) -> None:
    world = make_world(tmp_path)
    mend(world)
    before, running = guests_on(world, "pve2"), {g.vmid for g in running_guests(world)}
    change = ask(
        world, "node.evacuate", "pve2", allow_restart=True, target_storage="fast:local-lvm"
    )
    plan = plan_of(change)
    assert plan.tier == 3
    assert {int(item.target.id) for item in plan.items} == before
    headlines = [item.headline for item in plan.items]
    methods = [re.search(r"live|offline|restart", text)[0] for text in headlines]  # type: ignore[index]
    assert methods == sorted(methods, key=["live", "offline", "restart"].index)
    assert all("down meanwhile" in text for text in headlines if "restart" in text)
    assert any(finding.code == "memory.no-spare" for finding in plan.findings)
    assert "NODE EVACUATE pve2: 10 targets" in world.messages[-1]
    assert world.writes() == []

    receipt = agree(world, change)

    assert (receipt.status, receipt.exit_code) == ("done", 0), receipt
    assert "nothing runs on pve2 and no move is active: it can be switched off" in receipt.remark
    assert guests_on(world, "pve2") == set()
    assert most_at_once(world) in {1, 2}
    check_places(world, receipt)
    power_off_node(world.cluster, world.cluster.nodes["pve2"])
    assert world.cluster.has_quorum(world.cluster.nodes["pve1"])
    assert {g.vmid for g in running_guests(world)} == running


def running_guests(world: World) -> list[Any]:
    return [guest for guest in world.cluster.guests.values() if guest.is_running]


def test_an_empty_node_is_empty_already(tmp_path: Path) -> None:
    world = make_world(tmp_path)
    agree(world, ask(world, "node.evacuate", "pve2", **STUCK))
    change = ask(world, "node.evacuate", "pve2", **STUCK)
    assert change.proposal.plan is None
    assert "gitlab" in change.proposal.decisions[0].state


def test_who_stays_as_asked_is_told_to_run_there(tmp_path: Path) -> None:
    world = make_world(tmp_path)
    receipt = agree(world, ask(world, "node.evacuate", "pve2", **STUCK))
    assert receipt.status == "done"
    assert "these stay on pve2 and run: gitlab" in receipt.remark
    assert guests_on(world, "pve2") == {105, 120}
    check_places(world, receipt)


def test_only_the_named_nodes_are_targets(tmp_path: Path) -> None:
    world = make_world(tmp_path)
    change = ask(world, "node.evacuate", "pve2", target="pve1", **STUCK)
    assert agree(world, change).status == "done"
    assert {g.node for g in world.cluster.guests.values() if g.vmid in moved(world)} == {"pve1"}


# -- refused ------------------------------------------------------------------------


def test_guests_that_cannot_move_are_listed_with_options_and_nothing_is_sent(
    tmp_path: Path,
) -> None:
    world = make_world(tmp_path)
    with pytest.raises(PveopsError) as caught:
        ask(world, "node.evacuate", "pve2")
    details = caught.value.details
    assert set(details["blocked"]) == {"105", "120", "203", "204", "208"}
    remedies = [f.remedy for f in details["findings"] if f.severity == "block"]
    assert all(re.search(r"--leave \d+", remedy) for remedy in remedies)
    assert any("--allow-restart" in remedy for remedy in remedies)
    table = {row["name"]: row["verdict"] for row in details["targets"]}
    assert table["gitlab"].startswith("blocked: it is locked (backup)")
    assert "live to pve" in table["db01"]
    assert world.writes() == []


def test_no_node_has_the_memory(tmp_path: Path) -> None:
    world = make_world(tmp_path)
    with pytest.raises(PveopsError) as caught:
        ask(world, "node.evacuate", "pve2", target="pve3", **STUCK)
    findings = caught.value.details["findings"]
    short = [finding for finding in findings if finding.code == "move.no-place"]
    assert short
    assert all("pve3: " in finding.message and "memory" in finding.message for finding in short)


def test_a_spare_node_that_was_asked_for_is_kept(tmp_path: Path) -> None:
    world = make_world(tmp_path)
    with pytest.raises(PveopsError) as caught:
        ask(world, "node.evacuate", "pve2", spare=1, **STUCK)
    found = [f.message for f in caught.value.details["findings"] if f.code == "move.no-place"]
    assert any("kept for a failing node" in message for message in found)


def test_what_would_cost_the_quorum_is_refused(tmp_path: Path) -> None:
    world = make_world(tmp_path)
    power_off_node(world.cluster, world.cluster.nodes["pve3"])
    with pytest.raises(PveopsError, match="without pve2 1 of 3 votes"):
        ask(world, "node.evacuate", "pve2", **STUCK)
    assert world.writes() == []


def test_guests_that_a_rule_keeps_apart_are_not_put_together(tmp_path: Path) -> None:
    world = make_world(tmp_path)
    pair = {"resources": "vm:103,vm:108,vm:112", "affinity": "negative"}
    world.cluster.ha.rules["apart"] = {"type": "resource-affinity", **pair}
    with pytest.raises(PveopsError) as caught:
        ask(world, "node.evacuate", "pve2", **STUCK)
    assert "a rule keeps it apart from" in str(caught.value.details["findings"])


# -- half-way -----------------------------------------------------------------------


def test_it_stops_at_the_first_failure_and_goes_on_when_told_to(tmp_path: Path) -> None:
    world = make_world(tmp_path)
    change = ask(world, "node.evacuate", "pve2", **STUCK)
    path = r"/qemu/103/migrate$"
    world.cluster.faults.add("task-error", method="POST", path=path, reason="migration aborted")
    receipt = agree(world, change)
    assert (receipt.status, receipt.exit_code) == ("partial", 11)
    by_name = {item.target.name: item for item in receipt.items}
    assert by_name["db01"].status == "failed"
    held = [item for item in receipt.items if item.status == "not-executed"]
    assert held
    assert all("db01" in item.message for item in held)
    assert held[0].hint.endswith(f"`pve run resume {receipt.run}`")
    assert "still running on pve2" in receipt.remark
    check_places(world, receipt)

    again = resume_run(world.session, receipt.run)

    assert again.exit_code == 11
    assert {i.target.name for i in again.items if i.status != "done"} == {"db01"}
    assert guests_on(world, "pve2") == {103, 105, 120}
    check_places(world, again)


def test_it_stops_when_a_node_is_lost_and_goes_on_when_that_is_back(tmp_path: Path) -> None:
    world = make_world(tmp_path)
    change = ask(world, "node.evacuate", "pve2", target="pve1", **STUCK)
    pve3 = world.cluster.nodes["pve3"]
    world.cluster.timeline.after(20.0, lambda: power_off_node(world.cluster, pve3))
    receipt = agree(world, change)
    assert receipt.exit_code == 11
    held = [item for item in receipt.items if item.status == "not-executed"]
    assert held
    assert all("pve3 is not online" in item.message for item in held)
    check_places(world, receipt)
    power_on_node(world.cluster, pve3)
    again = resume_run(world.session, receipt.run)
    assert again.status == "done", again
    check_places(world, again)


def test_it_stops_when_a_storage_is_lost(tmp_path: Path) -> None:
    world = make_world(tmp_path)
    change = ask(world, "node.evacuate", "pve2", target="pve1", **STUCK)
    backing = world.cluster.storages.backings["backups", ""]
    world.cluster.timeline.after(5.0, lambda: setattr(backing, "is_online", False))
    receipt = agree(world, change)
    assert receipt.exit_code == 11
    held = [item for item in receipt.items if item.status == "not-executed"]
    assert "storage backups is not active on pve1" in held[0].message


def test_a_guest_that_came_meanwhile_keeps_it_from_being_done(tmp_path: Path) -> None:
    world = make_world(tmp_path)
    change = ask(world, "node.evacuate", "pve2", **STUCK)
    add_vm(world.cluster, "pve2", 150, "newcomer")
    receipt = agree(world, change)
    assert (receipt.status, receipt.exit_code) == ("partial", 11)
    assert "still running on pve2: newcomer" in receipt.remark
    assert {item.status for item in receipt.items} == {"done"}


@pytest.mark.parametrize("before", [True, False], ids=["before", "after"])
@pytest.mark.parametrize("line", [1, 2, 3, 6, 9, 13])
def test_killed_in_the_middle_each_guest_moves_at_most_once(
    line: int, before: bool, tmp_path: Path
) -> None:
    world = make_world(tmp_path)
    change = ask(world, "node.evacuate", "pve2", **STUCK)
    kill_at(world, line, before=before)
    with pytest.raises(KilledError):
        agree(world, change)
    heir = join_world(tmp_path, world.seed)
    receipt = resume_run(heir.session, heir.session.store.list_runs()[0].id)
    stayed = {item.target.name for item in receipt.items if item.status != "done"}
    assert len(stayed) <= 2
    assert guests_on(world, "pve2") == {105, 120} | {guest_of(world, name).vmid for name in stayed}
    check_places(heir, receipt)


def test_what_was_agreed_to_may_be_resumed_hours_later(tmp_path: Path) -> None:
    """A plan of tier 3 is valid for minutes, and an evacuation takes hours."""
    world = make_world(tmp_path)
    change = ask(world, "node.evacuate", "pve2", **STUCK)
    kill_at(world, 8, before=False)
    with pytest.raises(KilledError):
        agree(world, change)
    world.cluster.timeline.advance(4 * 3600)
    heir = join_world(tmp_path, world.seed)
    receipt = resume_run(heir.session, heir.session.store.list_runs()[0].id)
    stayed = [item for item in receipt.items if item.status != "done"]
    assert len(stayed) <= 2, stayed
    assert all("never took effect" in item.message for item in stayed)
    check_places(heir, receipt)


def test_forty_guests_one_failing_a_node_dying_and_a_kill(tmp_path: Path) -> None:
    """In the end each guest is in one place, nothing moved twice, and the report is the truth."""
    world = make_world(tmp_path, seed="scale-100")
    for guest in world.cluster.guests.values():
        guest.config["onboot"] = 1
        if guest.node in {"pve1", "pve3"} and len(guests_on(world, "pve2")) < 40:
            guest.node = "pve2"
    before = guests_on(world, "pve2")
    assert len(before) == 40
    change = ask(world, "node.evacuate", "pve2", allow_restart=True)
    failing = plan_of(change).items[5].target
    path = rf"/{failing.kind}/{failing.id}/migrate$"
    world.cluster.faults.add("task-error", method="POST", path=path, reason="migration aborted")
    assert agree(world, change).exit_code == 11
    run = world.session.store.list_runs()[0].id
    kill_at(world, 20, before=False)
    with pytest.raises(KilledError):
        resume_run(world.session, run)
    world = join_world(tmp_path, world.seed)
    pve5 = world.cluster.nodes["pve5"]
    world.cluster.timeline.after(5.0, lambda: power_off_node(world.cluster, pve5))
    receipt = resume_run(world.session, run)
    assert receipt.exit_code in {11, 13}
    assert any(item.status == "not-executed" for item in receipt.items)
    check_places(world, receipt, dead="pve5")
    power_on_node(world.cluster, pve5)
    world.cluster.timeline.advance(60)
    while any("not begun" in item.message for item in receipt.items):
        # What was in flight when the node died is a failure that stops the others once more.
        receipt = resume_run(world.session, run)
        check_places(world, receipt)
    done = {int(item.target.id) for item in receipt.items if item.status == "done"}
    assert guests_on(world, "pve2") == before - done
    stayed = [item for item in receipt.items if item.status != "done"]
    assert failing.id in {item.target.id for item in stayed}
    # The one that failed, and at most two in flight at the kill and at the death of the node.
    assert len(stayed) <= 5, stayed


# -- and back -----------------------------------------------------------------------


def test_everybody_comes_back_to_where_they_were(tmp_path: Path) -> None:
    world = make_world(tmp_path)
    before = guests_on(world, "pve2")
    agree(world, ask(world, "node.evacuate", "pve2", **STUCK))
    with pytest.raises(PveopsError, match="stopped, moved and started"):
        ask(world, "node.return", "pve2")
    receipt = agree(world, ask(world, "node.return", "pve2", allow_restart=True))
    assert receipt.status == "done", receipt
    assert receipt.remark == "8 of 8 are back"
    assert guests_on(world, "pve2") == before
    again = ask(world, "node.return", "pve2", allow_restart=True)
    assert again.proposal.plan is None
    assert "nobody is known to be away" in again.proposal.decisions[0].state


def test_who_was_moved_on_or_is_back_is_left_alone(tmp_path: Path) -> None:
    world = make_world(tmp_path)
    agree(world, ask(world, "node.evacuate", "pve2", target="pve1", **STUCK))
    guest_of(world, "wiki").node = "pve3"
    guest_of(world, "paperless").node = "pve2"
    guest_of(world, "db01").config["smbios1"] = "uuid=another"
    change = ask(world, "node.return", "pve2", allow_restart=True)
    names = {item.target.name for item in plan_of(change).items}
    assert names == {"vault", "windows-lab", "dhcp", "proxy", "builder"}
    states = {d.target.name: d.state for d in change.proposal.decisions if d.is_already_so}
    assert states["wiki"] == "on pve3, where somebody moved it since"
    assert states["paperless"] == "back on pve2"
    assert states["db01"] == "another guest by now than the one that was moved"


def test_who_was_moved_long_ago_is_not_moved_back_by_itself(tmp_path: Path) -> None:
    world = make_world(tmp_path)
    agree(world, ask(world, "node.evacuate", "pve2", **STUCK))
    world.cluster.timeline.advance(31 * 86_400)
    change = ask(world, "node.return", "pve2", allow_restart=True)
    assert change.proposal.plan is None
    states = {d.state.partition(" since ")[2] for d in change.proposal.decisions}
    assert states == {"an evacuation 31d ago: move it by its name"}


def test_the_way_back_is_known_after_a_kill(tmp_path: Path) -> None:
    world = make_world(tmp_path)
    change = ask(world, "node.evacuate", "pve2", **STUCK)
    kill_at(world, 9, before=False)
    with pytest.raises(KilledError):
        agree(world, change)
    heir = join_world(tmp_path, world.seed)
    world.cluster.timeline.advance(120)
    away = {vmid for vmid in moved(world) if world.cluster.guests[vmid].node != "pve2"}
    back = ask(heir, "node.return", "pve2", allow_restart=True)
    assert {int(item.target.id) for item in plan_of(back).items} == away


def test_a_return_to_a_dead_node_is_refused(tmp_path: Path) -> None:
    world = make_world(tmp_path)
    agree(world, ask(world, "node.evacuate", "pve2", leave="gitlab,mail01", allow_restart=True))
    power_off_node(world.cluster, world.cluster.nodes["pve2"])
    with pytest.raises(PveopsError):
        ask(world, "node.return", "pve2", allow_restart=True)


def test_consent_is_for_the_whole_plan_once(tmp_path: Path) -> None:
    world = make_world(tmp_path)
    change = ask(world, "node.evacuate", "pve2", **STUCK)
    for consent in (Consent("policy"), Consent("code", "AAAA-2222")):
        with pytest.raises(PveopsError):
            apply_plan(world.session, change.plan_id, consent)
    assert world.writes() == []
