"""The audit log between a change and the operator: cut, full, rotated, and said so."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from tests.commandline import run_line, run_words
from tests.world import make_world


def log_of(folder: Path) -> Path:
    return folder / "logs" / "audit.jsonl"


def anchor_at(folder: Path) -> Path:
    place = folder / "elsewhere" / "heads"
    place.parent.mkdir()
    policy = folder / "policy.yaml"
    policy.write_text(f"audit: {{anchor: {place}, required: true}}\n")
    policy.chmod(0o600)
    return place


def test_an_old_log_put_back_is_not_written_to_and_does_not_fit_its_heads(tmp_path: Path) -> None:
    world = make_world(tmp_path)
    heads = anchor_at(tmp_path)
    assert run_line(world, tmp_path, "pve guest note web02 --text one").code == 0
    old = log_of(tmp_path).read_bytes()
    assert run_line(world, tmp_path, "pve guest note mail01 --text two").code == 0
    assert run_line(world, tmp_path, f"pve audit verify --anchor {heads}").code == 0
    log_of(tmp_path).write_bytes(old)
    log_of(tmp_path).with_name("audit.jsonl.lock").unlink()
    effects = len(world.effects())
    refused = run_line(world, tmp_path, "pve guest note batch --text three")
    assert refused.code == 7
    assert "is not what its anchor says: record 4 was written" in refused.out
    assert len(world.effects()) == effects
    # Whoever does not look at the anchor goes on writing; comparing tells it ever after.
    (tmp_path / "policy.yaml").write_text("{}\n")
    assert run_line(world, tmp_path, "pve guest note batch --text three").code == 0
    compared = run_line(world, tmp_path, f"pve audit verify --anchor {heads}")
    assert compared.code == 7
    assert "record 3 is another than it was" in compared.out


@pytest.mark.parametrize("content", ["", "nothing of the kind\n"])
def test_a_file_without_heads_is_a_mistake_and_no_proof_of_anything(
    content: str, tmp_path: Path
) -> None:
    world = make_world(tmp_path)
    assert run_line(world, tmp_path, "pve guest note web02 --text one").code == 0
    place = tmp_path / "heads"
    place.write_text(content)
    outcome = run_line(world, tmp_path, f"pve audit verify --anchor {place}")
    assert outcome.code == 2
    assert "holds no head" in outcome.out
    assert "rewritten" not in outcome.out


def test_a_change_whose_outcome_could_not_be_recorded_is_no_success(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = make_world(tmp_path)
    write, count = os.write, 0

    def full(descriptor: int, line: bytes) -> int:
        nonlocal count
        count += 1
        if count > 1:
            raise OSError(errno.ENOSPC, "No space left on device")
        return write(descriptor, line)

    monkeypatch.setattr("pveops.engine.audit.os.write", full)
    outcome = run_line(world, tmp_path, "pve guest start windows-lab --json")
    monkeypatch.undo()
    assert len(world.effects()) == 1
    assert outcome.code == 7
    assert (outcome.json["ok"], outcome.json["changed"]) == (False, True)
    assert outcome.json["error"]["code"] == "E_AUDIT"
    assert outcome.json["error"]["retry"] == "never"
    assert "the outcome is not in the audit log" in outcome.json["error"]["message"]


def test_an_outcome_whose_head_did_not_get_elsewhere_is_told_as_recorded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = make_world(tmp_path)
    heads = anchor_at(tmp_path)
    fsync, count = os.fsync, 0

    def broken(descriptor: int) -> None:
        nonlocal count
        count += Path(f"/proc/self/fd/{descriptor}").readlink() == heads
        if count > 1:
            raise OSError(errno.EIO, "Input/output error")
        fsync(descriptor)

    monkeypatch.setattr("pveops.engine.audit_anchor.os.fsync", broken)
    outcome = run_line(world, tmp_path, "pve guest start windows-lab --json")
    monkeypatch.undo()
    assert len(world.effects()) == 1
    assert outcome.code == 7
    assert outcome.json["receipt"]["audit_seq"] == 2
    assert "did not get to" in outcome.json["error"]["message"]
    assert "not in the audit log" not in outcome.json["error"]["message"]


def test_a_huge_parameter_does_not_end_all_changes(tmp_path: Path) -> None:
    world = make_world(tmp_path)
    for reason in ("e" * 100_000, "e" * 2_000_000):
        world.cluster.faults.add(
            kind="refuse", method="POST", path="/status/start", status=500, reason=reason, times=1
        )
        assert run_line(world, tmp_path, "pve guest start windows-lab").code != 0
    assert log_of(tmp_path).stat().st_size < 100_000
    assert run_line(world, tmp_path, "pve guest start windows-lab").code == 0
    assert run_line(world, tmp_path, "pve audit verify").code == 0


@pytest.mark.parametrize(
    "words", [["guest", "tag", "web02", "--add"], ["pool", "create", "p1", "--comment"], []]
)
def test_a_word_longer_than_anything_of_pves_is_refused_before_it_is_looked_at(
    words: list[str], tmp_path: Path
) -> None:
    world = make_world(tmp_path)
    outcome = run_words(world, tmp_path, "pve", [*words, "x" * 1_300_000])
    assert outcome.code == 2
    assert "has 1,300,000 characters; 65,536 are the most" in outcome.out
    assert len(outcome.out) < 1000
    assert world.writes() == []
    assert run_line(world, tmp_path, "pve guest start windows-lab").code == 0


def test_a_word_that_is_no_text_is_a_mistake_of_the_caller(tmp_path: Path) -> None:
    world = make_world(tmp_path)
    outcome = run_line(world, tmp_path, "pve plan show \udcff")
    assert outcome.code == 2
    assert "argument 3 is no text in UTF-8" in outcome.out
    assert not list(tmp_path.rglob("*crash*"))
