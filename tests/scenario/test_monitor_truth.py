"""What the monitor tells of a cluster is what is so there: 300 random ones, by what broke them."""

from __future__ import annotations

from pathlib import Path

import pytest

from pveops.sim.version import VERSIONS
from tests.monitored import LOCK_LASTS_S, Mischief, Watcher, make_small_world, told

_WORLDS = 300
_HEALED_ONE_IN = 5
_CHUNK = 10
_FROM_A_DEAD_NODE = frozenset({"ha.trouble", "ha.not-running"})
"""HA moves its guest away from a dead node, which has tests of its own."""


@pytest.mark.parametrize("first", range(0, _WORLDS, _CHUNK))
def test_of_random_worlds_exactly_what_is_so_is_told_and_once(first: int, tmp_path: Path) -> None:
    for seed in range(first, first + _CHUNK):
        _check_world(tmp_path, seed)


def _check_world(folder: Path, seed: int) -> None:
    world = make_small_world(folder, list(VERSIONS)[seed % len(VERSIONS)])
    watcher = Watcher(world, str(seed))
    mischief = Mischief(world, seed)
    news = [watcher.look(30, is_whole=True), watcher.look(LOCK_LASTS_S), watcher.look()]
    found = [pair for each in news for pair in told(each)]
    aside = set() if mischief.is_whole else _FROM_A_DEAD_NODE
    assert {pair for pair in found if pair[0] not in aside} == mischief.truth - {
        pair for pair in mischief.truth if pair[0] in aside
    }, seed
    assert len(found) == len(set(found)), seed
    assert watcher.look() == (), seed
    if seed % _HEALED_ONE_IN == 0:
        _check_healing(watcher, mischief, set(found))


def _check_healing(watcher: Watcher, mischief: Mischief, open_: set[tuple[str, str]]) -> None:
    """Everything that was put right is told as over, once; a dead node stays dead."""
    mischief.heal()
    news = [watcher.look(is_whole=True), watcher.look(), watcher.look(90_000, is_whole=True)]
    over = [pair for each in news for pair in told(each, "cleared")]
    stays = {pair for pair in open_ if pair[0] in _FROM_A_DEAD_NODE or "node.not" in pair[0]}
    assert set(over) == open_ - stays
    assert len(over) == len(set(over))
    assert watcher.look() == ()
