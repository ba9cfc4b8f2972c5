"""Whom the monitor tells: everybody who listens, once, and nobody in place of another."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest

from pveops.config.profiles import ConsentConfig
from tests.commandline import Outcome, run_line
from tests.world import World, make_world

LATER_S = 300


class Person:
    """Somebody who is sent messages into a file; while `is_away` they do not arrive."""

    def __init__(self, folder: Path) -> None:
        self._inbox = folder / "inbox"
        self._door = folder / "door-is-shut"
        self._inbox.touch()
        inbox, door = shlex.quote(str(self._inbox)), shlex.quote(str(self._door))
        script = f"test ! -e {door} && {{ cat; echo; }} >> {inbox}"
        self.consent = ConsentConfig(("sh", "-c", script))
        self._read = 0

    def leave(self) -> None:
        """Nothing arrives any more."""
        self._door.touch()

    def come_back(self) -> None:
        """Messages arrive again."""
        self._door.unlink()

    def read(self) -> list[str]:
        """The lines that came since the last time."""
        lines = self._inbox.read_text().splitlines()
        fresh, self._read = lines[self._read :], len(lines)
        return fresh


def look(world: World, folder: Path, person: Person, words: str = "--tell") -> Outcome:
    world.cluster.timeline.advance(LATER_S)
    return run_line(world, folder, f"pve monitor run {words}", consent=person.consent)


# -- a monitor that cannot look ------------------------------------------------------


def test_a_person_is_told_that_the_token_is_taken_no_more_once_and_that_it_is_again(
    tmp_path: Path,
) -> None:
    world = make_world(tmp_path)
    person = Person(tmp_path)
    look(world, tmp_path, person)
    person.read()
    world.cluster.access.revoked.add(world.seed.token_id)
    assert look(world, tmp_path, person).code == 21
    (line,) = person.read()
    assert line.startswith("PROBLEM cluster: the cluster does not take the token")
    for _ in range(3):
        look(world, tmp_path, person)
    assert person.read() == []
    world.cluster.access.revoked.clear()
    look(world, tmp_path, person)
    look(world, tmp_path, person)
    told = [line.split(":")[0] for line in person.read()]
    assert told.count("cleared cluster") == 1


@pytest.mark.parametrize("status", [403, 500, 501])
def test_a_person_is_told_whatever_keeps_the_monitor_from_looking(
    status: int, tmp_path: Path
) -> None:
    world = make_world(tmp_path)
    person = Person(tmp_path)
    world.cluster.faults.add("refuse", path=r".*", status=status, times=0)
    assert look(world, tmp_path, person).code == 21
    assert person.read()[0].startswith("PROBLEM cluster: ")
