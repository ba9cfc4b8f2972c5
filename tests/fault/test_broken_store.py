"""The store breaks after something was sent: nobody says that nothing was changed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from pveops.engine.store import Store
from pveops.errors import StoreError
from tests.commandline import run_line
from tests.world import make_world

FULL = "the store cannot be written: database or disk is full"


def break_at(monkeypatch: pytest.MonkeyPatch, kind: str, *, times: int) -> None:
    """The entries of one kind cannot be written to the journal; `end`: the run's end cannot."""
    write, left = Store.write_entry, times

    def written(self: Store, run: str, item: int, each: str, at: float, data: Any) -> None:
        nonlocal left
        if each == kind and left:
            left -= 1
            raise StoreError(FULL)
        write(self, run, item, each, at, data)

    def ended(*_arguments: Any, **_named: Any) -> None:
        raise StoreError(FULL)

    monkeypatch.setattr(Store, "write_entry", written)
    if kind == "end":
        monkeypatch.setattr(Store, "end_run", ended)


@pytest.mark.parametrize("kind", ["answer", "task", "outcome", "end"])
def test_what_was_sent_is_unknown_when_the_store_breaks_and_resume_settles_it(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = make_world(tmp_path)
    break_at(monkeypatch, kind, times=99)
    outcome = run_line(world, tmp_path, "pve guest start windows-lab --json")
    monkeypatch.undo()
    assert len(world.effects()) == 1
    assert outcome.code == 13
    assert (outcome.json["changed"], outcome.json["error"]["code"]) == (None, "E_UNKNOWN")
    run = outcome.json["error"]["details"]["run"]
    assert f"pve run resume {run}" in outcome.json["error"]["hint"]
    resumed = run_line(world, tmp_path, f"pve run resume {run} --json")
    assert resumed.code == 0, resumed.out
    assert len(world.effects()) == 1


def test_one_guest_whose_journal_broke_does_not_hide_what_became_of_the_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = make_world(tmp_path)
    break_at(monkeypatch, "answer", times=1)
    outcome = run_line(world, tmp_path, "pve guest start windows-lab dns02 --json")
    monkeypatch.undo()
    assert len(world.effects()) == 2
    assert outcome.code == 13
    statuses = sorted(item["status"] for item in outcome.json["receipt"]["items"])
    assert statuses == ["done", "unknown"]


def test_a_bug_after_the_claim_is_no_word_that_nothing_was_changed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = make_world(tmp_path)

    def broken(*_arguments: Any, **_named: Any) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr("pveops.engine.apply._end", broken)
    outcome = run_line(world, tmp_path, "pve guest start windows-lab --json")
    assert len(world.effects()) == 1
    assert outcome.code == 13
    assert outcome.json["changed"] is None
    assert outcome.json["error"]["details"]["cause"] == "E_INTERNAL"
    assert outcome.json["error"]["details"]["run"].startswith("run_")
