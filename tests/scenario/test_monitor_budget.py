"""How much a look asks: little, however many guests there are."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

import pytest

from pveops.monitor.survey import MOST_REQUESTS, Memory, survey
from pveops.operations.limits import LIMITS
from tests.monitored import Watcher, make_small_world
from tests.world import World, make_world

_OF_NODES = re.compile(
    r"/nodes/[^/]+/(?:rrddata|time|disks/list|disks/zfs|disks/lvmthin|certificates/info|status|"
    r"apt/versions|apt/update|replication)"
)
_OF_STORAGES = re.compile(r"/nodes/[^/]+/storage/[^/]+/(?:rrddata|content|prunebackups)")
_GUEST = re.compile(r"/nodes/[^/]+/(?:qemu|lxc)/\d+/.*")


class Count(Counter[str]):
    """Requests by what they are for: `nodes`, `storages`, `guests`, `cluster`."""

    @property
    def beside(self) -> int:
        """All that nodes and storages do not need."""
        return self["guests"] + self["cluster"]


def count_requests(world: World, since: int) -> Count:
    """Since so many journal entries."""
    count = Count()
    for entry in world.cluster.journal[since:]:
        path = entry["path"].removeprefix("/api2/json")
        if _OF_NODES.fullmatch(path):
            count["nodes"] += 1
        elif _OF_STORAGES.fullmatch(path):
            count["storages"] += 1
        else:
            count["guests" if _GUEST.fullmatch(path) else "cluster"] += 1
    return count


def test_ten_thousand_guests_take_a_dozen_requests_more_than_nodes_and_storages(
    tmp_path: Path,
) -> None:
    """At the first look everything is due; later ones go on with the guests."""
    world = make_world(tmp_path, seed="scale-10000")
    reader, timeline = world.session.reader, world.cluster.timeline
    memory, counts = Memory({}, {}), []
    for later_s in (0, 300, 3600):
        timeline.advance(later_s)
        since = len(world.cluster.journal)
        found = survey(reader, int(timeline.now()), LIMITS, memory)
        memory = found.memory
        counts.append(count_requests(world, since))
    worst, *others = counts
    assert worst["nodes"] <= 9 * 10
    assert worst["storages"] <= 2 * 11
    assert max(count.beside for count in counts) <= MOST_REQUESTS == 12
    assert all(count["nodes"] <= 20 for count in others)
    # Storages with backups are looked at each hour.
    assert [count["storages"] > 0 for count in others] == [False, True]
    assert all(count["guests"] > 0 for count in counts)
    assert "of 10000 guests" in found.blind[-1]
    assert sum(note.read > 0 for note in memory.notes.values()) >= len(counts)


@pytest.mark.parametrize("seed", ["homelab", "three-node-ceph", "two-node"])
def test_no_look_at_any_seed_takes_more(seed: str, tmp_path: Path) -> None:
    world = make_world(tmp_path, seed=seed)
    watcher = Watcher(world)
    for later_s in (0, 90, 300, 3600, 30_000, 90_000):
        since = len(world.cluster.journal)
        watcher.look(later_s)
        assert count_requests(world, since).beside <= MOST_REQUESTS


def test_a_small_cluster_is_looked_into_within_an_hour_and_then_left_alone(
    tmp_path: Path,
) -> None:
    world = make_small_world(tmp_path)
    watcher = Watcher(world)
    for _ in range(12):
        watcher.look(300)
    notes = watcher.book.read_memory(int(world.cluster.timeline.now())).notes
    assert all(note.read for note in notes.values())
    assert len(notes) == len(world.cluster.guests)
    assert not watcher.blind
    since = len(world.cluster.journal)
    watcher.look(60)
    count = count_requests(world, since)
    assert count["guests"] == count["nodes"] == count["storages"] == 0
    assert count.beside <= 6
