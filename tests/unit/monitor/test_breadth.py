"""How much a pattern keeps quiet, and what nobody but a person may keep quiet."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from pveops.engine.store import Store
from pveops.errors import PolicyRefusedError, UsageError
from pveops.monitor.alerts import Seen
from pveops.monitor.book import Book
from pveops.monitor.breadth import KINDS, fits_everything, is_narrow
from pveops.operations.findings import Finding, Severity

HOWTO = Path(__file__).parents[3] / "docs" / "howto" / "monitor.md"


def storage(code: str, severity: Severity) -> Finding:
    return Finding(code, severity, f"storage/{code}", "text")


SEEN = Seen(5000, (storage("storage.full", "block"), storage("storage.filling", "warn")))


@pytest.mark.parametrize(
    "pattern", ["vm/101", "al_1f2e3d4c", "storage.*", "vm/10?", "storage/pve1/*"]
)
def test_what_begins_with_its_kind_is_narrow(pattern: str) -> None:
    assert is_narrow(pattern)
    assert not fits_everything(pattern)


@pytest.mark.parametrize("pattern", ["*full", "[gs]*", "*pve1*", "s*", "al_1*"])
def test_what_may_fit_several_kinds_is_refused_to_whom_is_no_person(
    pattern: str, tmp_path: Path
) -> None:
    book = Book(Store(tmp_path / "store.sqlite3"), "home")
    with pytest.raises((PolicyRefusedError, UsageError)):
        book.silence(pattern, 2000, "", 1000)
    assert book.read().silences == ()


@pytest.mark.parametrize("pattern", ["*", "[a-z]*", "*.*", "[!_]*", "[!g]*", "*/*", "al_[0-9]*"])
def test_what_fits_nearly_everything_is_refused_to_anybody(pattern: str, tmp_path: Path) -> None:
    book = Book(Store(tmp_path / "store.sqlite3"), "home")
    with pytest.raises(UsageError):
        book.silence(pattern, 2000, "", 1000, is_person=True)


def test_whom_is_no_person_keeps_no_problem_quiet(tmp_path: Path) -> None:
    book = Book(Store(tmp_path / "store.sqlite3"), "home")
    book.enter(SEEN._replace(at=1000), ())
    book.silence("storage.*", 9000, "", 1000)
    book.enter(SEEN, ())
    assert {each.alert.code for each in book.read().history} == {"storage.full"}


def test_a_person_may_keep_problems_quiet(tmp_path: Path) -> None:
    book = Book(Store(tmp_path / "store.sqlite3"), "home")
    book.silence("storage.*", 9000, "", 1000, is_person=True)
    assert book.enter(SEEN, ()) == ()


def test_every_check_in_the_manual_is_of_a_kind_that_patterns_are_held_against() -> None:
    rows = [line for line in HOWTO.read_text().splitlines() if line.startswith("| `")]
    kinds = {kind for row in rows for kind in re.findall(r"`([a-z]+)\.[a-z]", row.split("|")[1])}
    assert kinds <= set(KINDS)
    assert len(kinds) >= len(KINDS) - 1
