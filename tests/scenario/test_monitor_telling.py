"""Whom the monitor tells: everybody who listens, once, and nobody in place of another."""

from __future__ import annotations

import io
import json
import shlex
from pathlib import Path

import pytest

from pveops.cli.monitor import message_of
from pveops.cli.process import run_call
from pveops.clock import Clock
from pveops.config.profiles import ConsentConfig
from pveops.engine.senders import Sender, make_sender
from pveops.engine.store import Store
from pveops.monitor.alerts import Rules, Seen
from pveops.monitor.book import Book
from pveops.operations.findings import Finding
from pveops.sim.membership import power_off_node
from tests.commandline import Outcome, call_of, run_line
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


class Terminal(io.StringIO):
    """Where a person sits."""

    def isatty(self) -> bool:
        return True


def make_sender_of(person: Person) -> Sender:
    sender = make_sender(person.consent)
    assert sender is not None
    return sender


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


# -- a clock that was wrong ----------------------------------------------------------


class AheadClock(Clock):
    """A machine's clock that is ahead of the cluster's."""

    def __init__(self, clock: Clock, ahead_s: float) -> None:
        self._clock = clock
        self._ahead_s = ahead_s

    def now(self) -> float:
        return self._clock.now() + self._ahead_s

    def monotonic(self) -> float:
        return self._clock.monotonic()

    def sleep(self, seconds: float) -> None:
        self._clock.sleep(seconds)


@pytest.mark.parametrize("ahead_s", [7200, 365 * 86_400])
def test_after_a_look_of_a_clock_that_was_ahead_the_monitor_tells_so_and_goes_on(
    ahead_s: float, tmp_path: Path
) -> None:
    world = make_world(tmp_path)
    person = Person(tmp_path)
    look(world, tmp_path, person)
    call = call_of(world, tmp_path, "pve monitor run --all", consent=person.consent)
    call.clock = AheadClock(world.cluster.timeline, ahead_s)
    run_call(call)
    assert "from now" in run_line(world, tmp_path, "pve monitor status").out
    person.read()
    power_off_node(world.cluster, world.cluster.nodes["pve3"])
    look(world, tmp_path, person)
    told = person.read()
    assert any(line.startswith("PROBLEM node/pve3") for line in told)
    assert sum("this machine's clock went back" in line for line in told) == 1
    since = len(world.cluster.journal)
    look(world, tmp_path, person)
    assert not any("went back" in line for line in person.read())
    look(world, tmp_path, person)
    assert any(line.startswith("cleared clock") for line in person.read())
    world.cluster.timeline.advance(7 * 3600)
    look(world, tmp_path, person)
    assert any("/disks/list" in each["path"] for each in world.cluster.journal[since:])
    assert "s ago" in run_line(world, tmp_path, "pve monitor status").out.splitlines()[0]


def test_a_clock_that_was_ahead_lets_no_silence_last_longer(tmp_path: Path) -> None:
    store = Store(tmp_path / "store.sqlite3")
    book, day = Book(store, "home"), 86_400
    book.enter(Seen(100 * day, ()), ())
    book.silence("storage.*", 130 * day, "", 100 * day)
    book.enter(Seen(day, ()), ())
    assert book.read().silences[0].until == 31 * day
    assert book.read().looked == day


def test_of_two_looks_at_once_the_later_begun_counts_however_long_the_other_took(
    tmp_path: Path,
) -> None:
    book = Book(Store(tmp_path / "store.sqlite3"), "home")
    finding = Finding("storage.full", "block", "storage/local", "full")
    book.enter(Seen(2000, (finding,)), ())
    assert book.enter(Seen(1000, ()), (), now=2100) == ()
    assert book.read().looked == 2000
    assert [alert.gone for alert in book.read().alerts] == [0]


# -- each listener by itself ---------------------------------------------------------


def test_who_looks_by_hand_takes_no_news_from_the_person_nor_from_the_job(tmp_path: Path) -> None:
    world = make_world(tmp_path)
    person = Person(tmp_path)
    for words in ("", "--tell", "--job"):
        look(world, tmp_path, person, words)
    person.read()
    power_off_node(world.cluster, world.cluster.nodes["pve3"])
    outs = [look(world, tmp_path, person, words).out for words in ("", "", "--tell", "--tell")]
    assert [out.count("PROBLEM node/pve3") for out in outs] == [1, 0, 1, 0]
    assert sum(line.startswith("PROBLEM node/pve3") for line in person.read()) == 1
    outs = [look(world, tmp_path, person, "--if-quiet NO_REPLY").out for _ in range(2)]
    assert [out.count("PROBLEM node/pve3") for out in outs] == [1, 0]
    assert outs[1] == "NO_REPLY\n"


def test_who_listens_for_the_first_time_is_told_what_is_open(tmp_path: Path) -> None:
    world = make_world(tmp_path)
    person = Person(tmp_path)
    assert "PROBLEM vm/120" in look(world, tmp_path, person, "").out
    assert look(world, tmp_path, person, "--job").code == 21
    look(world, tmp_path, person)
    assert sum(line.startswith("PROBLEM vm/120") for line in person.read()) == 1


