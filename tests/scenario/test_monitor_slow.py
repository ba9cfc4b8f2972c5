"""Slow looks: what they found stays so until they look again, and what they cannot see is told."""

from __future__ import annotations

import re
from collections.abc import Generator
from pathlib import Path

import pytest

from pveops.domain.inventory import read_inventory
from pveops.monitor.guest_notes import GuestNote, choose_guests
from pveops.monitor.survey import survey
from pveops.operations.limits import LIMITS, Limits
from pveops.sim.guest import Process
from pveops.sim.membership import power_off_node, power_on_node
from pveops.sim.tasks import start_task
from tests.commandline import run_line
from tests.monitored import AWAKE, OFF_ON_PURPOSE, Watcher, make_small_world, told
from tests.world import World, make_world

HOUR = 3600
FAILING = ("disk.failing", "disk/pve3/sda")


@pytest.fixture
def watcher(tmp_path: Path) -> Watcher:
    watcher = Watcher(make_small_world(tmp_path))
    assert watcher.look(is_whole=True) == watcher.look() == ()
    assert watcher.blind == ()
    return watcher


def fail_disk(world: World, health: str = "FAILED") -> None:
    (world.cluster.nodes["pve3"].hardware.disks or [])[1].health = health


def test_what_a_slow_look_found_is_told_when_it_looks_and_over_when_it_looks_again(
    watcher: Watcher,
) -> None:
    fail_disk(watcher.world)
    assert watcher.look() == ()
    assert told(watcher.look(6 * HOUR)) == {FAILING}
    fail_disk(watcher.world, "PASSED")
    assert [watcher.look(300) for _ in range(5)] == [()] * 5
    news = (*watcher.look(6 * HOUR), *watcher.look())
    assert told(news, "cleared") == {FAILING}


def test_a_part_that_cannot_be_read_is_as_it_was_and_told_as_a_blind_spot(
    watcher: Watcher,
) -> None:
    fail_disk(watcher.world)
    assert told(watcher.look(is_whole=True)) == {FAILING}
    fail_disk(watcher.world, "PASSED")
    faults = watcher.world.cluster.faults
    faults.add("refuse", path="/nodes/pve[23]/disks/list", status=500, reason="busy", times=0)
    assert watcher.look(6 * HOUR) == watcher.look() == ()
    assert [spot for spot in watcher.blind if "drives" in spot] == ["drives of pve2, pve3: busy"]
    faults.clear()
    news = (*watcher.look(1800), *watcher.look())
    assert told(news, "cleared") == {FAILING}
    assert watcher.blind == ()


def test_what_lies_on_a_dead_node_stays_and_is_looked_at_when_it_is_back(
    watcher: Watcher,
) -> None:
    fail_disk(watcher.world)
    assert told(watcher.look(is_whole=True)) == {FAILING}
    cluster = watcher.world.cluster
    power_off_node(cluster, cluster.nodes["pve3"])
    since = len(cluster.journal)
    news = [watcher.look(7 * HOUR) for _ in range(3)]
    assert FAILING not in {pair for each in news for pair in told(each, "cleared")}
    assert not [each for each in cluster.journal[since:] if "/nodes/pve3/" in each["path"]]
    fail_disk(watcher.world, "PASSED")
    power_on_node(cluster, cluster.nodes["pve3"])
    news = [watcher.look(), watcher.look()]
    assert FAILING in {pair for each in news for pair in told(each, "cleared")}


@pytest.mark.parametrize(
    ("privilege", "spot", "path"),
    [
        ("Sys.Modify", "pending updates (needs Sys.Modify on /nodes)", r"/apt/update$"),
        ("Sys.Audit", "ZFS and thin pools (needs Sys.Audit on /)", r"/disks/zfs$"),
        ("Sys.Audit", "clock (needs Sys.Audit on /nodes)", r"/time$"),
        (
            "Datastore.Audit",
            "storages (needs Datastore.Audit on /storage)",
            r"/storage/[^/]+/rrddata$",
        ),
        ("VM.GuestAgent", "whether the agents of 7 VMs answer", r"/agent/info$"),
    ],
)
def test_what_the_token_may_not_see_is_told_and_not_asked_for(
    privilege: str, spot: str, path: str, tmp_path: Path
) -> None:
    world = make_small_world(tmp_path)

    def look() -> tuple[tuple[str, ...], int]:
        since, watcher = len(world.cluster.journal), Watcher(world)
        watcher.look(is_whole=True)
        asked = [row["path"] for row in world.cluster.journal[since:]]
        return watcher.blind, sum(bool(re.search(path, each)) for each in asked)

    blind, count = look()
    assert (blind, bool(count)) == ((), True)
    role = world.cluster.access.roles["AgentOperate"]
    world.cluster.access.roles["AgentOperate"] = frozenset(
        each for each in role if not each.startswith(privilege)
    )
    blind, count = look()
    assert any(spot in each for each in blind)
    assert count == 0


