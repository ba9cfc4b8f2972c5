"""The audit log: whole, or the first place where it is not."""

from __future__ import annotations

import hashlib
import json
import multiprocessing
import os
import socket
from pathlib import Path

import pytest

from pveops.clock import VirtualClock
from pveops.engine.audit import AuditLog, Verdict
from pveops.engine.audit import _chain as chain
from pveops.engine.audit_anchor import Anchor, compare
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
    assert [record["kind"] for record in log.read()][-2:] == ["torn", "outcome"]


def test_a_full_disk_leaves_no_half_record_and_refuses(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = fill(tmp_path)
    write = os.write
    monkeypatch.setattr("pveops.engine.audit.os.write", lambda fd, line: write(fd, line[:20]))
    with pytest.raises(AuditError, match="only 20 of"):
        log.append("intent", {})
    monkeypatch.undo()
    assert log.verify() == fill_verdict(log)
    log.append("intent", {})
    assert log.verify().is_whole


def fill_verdict(log: AuditLog) -> Verdict:
    """As it was before."""
    return Verdict(True, 5, log.head())


# -- parts ---------------------------------------------------------------------------


def small_log(folder: Path) -> AuditLog:
    return AuditLog(folder / "audit.jsonl", VirtualClock(), max_bytes=2000)


def test_a_log_that_has_grown_goes_on_in_a_new_part(tmp_path: Path) -> None:
    log = small_log(tmp_path)
    for number in range(40):
        log.append("intent", {"number": number})
    parts = log.parts()
    assert len(parts) > 3
    assert parts[-1].name == "audit.jsonl"
    verdict = log.verify()
    assert verdict.is_whole
    assert verdict.records == 40 + len(parts) - 1
    assert verdict.head == log.head()
    numbers = [record["number"] for record in log.read() if record["kind"] == "intent"]
    assert numbers == list(range(40))


@pytest.mark.parametrize("which", ["first", "middle"])
def test_a_part_that_is_gone_is_told(which: str, tmp_path: Path) -> None:
    log = small_log(tmp_path)
    for number in range(40):
        log.append("intent", {"number": number})
    log.parts()[0 if which == "first" else 1].unlink()
    verdict = log.verify()
    if which == "first":
        assert verdict.is_whole
        assert verdict.first > 1
    else:
        assert not verdict.is_whole


def _append_to_small(folder: Path) -> None:
    log = small_log(folder)
    for number in range(50):
        log.append("intent", {"number": number})


def test_racing_processes_begin_each_part_once(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    workers = [context.Process(target=_append_to_small, args=(tmp_path,)) for _ in range(6)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    log = small_log(tmp_path)
    verdict = log.verify()
    assert verdict.is_whole, verdict.problem
    kinds = [record["kind"] for record in log.read()]
    assert kinds.count("intent") == 300
    assert kinds.count("continued") == len(log.parts()) - 1


# -- what others do to the file ------------------------------------------------------


def test_a_log_that_was_rotated_by_others_goes_on_and_says_so(tmp_path: Path) -> None:
    log = fill(tmp_path)
    (tmp_path / "audit.jsonl").rename(tmp_path / "audit.jsonl.1")
    assert "record 5 was written, and it ends with record 0" in log.verify().problem
    log.append("intent", {})
    verdict = log.verify()
    assert (verdict.is_whole, verdict.records, verdict.first) == (True, 2, 6)
    assert next(log.read())["missing"] == "the file that ends with record 5"
    (tmp_path / "audit.jsonl.1").rename(tmp_path / "audit-0000000005.jsonl")
    verdict = log.verify()
    assert (verdict.is_whole, verdict.records, verdict.first) == (True, 7, 1)


def test_a_log_that_was_cut_is_told_and_not_written_to(tmp_path: Path) -> None:
    log = fill(tmp_path)
    path = tmp_path / "audit.jsonl"
    whole = path.read_bytes()
    path.write_bytes(b"".join(whole.splitlines(keepends=True)[:3]))
    assert "record 5 was written, and it ends with record 3" in log.verify().problem
    with pytest.raises(AuditError, match="was cut or replaced"):
        log.append("intent", {})
    path.write_bytes(whole)
    log.append("intent", {})
    assert log.verify().records == 6


def test_a_copy_beside_the_log_is_no_part_of_it(tmp_path: Path) -> None:
    log = fill(tmp_path)
    (tmp_path / "audit-copy.jsonl").write_bytes((tmp_path / "audit.jsonl").read_bytes())
    (tmp_path / "audit-2026.jsonl").write_text("hello\n")
    log.append("intent", {})
    assert (log.verify().is_whole, log.verify().records) == (True, 6)


@pytest.mark.parametrize("rubbish", [b"\0" * 300, b"\0" * 300 + b"\n", b"\0\n\0\0\n", b"\n"])
def test_blocks_that_a_power_cut_left_empty_are_moved_aside(
    rubbish: bytes, tmp_path: Path
) -> None:
    log = fill(tmp_path)
    with (tmp_path / "audit.jsonl").open("ab") as file:
        file.write(rubbish)
    assert log.head().seq == 5
    assert not log.verify().is_whole
    log.append("intent", {})
    assert (log.verify().is_whole, log.verify().records) == (True, 7)
    assert rubbish.strip(b"\n") in (tmp_path / "audit.jsonl.torn").read_bytes()


# -- the size of a record ------------------------------------------------------------


def test_a_record_is_bounded_and_what_was_cut_is_told_with_its_hash(tmp_path: Path) -> None:
    log = fill(tmp_path)
    text = "so, " * 750_000
    log.append("intent", {"params": {"tags": text}, "targets": ["y" * 400] * 90_000})
    log.append("intent", {"lists": [["z" * 4000] * 900]})
    assert (tmp_path / "audit.jsonl").stat().st_size < 1_000_000
    record = list(log.read())[5]
    digest = hashlib.sha256(text.encode()).hexdigest()
    assert record["params"]["tags"].endswith(f"… [cut: 3000000 bytes, sha256 {digest}]")
    assert "cut_bytes" in str(record["targets"])
    log.append("outcome", {})
    assert (log.verify().is_whole, log.verify().records) == (True, 8)


def test_a_longer_line_than_any_of_ours_is_chained_to_all_the_same(tmp_path: Path) -> None:
    log = fill(tmp_path)
    line, head = chain({"kind": "intent", "text": "x" * 3_000_000}, log.head())
    with (tmp_path / "audit.jsonl").open("ab") as file:
        file.write(line)
    assert log.head() == head
    log.append("intent", {})
    assert log.verify().is_whole


# -- heads elsewhere -----------------------------------------------------------------


def anchored(folder: Path, place: Path, *, is_required: bool = False) -> AuditLog:
    anchor = Anchor(str(place), is_required=is_required)
    return AuditLog(folder / "audit.jsonl", VirtualClock(), anchor=anchor)


def compare_with(log: AuditLog, place: Path) -> str:
    return compare(log, iter(place.read_text().splitlines())).problem


def test_a_rewritten_or_cut_log_does_not_fit_the_heads_elsewhere(tmp_path: Path) -> None:
    place = tmp_path / "elsewhere" / "heads"
    place.parent.mkdir()
    log = anchored(tmp_path, place)
    for number in range(6):
        log.append("intent", {"number": number})
    assert compare_with(log, place) == ""
    whole = (tmp_path / "audit.jsonl").read_bytes()
    (tmp_path / "audit.jsonl").write_bytes(b"".join(whole.splitlines(keepends=True)[:4]))
    (tmp_path / "audit.jsonl.lock").unlink()  # whoever can cut the log can do that, too
    assert log.verify().is_whole
    assert "record 5 is gone" in compare_with(log, place)
    (tmp_path / "audit.jsonl").unlink()
    (tmp_path / "audit.jsonl.lock").unlink(missing_ok=True)
    other = log_of(tmp_path)
    for number in range(6):
        other.append("intent", {"number": number + 1})
    assert other.verify().is_whole
    assert "record 1 is another" in compare_with(other, place)
    assert compare(log, iter(["nothing of the kind"])).heads == 0


def test_a_log_that_was_cut_and_written_to_since_does_not_fit_the_heads(tmp_path: Path) -> None:
    place = tmp_path / "heads"
    log = anchored(tmp_path, place)
    for number in range(6):
        log.append("intent", {"number": number})
    cut_to(tmp_path, 4)
    log_of(tmp_path).append("intent", {"number": 9})  # by whatever does not look at the anchor
    heads = place.read_text().splitlines()
    assert "record 5 is another" in compare(log, iter(heads)).problem
    # Its own heads of the same records do not make the earlier ones good.
    for head in log.read():
        heads.append(f"{head['seq']} {head['h']} 0 host")
    assert "record 5 has two heads" in compare(log, iter(heads)).problem
    assert "record 4 was written after record 6" in (
        compare(log, iter([*heads[:3], heads[5], heads[3]])).problem
    )


@pytest.mark.parametrize("is_required", [True, False])
def test_nothing_is_written_to_a_log_without_the_head_that_was_anchored_last(
    is_required: bool, tmp_path: Path
) -> None:
    log = anchored(tmp_path, tmp_path / "heads", is_required=is_required)
    for number in range(6):
        log.append("intent", {"number": number})
    cut_to(tmp_path, 4)
    with pytest.raises(AuditError, match="record 6 was written, and it ends with record 4"):
        log.append("intent", {})
    (tmp_path / "audit.jsonl").unlink()
    with pytest.raises(AuditError, match="ends with record 0"):
        log.append("intent", {})


def test_heads_that_did_not_get_there_do_not_stop_the_next(tmp_path: Path) -> None:
    log = anchored(tmp_path, tmp_path / "heads")
    log.append("intent", {})
    log_of(tmp_path).append("intent", {})
    log.append("intent", {})
    assert compare_with(log, tmp_path / "heads") == ""
    (tmp_path / "heads").write_text("nothing of the kind\n")
    log.append("intent", {})


def cut_to(folder: Path, count: int) -> None:
    """As somebody does it who knows where the newest head is remembered."""
    path = folder / "audit.jsonl"
    path.write_bytes(b"".join(path.read_bytes().splitlines(keepends=True)[:count]))
    (folder / "audit.jsonl.lock").unlink()


def test_an_anchor_that_fails_is_told_and_stops_only_where_it_has_to(tmp_path: Path) -> None:
    log = anchored(tmp_path, tmp_path / "nowhere" / "heads")
    log.append("intent", {})
    assert "did not get to" in log.anchor_problem
    with pytest.raises(AuditError, match="did not get to"):
        anchored(tmp_path, tmp_path / "nowhere" / "heads", is_required=True).append("intent", {})


def test_the_systems_log_gets_the_head(tmp_path: Path) -> None:
    path = tmp_path / "log"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as system:
        system.bind(str(path))
        anchor = Anchor("syslog", syslog=path)
        log = AuditLog(tmp_path / "audit.jsonl", VirtualClock(), anchor=anchor)
        head = log.append("intent", {})
        said = system.recv(4096).decode()
    assert said.startswith("<85>pveops[")
    assert f"audit head {head.seq} {head.hash}" in said
    assert compare(log, iter([f"Nov 26 host {said}"])).heads == 1


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