def test_what_could_not_be_sent_is_sent_with_the_next_look_once_and_as_it_is_then(
    tmp_path: Path,
) -> None:
    world = make_world(tmp_path)
    person = Person(tmp_path)
    for _ in range(3):
        look(world, tmp_path, person)
    person.read()
    person.leave()
    node = world.cluster.nodes["pve3"]
    power_off_node(world.cluster, node)
    assert look(world, tmp_path, person).code == 7
    assert look(world, tmp_path, person).code == 7
    person.come_back()
    look(world, tmp_path, person)
    look(world, tmp_path, person)
    assert sum("node/pve3:" in line for line in person.read()) == 1


# -- one message ---------------------------------------------------------------------


def full(vmid: int, text: str = "full") -> Finding:
    return Finding("storage.full", "block", f"storage/{vmid}", text)


def test_of_two_that_send_at_once_one_sends(tmp_path: Path) -> None:
    store = Store(tmp_path / "store.sqlite3")
    first, second = Book(store, "home"), Book(store, "home")
    first.enter(Seen(1000, (full(1),)), ())
    (mine,) = first.take("person", 1000)
    second.enter(Seen(1001, (full(1), full(2))), ())
    assert second.take("person", 1001) == ()
    first.settle("person", (mine,), 1002)
    assert [each.alert.subject for each in second.take("person", 1002)] == ["storage/2"]
    second.settle("person", (), 1003)
    assert [each.alert.subject for each in first.take("person", 1004)] == ["storage/2"]


def test_what_was_taken_by_a_process_that_died_is_sent_by_a_later_look(tmp_path: Path) -> None:
    book = Book(Store(tmp_path / "store.sqlite3"), "home")
    book.enter(Seen(1000, (full(1),)), ())
    taken = book.take("person", 1000)
    assert book.take("person", 1060) == ()
    assert book.take("person", 1300) == taken


def test_of_an_alert_that_was_not_told_for_long_the_newest_news_are_owed(tmp_path: Path) -> None:
    book = Book(Store(tmp_path / "store.sqlite3"), "home")
    book.take("person", 900)
    for at in range(1000, 9000, 400):
        book.enter(Seen(at, (full(1),)), ())
        book.enter(Seen(at + 100, ()), ())
        book.enter(Seen(at + 200, ()), ())
    assert len(book.read().history) == 40
    assert [each.kind for each in book.take("person", 9000)] == ["cleared"]


def test_a_flood_of_long_news_fits_one_message_and_is_owed_no_more(tmp_path: Path) -> None:
    world = make_world(tmp_path)
    person = Person(tmp_path)
    book = Book(world.session.store, "sim")
    at = int(world.cluster.timeline.now())
    flood = tuple(full(number, "x" * 9000) for number in range(1000))
    book.enter(Seen(at, flood), ())
    # Sent at once: the next look at the world would find none of it, and hold it back.
    news = book.take("person", at)
    make_sender_of(person)(message_of(news))
    book.settle("person", news, at)
    lines = person.read()
    assert 5 < len(lines) <= 26
    assert sum(map(len, lines)) < 4096
    assert "more: pve monitor status" in lines[-1]
    assert book.read().owed["person"].news == ()


# -- what is known -------------------------------------------------------------------


def test_acknowledging_a_subject_acknowledges_every_alert_of_it(tmp_path: Path) -> None:
    world = make_world(tmp_path)
    book = Book(world.session.store, "sim")
    troubles = ("guest.halted", "backup.none", "guest.locked")
    findings = tuple(Finding(code, "block", "vm/101", code) for code in troubles)
    book.enter(Seen(1000, (*findings, full(1))), ())
    call = call_of(world, tmp_path, "pve monitor ack vm/101 --why known --json", stdout=Terminal())
    call.stdin = Terminal()
    assert run_call(call) == 0
    assert isinstance(call.stdout, Terminal)
    assert len(json.loads(call.stdout.getvalue())["data"]["ids"]) == 3
    acked = {alert.subject for alert in book.read().alerts if alert.acked}
    assert acked == {"vm/101"}
    assert all(alert.acked for alert in book.read().alerts if alert.subject == "vm/101")
    assert run_line(world, tmp_path, "pve monitor ack vm/999").code == 5


def test_the_history_shows_the_worst_of_the_newest_look_first_and_numbers_only_grow(
    tmp_path: Path,
) -> None:
    world = make_world(tmp_path)
    book = Book(world.session.store, "sim")
    book.enter(Seen(1000, (full(1),)), ())
    warning = Finding("guest.locked", "info", "vm/101", "text")
    book.enter(Seen(2000, (full(1), warning)), (), Rules(slow_to_raise={}))
    book.enter(Seen(3000, (full(1), full(2), warning)), (), Rules(slow_to_raise={}))
    data = run_line(world, tmp_path, "pve monitor history --json --limit 2").json["data"]
    assert [each["subject"] for each in data["items"]] == ["storage/2", "vm/101"]
    assert [each["number"] for each in data["items"]] == [2, 3]
    assert data["last"] == 3


@pytest.mark.parametrize("words", ["--job", "--if-quiet NO_REPLY"])
def test_what_a_job_passes_on_can_neither_link_nor_mention_and_is_no_flood(
    words: str, tmp_path: Path
) -> None:
    world = make_world(tmp_path)
    person = Person(tmp_path)
    world.cluster.guests[105].config["name"] = "x [pay](http://evil.example) @all"
    world.cluster.timeline.advance(7200)
    outs = "".join(look(world, tmp_path, person, words).out for _ in range(40))
    assert "vm/105" in outs
    for each in ("](http", "@all", "http://", "next: "):
        assert each not in outs