def test_a_token_that_is_not_taken_any_more_is_a_problem_and_ends_nothing(
    watcher: Watcher,
) -> None:
    fail_disk(watcher.world)
    watcher.look(is_whole=True)
    access = watcher.world.cluster.access
    access.revoked.add(watcher.world.seed.token_id)
    assert told(watcher.look()) == {("cluster.refused", "cluster")}
    assert watcher.look(7 * HOUR) == ()
    access.revoked.clear()
    news = (*watcher.look(), *watcher.look())
    assert told(news, "cleared") == {("cluster.refused", "cluster")}


def test_a_full_root_is_told_by_whoever_sees_it(tmp_path: Path) -> None:
    """Once by its storage, and by the node where the storage is hidden."""
    found = []
    for hidden in (False, True):
        world = make_small_world(tmp_path)
        world.cluster.storages.backings["local", "pve2"].used_elsewhere_bytes = 99 << 30
        if hidden:
            world.cluster.access.roles["AgentOperate"] -= {"Datastore.Audit"}
        watcher = Watcher(world, str(hidden))
        found.append(told(watcher.look()))
    assert found == [
        {("storage.full", "storage/pve2/local")},
        {("node.root-full", "node/pve2")},
    ]


def test_a_storage_that_is_gone_does_not_stop_filling(watcher: Watcher) -> None:
    cluster = watcher.world.cluster
    backing = cluster.storages.backings["local", "pve2"]
    backing.used_elsewhere_bytes, backing.grown_at = 60 << 30, cluster.timeline.now()
    backing.growth_bytes_s = (40 << 30) / (3 * 86_400)
    filling = ("storage.filling", "storage/pve2/local")
    assert filling in told((*watcher.look(6 * HOUR), *watcher.look()))
    backing.is_online = False
    news = [watcher.look(12 * HOUR) for _ in range(4)]
    assert filling not in {pair for each in news for pair in told(each, "cleared")}


def test_before_nine_an_agent_is_asked_by_another_privilege(tmp_path: Path) -> None:
    world = make_small_world(tmp_path, "8.4")
    world.cluster.guests[AWAKE].temper.agent = "absent"
    watcher = Watcher(world)
    watcher.look(is_whole=True)
    news = (*watcher.look(300, is_whole=True), *watcher.look())
    assert told(news) == {("guest.agent-silent", f"vm/{AWAKE}")}
    world.cluster.access.roles["AgentOperate"] -= {"VM.Monitor"}
    watcher.look(is_whole=True)
    assert any("agents of 7 VMs" in spot for spot in watcher.blind)
    assert watcher.look() == ()


# -- guests ------------------------------------------------------------------------


def test_a_lock_is_told_half_an_hour_after_its_task_has_gone(watcher: Watcher) -> None:
    cluster = watcher.world.cluster
    guest = cluster.guests[AWAKE]

    def body(_: object) -> Generator[float, None, None]:
        yield 5 * HOUR

    node = cluster.nodes[guest.node]
    task = start_task(node, "vzdump", guest.vmid, "root@pam", body)
    guest.config["lock"] = "backup"
    assert [watcher.look(HOUR) for _ in range(3)] == [()] * 3
    task.vanish()
    found = [told(watcher.look(600)) for _ in range(5)]
    locked = ("guest.locked", f"vm/{AWAKE}")
    assert [locked in each for each in found] == [False, False, False, True, False]


