"""The audit log: whole, or the first place where it is not."""

from __future__ import annotations

import json
import multiprocessing
from pathlib import Path

import pytest

from pveops.clock import VirtualClock
from pveops.engine.audit import AuditLog
from pveops.engine.change import request_change
from pveops.engine.request import Ask
from pveops.errors import AuditError
from tests.world import make_world


def log_of(folder: Path) -> AuditLog:
    return AuditLog(folder / "audit.jsonl", VirtualClock())


def fill(folder: Path, count: int = 5) -> AuditLog:
    log = log_of(folder)
    for number in range(count):
        log.append("intent", {"number": number})
    return log


def test_an_untouched_log_is_whole(tmp_path: Path) -> None:
    verdict = fill(tmp_path).verify()
    assert (verdict.is_whole, verdict.records) == (True, 5)


@pytest.mark.parametrize(
    ("damage", "problem"),
    [
        (
            lambda lines: [*lines[:2], lines[2].replace('"number":2', '"number":9'), *lines[3:]],
            "changed",
        ),
        (lambda lines: [*lines[:2], *lines[3:]], "does not follow"),
        (lambda lines: [lines[1], lines[0], *lines[2:]], "does not follow"),
        (lambda lines: [*lines[:3], "no json\n", *lines[3:]], "not a record"),
    ],
    ids=["edited", "cut", "swapped", "foreign"],
)
def test_damage_is_found_where_it_is(tmp_path: Path, damage: object, problem: str) -> None:
    log = fill(tmp_path)
    path = tmp_path / "audit.jsonl"
    lines = path.read_text().splitlines(keepends=True)
    path.write_text("".join(damage(lines)))  # type: ignore[operator]
    verdict = log.verify()
    assert not verdict.is_whole
    assert problem in verdict.problem


def test_a_torn_line_is_moved_aside_and_the_chain_goes_on(tmp_path: Path) -> None:
    log = fill(tmp_path)
    path = tmp_path / "audit.jsonl"
    with path.open("a") as file:
        file.write('{"kind": "intent", "numb')
    log.append("outcome", {})
    assert log.verify().is_whole
    assert "numb" in (tmp_path / "audit.jsonl.torn").read_text()


def _append_many(folder: Path) -> None:
    log = log_of(folder)
    for number in range(40):
        log.append("intent", {"number": number})


def test_many_processes_keep_one_chain(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    workers = [context.Process(target=_append_many, args=(tmp_path,)) for _ in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    verdict = log_of(tmp_path).verify()
    assert (verdict.is_whole, verdict.records) == (True, 160)


def test_what_cannot_be_recorded_is_not_done(tmp_path: Path) -> None:
    world = make_world(tmp_path)
    (tmp_path / "audit.jsonl").mkdir()
    change = request_change(world.session, Ask("guest.start", ("dns02",)))
    assert change.receipt is not None
    assert change.receipt.items[0].error == AuditError.code
    assert world.writes() == []


def test_secrets_in_facts_are_masked(tmp_path: Path) -> None:
    log = log_of(tmp_path)
    log.append("intent", {"params": {"password": "hunter2hunter2"}})
    record = json.loads((tmp_path / "audit.jsonl").read_text())
    assert "hunter2hunter2" not in json.dumps(record)
