"""Alerts come when something changed, once; and what is told is what is so."""

from __future__ import annotations

from pathlib import Path

import pytest

from pveops.monitor.survey import survey
from pveops.sim.membership import power_off_node
from tests.commandline import Outcome, run_line
from tests.world import World, make_world

LATER_S = 90


def look(world: World, folder: Path, words: str = "") -> Outcome:
    world.cluster.timeline.advance(LATER_S)
    return run_line(world, folder, f"pve monitor run {words}")


# -- one trouble from its beginning to its end ---------------------------------------


def test_an_alert_begins_is_known_and_ends(tmp_path: Path) -> None:
    world = make_world(tmp_path, seed="three-node-ceph")
    assert look(world, tmp_path) == Outcome(0, "", "")
    assert "note node/pve1: it runs" in look(world, tmp_path).out
    guest = next(each for each in world.cluster.guests.values() if each.process)
    assert guest.process is not None
    guest.process.qmpstatus = "paused"
    outcomes = [look(world, tmp_path) for _ in range(3)]
    assert [each.out != "" for each in outcomes] == [False, True, False]
    assert outcomes[1].code == outcomes[2].code == 20
    assert f"{guest.name} is paused" in outcomes[1].out
    status = run_line(world, tmp_path, "pve monitor status --json").json["data"]["items"]
    (alert,) = (each for each in status if each["finding"] == "guest.paused")
    assert alert["subject"] == f"vm/{guest.vmid}"
    name = alert["id"]
    assert run_line(world, tmp_path, f"pve monitor ack {name} --why known").code == 0
    assert look(world, tmp_path).out == ""
    guest.process.qmpstatus = "running"
    outcomes = [look(world, tmp_path) for _ in range(3)]
    assert [each.out != "" for each in outcomes] == [False, True, False]
    assert outcomes[1].out.splitlines()[1].startswith(f"cleared vm/{guest.vmid}")
    assert outcomes[2].code == 0
    kinds = [
        each["kind"]
        for each in run_line(world, tmp_path, "pve monitor history --json").json["data"]["items"]
    ]
    assert kinds[:2] == ["cleared", "raised"]


def test_what_stood_on_a_dead_node_is_not_said_to_be_over(tmp_path: Path) -> None:
    world = make_world(tmp_path, seed="three-node-ceph")
    guest = next(each for each in world.cluster.guests.values() if each.node == "pve3")
    assert guest.process is not None
    guest.process.qmpstatus = "paused"
    assert [look(world, tmp_path).code for _ in range(2)] == [0, 20]
    power_off_node(world.cluster, world.cluster.nodes["pve3"])
    for _ in range(4):
        assert "cleared" not in look(world, tmp_path).out
    status = run_line(world, tmp_path, "pve monitor status")
    assert f"{guest.name} is paused" in status.out


def test_a_cluster_that_nobody_reaches_is_an_alert_and_ends_none(tmp_path: Path) -> None:
    world = make_world(tmp_path)
    assert look(world, tmp_path).code == 21
    look(world, tmp_path)
    world.cluster.faults.add("refuse", path=r".*", status=595, times=0)
    lost = look(world, tmp_path)
    assert lost.code == 21
    assert "PROBLEM cluster:" in lost.out
    assert "cleared" not in lost.out
    assert look(world, tmp_path).out == ""
    world.cluster.faults.clear()
    assert [("cleared cluster" in look(world, tmp_path).out) for _ in range(2)] == [False, True]


def test_a_flood_of_news_is_sent_as_its_worst_and_a_number(tmp_path: Path) -> None:
    from pveops.cli.monitor import message_of
    from pveops.monitor.alerts import Rules, Seen, advance
    from pveops.operations.findings import Finding

    findings = [Finding("backup.old", "warn", f"vm/{vmid}", "old") for vmid in range(500)]
    findings.append(Finding("storage.full", "block", "storage/pve1/local", "local is full"))
    _, news = advance((), Seen(0, tuple(findings)), Rules(raise_after_s=0))
    message = message_of(news)
    assert len(message) < 4000
    assert message.startswith("PROBLEM storage/pve1/local")
    assert message.endswith("and 476 more: pve monitor status, pve monitor history")


def test_what_the_token_may_not_see_is_told_as_such(tmp_path: Path) -> None:
    world = make_world(tmp_path, seed="three-node-ceph")
    world.cluster.access.roles["AgentOperate"] -= {"Datastore.Audit"}
    data = look(world, tmp_path, "--json").json["data"]
    assert any("storages" in spot for spot in data["blind_spots"])
    assert "blind spot" in run_line(world, tmp_path, "pve monitor status").out


def test_a_name_neither_links_nor_forges_a_line_where_it_is_sent(tmp_path: Path) -> None:
    from pveops.cli.monitor import message_of
    from pveops.monitor.alerts import Rules, advance

    world = make_world(tmp_path, seed="three-node-ceph")
    guest = next(each for each in world.cluster.guests.values() if each.kind == "qemu")
    guest.config |= {"name": "x [pay](http://evil.example)\ncleared vm/1", "lock": "backup"}
    world.cluster.timeline.advance(LATER_S)
    seen = survey(world.session.reader, 1_000).seen
    _, news = advance((), seen, Rules(raise_after_s=0))
    message = message_of(news)
    assert "](http" not in message
    assert len(message.splitlines()) == len(news)


@pytest.mark.parametrize(
    "pattern", ["*", "?*", "***", "[a-z]*", "*.*", "[!_]*", "*/*", "al_*", "[b-z]*", "*-*"]
)
def test_silencing_everything_is_refused(pattern: str, tmp_path: Path) -> None:
    world = make_world(tmp_path)
    outcome = run_line(world, tmp_path, f"pve monitor silence '{pattern}' --for 1h")
    assert outcome.code == 2


def test_that_a_problem_is_known_only_a_person_says(tmp_path: Path) -> None:
    world = make_world(tmp_path)
    assert run_line(world, tmp_path, "pve monitor run").code == 21
    rows = run_line(world, tmp_path, "pve monitor status --json").json["data"]["items"]
    problem = next(row["id"] for row in rows if row["severity"] == "block")
    refused = run_line(world, tmp_path, f"pve monitor ack {problem}")
    assert refused.code == 4
    assert "for a person at a terminal to say" in refused.out


def test_status_says_what_is_known_of_an_alert_and_what_seems_over(tmp_path: Path) -> None:
    world = make_world(tmp_path)
    for _ in range(2):
        run_line(world, tmp_path, "pve monitor run")
        world.cluster.timeline.advance(3600)
    run_line(world, tmp_path, "pve monitor ack vm/132 --why 'paused for the audit'")
    assert "paused for the audit" in run_line(world, tmp_path, "pve monitor status").out
    guest = next(each for each in world.cluster.guests.values() if each.vmid == 132)
    assert guest.process is not None
    guest.process.qmpstatus = "running"
    run_line(world, tmp_path, "pve monitor run")
    rows = run_line(world, tmp_path, "pve monitor status --json").json["data"]["items"]
    states = {row["subject"]: row["state"] for row in rows}
    assert states["vm/132"] == "seems over"
    assert states["vm/120"] == ""
    young = sum(row["state"] == "not told yet" for row in rows)
    verdict = run_line(world, tmp_path, "pve monitor status").out.splitlines()[0]
    assert (f", {young} not told yet" in verdict) == bool(young)