def test_an_agent_is_silent_when_two_looks_say_so_and_none_while_it_boots(
    watcher: Watcher,
) -> None:
    cluster = watcher.world.cluster
    guest = cluster.guests[AWAKE]
    guest.temper.agent = "hangs"
    guest.process = Process(1, cluster.timeline.now(), {})
    assert watcher.look(is_whole=True) == ()
    assert watcher.look(20 * 60, is_whole=True) == ()
    guest.temper.agent = "answers"
    assert [watcher.look(300) for _ in range(3)] == [()] * 3
    guest.temper.agent = "hangs"
    assert watcher.look(is_whole=True) == ()
    news = (*watcher.look(300), *watcher.look())
    assert told(news) == {("guest.agent-silent", f"vm/{AWAKE}")}
    guest.temper.agent = "answers"
    news = (*watcher.look(HOUR), *watcher.look())
    assert told(news, "cleared") == {("guest.agent-silent", f"vm/{AWAKE}")}


def test_a_guest_that_is_put_out_of_service_is_never_told(watcher: Watcher) -> None:
    guest = watcher.world.cluster.guests[AWAKE]
    guest.config["onboot"] = 0
    guest.process = None
    assert [watcher.look(300) for _ in range(6)] == [()] * 6
    off = watcher.world.cluster.guests[102]
    off.process = None
    news = [watcher.look(300) for _ in range(3)]
    assert {pair for each in news for pair in told(each)} == {("guest.not-running", "vm/102")}


def test_guests_in_doubt_take_turns_with_those_that_nobody_has_seen(watcher: Watcher) -> None:
    guests = watcher.see().memory.notes
    inventory = [
        guest
        for guest in read_inventory(watcher.world.session.reader).guests
        if guest.vmid not in {OFF_ON_PURPOSE}
    ]
    now = int(watcher.world.cluster.timeline.now()) + 600
    doubtful = {vmid: GuestNote(now - 600, now - 600, silent=1) for vmid in (101, 102, 103)}
    chosen = choose_guests(inventory, doubtful, frozenset(), now, 2, LIMITS)
    assert [guest.vmid for guest in chosen] == [101, 104]
    chosen = choose_guests(inventory, {**guests, **doubtful}, frozenset(), now, 2, LIMITS)
    assert [guest.vmid for guest in chosen] == [101, 102]
    gone = frozenset({"pve1", "pve2", "pve3"})
    assert choose_guests(inventory, doubtful, gone, now, 9, LIMITS) == ()
    chosen = choose_guests(inventory, guests, frozenset(), now, None, LIMITS)
    assert len(chosen) == len(inventory)


def test_days_of_nought_switch_a_check_off(tmp_path: Path) -> None:
    world = make_small_world(tmp_path)
    for guest in world.cluster.guests.values():
        guest.snapshots["old"], guest.config["parent"] = {"snaptime": 1}, "old"
    node = world.cluster.nodes["pve1"]
    node.hardware.certificates["pve-ssl.pem"].not_after = 1
    backing = world.cluster.storages.backings["backups", ""]
    backing.volumes.clear()
    off = Limits(filling_days=0, certificate_days=0, snapshot_days=0, backup_days=0)
    now = int(world.cluster.timeline.now())
    assert survey(world.session.reader, now, off, is_whole=True).seen.findings == ()
    codes = {each.code for each in survey(world.session.reader, now, is_whole=True).seen.findings}
    assert codes == {"guest.snapshot-old", "certificate.ended", "backup.none"}


def test_a_cluster_without_any_backup_says_so_once(tmp_path: Path) -> None:
    world = make_small_world(tmp_path)
    world.cluster.storages.backings["backups", ""].volumes.clear()
    news = Watcher(world)
    news.look(is_whole=True)
    assert told(news.look()) == {("backup.none", "cluster")}


def test_the_command_takes_every_look_at_once(tmp_path: Path) -> None:
    world = make_world(tmp_path)
    run_line(world, tmp_path, "pve monitor run --all")
    world.cluster.timeline.advance(90)
    outcome = run_line(world, tmp_path, "pve monitor run --all")
    assert outcome.code == 21
    assert "starts at boot (onboot), but it is stopped" in outcome.out
    assert "web01 has no backup" in outcome.out
    blind = run_line(world, tmp_path, "pve monitor run --json").json["data"]["blind_spots"]
    assert not [spot for spot in blind if "not looked into" in spot]
