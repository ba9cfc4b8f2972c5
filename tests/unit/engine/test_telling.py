"""Messages about the ends of runs: owed, sent once, never the run's business."""

from __future__ import annotations

from pathlib import Path

import pytest

from pveops.engine.store import Store
from pveops.engine.telling import compose, find_telling, keep_promise, promise, waive
from pveops.errors import ConfigError


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store.sqlite3")


class Person:
    """Gets messages."""

    def __init__(self) -> None:
        self.got: list[str] = []

    def __call__(self, message: str) -> None:
        self.got.append(message)


def test_what_was_not_promised_is_not_told(store: Store) -> None:
    person = Person()
    assert keep_promise(store, "run_1", person, "done", 1.0) is False
    assert person.got == []
    assert find_telling(store, "run_1") is None


def test_a_promise_is_kept_once(store: Store) -> None:
    person = Person()
    promise(store, "run_1", 1.0)
    promise(store, "run_1", 2.0)
    assert keep_promise(store, "run_1", person, "done", 3.0) is True
    assert keep_promise(store, "run_1", person, "done", 4.0) is False
    assert person.got == ["done"]


def test_of_two_that_end_a_run_at_once_one_tells(store: Store, tmp_path: Path) -> None:
    """The second one comes while the first is sending."""
    promise(store, "run_1", 1.0)
    other, person = Store(tmp_path / "store.sqlite3"), Person()

    def slow(message: str) -> None:
        assert keep_promise(other, "run_1", person, message, 2.0) is False

    assert keep_promise(store, "run_1", slow, "done", 2.0) is True
    assert person.got == []


def test_a_process_killed_while_it_sends_leaves_no_second_message(store: Store) -> None:
    promise(store, "run_1", 1.0)

    def killed(_message: str) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        keep_promise(store, "run_1", killed, "done", 2.0)
    person = Person()
    assert keep_promise(store, "run_1", person, "done", 3.0) is False
    assert person.got == []
    telling = find_telling(store, "run_1")
    assert telling is not None
    assert telling.state == "sending"


@pytest.mark.parametrize("error", [ConfigError("no route"), RuntimeError("no route")])
def test_a_senders_failure_is_noted_and_not_raised(store: Store, error: Exception) -> None:
    promise(store, "run_1", 1.0)

    def failing(_message: str) -> None:
        raise error

    assert keep_promise(store, "run_1", failing, "done", 2.0) is True
    telling = find_telling(store, "run_1")
    assert telling is not None
    assert (telling.state, telling.problem) == ("failed", "no route")


def test_a_run_that_is_picked_up_again_may_be_owed_again(store: Store) -> None:
    person = Person()
    for word in ("unknown", "done"):
        promise(store, "run_1", 1.0)
        keep_promise(store, "run_1", person, word, 2.0)
    assert person.got == ["unknown", "done"]


def test_a_person_who_was_there_is_not_told(store: Store) -> None:
    promise(store, "run_1", 1.0)
    waive(store, "run_1", 2.0)
    person = Person()
    assert keep_promise(store, "run_1", person, "done", 3.0) is False
    assert person.got == []


def test_a_message_links_and_mentions_nobody() -> None:
    """Names are other people's; PVE's DNS names cannot hold these, tags and texts can."""
    text = compose("done: [x](https://evil.example) @here", "run_1", "pve run explain run_1")
    assert "](" not in text
    assert "://" not in text
    assert "@here" not in text
    assert text.endswith("\nrun run_1\nnext: pve run explain run_1")
