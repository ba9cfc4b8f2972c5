"""Alerts come when something changed, once; and what is told is what is so."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from pveops.monitor.scan import watch
from pveops.sim.guest import Guest
from pveops.sim.membership import power_off_node
from pveops.sim.model import Node
from tests.commandline import Outcome, run_line
from tests.world import World, make_world

LATER_S = 90
_WORLDS = 40


def look(world: World, folder: Path, words: str = "") -> Outcome:
    world.cluster.timeline.advance(LATER_S)
    return run_line(world, folder, f"pve monitor run {words}")


# -- what is told is what is so ------------------------------------------------------


class Mischief:
    """Random troubles of a cluster that had none, each known by what it did."""

    def __init__(self, world: World, seed: int) -> None:
        self._cluster = world.cluster
        self._random = random.Random(seed)

    def make(self) -> set[tuple[str, str]]:
        """What is wrong then, by the simulator's own state; of a dead node nothing is known."""
        dead = self._random.choice(["", "", "pve3"])
        alive = [each for each in self._cluster.guests.values() if each.node != dead]
        truth = {*self._lock(alive), *self._freeze(alive)}
        for node in self._cluster.nodes.values():
            truth |= self._fill(node) if node.name != dead else set()
        if dead:
            power_off_node(self._cluster, self._cluster.nodes[dead])
            truth.add(("node.not-online", f"node/{dead}"))
        return truth

    def _lock(self, guests: list[Guest]) -> set[tuple[str, str]]:
        chosen = [guest for guest in guests if self._random.random() < 0.2]
        for guest in chosen:
            guest.config["lock"] = self._random.choice(["backup", "migrate", "snapshot"])
        return {("guest.locked", _subject(guest)) for guest in chosen}

    def _freeze(self, guests: list[Guest]) -> set[tuple[str, str]]:
        found = set()
        for guest in guests:
            if guest.kind == "qemu" and guest.process and self._random.random() < 0.2:
                how = self._random.choice(["paused", "io-error"])
                guest.process.qmpstatus = how
                code = "guest.paused" if how == "paused" else "guest.halted"
                found.add((code, _subject(guest)))
        return found

    def _fill(self, node: Node) -> set[tuple[str, str]]:
        storages = self._cluster.storages
        backing = storages.backing(storages.definitions["local"], node)
        share = self._random.choice([0.5, 0.5, 0.9, 0.97])
        backing.used_elsewhere_bytes = int(backing.total_bytes * share)
        if share < 0.85:
            return set()
        code = "storage.full" if share > 0.95 else "storage.nearly-full"
        return {(code, f"storage/{node.name}/local")}


def _subject(guest: Guest) -> str:
    return f"{'vm' if guest.kind == 'qemu' else 'ct'}/{guest.vmid}"


def told(outcome: Outcome, kind: str) -> set[tuple[str, str]]:
    """Codes and subjects of the news of a kind."""
    news = outcome.json["data"]["news"]
    return {(each["finding"], each["subject"]) for each in news if each["kind"] == kind}


@pytest.mark.parametrize("seed", range(_WORLDS))
def test_of_a_random_world_exactly_what_is_so_is_told_and_once(seed: int, tmp_path: Path) -> None:
    world = make_world(tmp_path, seed="three-node-ceph")
    assert look(world, tmp_path, "--json").json["data"]["news"] == []
    truth = Mischief(world, seed).make()
    first, second = look(world, tmp_path, "--json"), look(world, tmp_path, "--json")
    found = told(first, "raised") | told(second, "raised")
    assert {each for each in found if not each[0].startswith(NEIGHBOURS)} == truth
    assert look(world, tmp_path).out == ""
    assert look(world, tmp_path, "--if-quiet NO_REPLY") == Outcome(0, "NO_REPLY\n", "")


NEIGHBOURS = ("ceph.", "ha.")
"""What follows from a dead node, and has tests of its own."""


# -- one trouble from its beginning to its end ---------------------------------------


def test_an_alert_begins_is_known_and_ends(tmp_path: Path) -> None:
    world = make_world(tmp_path, seed="three-node-ceph")
    assert look(world, tmp_path) == Outcome(0, "", "")
    guest = next(each for each in world.cluster.guests.values() if each.process)
    guest.config["lock"] = "backup"
    outcomes = [look(world, tmp_path) for _ in range(3)]
    assert [each.out != "" for each in outcomes] == [False, True, False]
    assert outcomes[1].code == outcomes[2].code == 20
    assert f"{guest.name} is locked (backup)" in outcomes[1].out
    status = run_line(world, tmp_path, "pve monitor status --json").json["data"]["items"]
    assert [each["subject"] for each in status] == [_subject(guest)]
    name = status[0]["id"]
    assert run_line(world, tmp_path, f"pve monitor ack {name} --why known").code == 0
    assert look(world, tmp_path).out == ""
    del guest.config["lock"]
    outcomes = [look(world, tmp_path) for _ in range(3)]
    assert [each.out != "" for each in outcomes] == [False, True, False]
    assert outcomes[1].out.splitlines()[1].startswith(f"cleared {_subject(guest)}")
    assert outcomes[2].code == 0
    kinds = [
        each["kind"]
        for each in run_line(world, tmp_path, "pve monitor history --json").json["data"]["items"]
    ]
    assert kinds == ["cleared", "raised"]


def test_what_stood_on_a_dead_node_is_not_said_to_be_over(tmp_path: Path) -> None:
    world = make_world(tmp_path, seed="three-node-ceph")
    guest = next(each for each in world.cluster.guests.values() if each.node == "pve3")
    guest.config["lock"] = "backup"
    assert [look(world, tmp_path).code for _ in range(2)] == [0, 20]
    power_off_node(world.cluster, world.cluster.nodes["pve3"])
    for _ in range(4):
        assert "cleared" not in look(world, tmp_path).out
    status = run_line(world, tmp_path, "pve monitor status")
    assert "is locked (backup)" in status.out


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
    seen, _ = watch(world.session.reader, 1_000)
    _, news = advance((), seen, Rules(raise_after_s=0))
    message = message_of(news)
    assert "](http" not in message
    assert len(message.splitlines()) == len(news)


@pytest.mark.parametrize("pattern", ["*", "?*", "***"])
def test_silencing_everything_is_refused(pattern: str, tmp_path: Path) -> None:
    world = make_world(tmp_path)
    outcome = run_line(world, tmp_path, f"pve monitor silence '{pattern}' --for 1h")
    assert outcome.code == 2


def test_a_look_asks_little_however_many_guests_there_are(tmp_path: Path) -> None:
    counts = []
    for seed in ("homelab", "three-node-ceph"):
        folder = tmp_path / seed
        folder.mkdir()
        world = make_world(folder, seed=seed)
        counts.append(look(world, folder, "--json").json["meta"]["requests"])
    assert max(counts) <= 12
