"""rrddata of the simulated cluster follows its state: what ran, what was on, what was there."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from pveops.sim.membership import power_off_node, power_on_node
from pveops.units import DAY_S, HOUR_S
from tests.world import World, make_world

VERSIONS = ("8.4", "9.0", "9.1", "9.2")


def rows(world: World, path: str, timeframe: str = "hour", **params: str) -> list[dict[str, Any]]:
    found = world.session.reader.get(f"{path}/rrddata", {"timeframe": timeframe, **params})
    assert isinstance(found, list)
    return found


@pytest.mark.parametrize("version", VERSIONS)
def test_steps_and_pressure_are_those_of_the_version(version: str, tmp_path: Path) -> None:
    """PVE::RRD: 70 rows of each timeframe before 9.0, a day of minutes since; PSI since 9.0."""
    world = make_world(tmp_path, version=version)
    day = rows(world, "/nodes/pve1", "day")
    is_new = version != "8.4"
    assert day[1]["time"] - day[0]["time"] == (60 if is_new else 1800)
    assert ("pressureiosome" in day[-1]) == is_new
    assert ("memhost" in rows(world, "/nodes/pve1/qemu/101")[-1]) == is_new


def test_a_guest_that_is_off_has_its_sizes_and_no_load(tmp_path: Path) -> None:
    """A stopped container recorded on 9.2 answered maxcpu, maxmem, disk and maxdisk alone."""
    world = make_world(tmp_path)
    stopped = rows(world, "/nodes/pve3/lxc/202", "week")
    assert set(stopped[-1]) == {"time", "maxcpu", "maxmem", "maxdisk", "disk"}
    ran = [row["time"] for row in stopped if "cpu" in row]
    assert ran[-1] == pytest.approx(world.cluster.timeline.now() - 1.6 * DAY_S, abs=HOUR_S)


def test_what_is_stopped_now_ran_before_and_what_was_made_now_did_not(tmp_path: Path) -> None:
    world = make_world(tmp_path)
    guest, timeline = world.cluster.guests[101], world.cluster.timeline
    timeline.advance(600)
    guest.end_process(timeline.now())
    timeline.advance(600)
    loads = ["cpu" in row for row in rows(world, "/nodes/pve1/qemu/101")[-19:]]
    assert loads == [True] * 9 + [False] * 10 or loads == [True] * 10 + [False] * 9
    guest.created_at = timeline.now() - 130
    assert sum(len(row) > 1 for row in rows(world, "/nodes/pve1/qemu/101")) <= 3


def test_a_dead_node_has_a_gap_and_is_told_by_the_others(tmp_path: Path) -> None:
    world = make_world(tmp_path)
    node, timeline = world.cluster.nodes["pve2"], world.cluster.timeline
    power_off_node(world.cluster, node)
    timeline.advance(1200)
    assert [len(row) for row in rows(world, "/nodes/pve2")[-18:]] == [1] * 18
    power_on_node(world.cluster, node)
    timeline.advance(600)
    found = rows(world, "/nodes/pve2")
    assert "cpu" in found[0]
    assert "cpu" in found[-1]
    assert 18 <= sum("cpu" not in row for row in found) <= 24


def test_the_newest_row_of_a_storage_is_what_it_holds_and_it_grew_to_that(tmp_path: Path) -> None:
    world = make_world(tmp_path)
    path = "/nodes/pve1/storage/backups"
    for _ in range(2):
        status = world.session.reader.get(f"{path}/status")
        month = rows(world, path, "month")
        assert isinstance(status, dict)
        assert month[-1]["used"] == pytest.approx(status["used"], rel=0.01)
        assert month[0]["used"] < month[-1]["used"] < month[-1]["total"]
        world.cluster.timeline.advance(3 * DAY_S)


def test_a_deleted_volume_was_there_before(tmp_path: Path) -> None:
    world = make_world(tmp_path)
    storages, node = world.cluster.storages, world.cluster.nodes["pve1"]
    volume = next(
        each
        for each in storages.list_volumes(node, storages.get("backups"))
        if each.content == "backup"
    )
    used = [row["used"] for row in rows(world, "/nodes/pve1/storage/backups")]
    world.cluster.timeline.advance(60)
    assert storages.free(node, volume.volid)
    world.cluster.timeline.advance(120)
    after = [row["used"] for row in rows(world, "/nodes/pve1/storage/backups")]
    assert after[30] >= used[30]
    assert after[-1] == pytest.approx(used[-1] - volume.used_bytes, rel=0.001)


def test_a_storage_that_is_lost_has_a_gap_since_then(tmp_path: Path) -> None:
    world = make_world(tmp_path)
    storages, node = world.cluster.storages, world.cluster.nodes["pve1"]
    backing = storages.backing(storages.get("backups"), node)
    backing.set_online(False, world.cluster.timeline.now())
    world.cluster.timeline.advance(600)
    found = rows(world, "/nodes/pve1/storage/backups")
    assert "used" in found[0]
    assert "used" not in found[-2]


def test_the_average_of_a_week_is_what_the_inventory_tells(tmp_path: Path) -> None:
    world = make_world(tmp_path)
    row = next(
        each
        for each in world.session.reader.get("/cluster/resources") or ()  # type: ignore[union-attr]
        if isinstance(each, dict) and each.get("id") == "qemu/101"
    )
    loads = [each["cpu"] for each in rows(world, "/nodes/pve1/qemu/101", "week")]
    assert sum(loads) / len(loads) == pytest.approx(row["cpu"], rel=0.15)


def test_peaks_are_not_below_averages_and_two_looks_see_the_same(tmp_path: Path) -> None:
    world = make_world(tmp_path)
    average = rows(world, "/nodes/pve1", "week", cf="AVERAGE")
    peak = rows(world, "/nodes/pve1", "week", cf="MAX")
    assert all(a["cpu"] <= b["cpu"] for a, b in zip(average, peak, strict=True) if "cpu" in a)
    world.cluster.timeline.advance(1800)
    assert rows(world, "/nodes/pve1", "week")[:-1] == average[1:]
