"""The skill gets into an agent's folder whole, once, and never over somebody's edits."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from pveops.errors import ConfigError
from pveops.skill.folder import NOTE, SkillFile, read_files
from pveops.skill.installation import compare, keep_edits, put, write_note

FILES = (
    SkillFile("SKILL.md", b"one\n"),
    SkillFile("references/a.md", b"two\n"),
    SkillFile("scripts/pve", b"#!/bin/sh\n"),
)
NEXT = (SkillFile("SKILL.md", b"newer\n"), *FILES[1:])


@pytest.fixture
def target(tmp_path: Path) -> Path:
    return tmp_path / "skills" / "proxmox"


def install(target: Path, files: tuple[SkillFile, ...] = FILES) -> None:
    target.parent.mkdir(exist_ok=True)
    put(target, files, write_note(files, Path("/opt/bin")))


def edited(target: Path, files: tuple[SkillFile, ...] = FILES) -> tuple[str, ...]:
    return compare(target, files, write_note(files, Path("/opt/bin"))).edited


def test_it_is_put_whole_and_the_second_time_changes_nothing(target: Path) -> None:
    assert compare(target, FILES, "").is_there is False
    install(target)
    assert read_files(target) == FILES
    standing = compare(target, FILES, write_note(FILES, Path("/opt/bin")))
    assert (standing.is_current, standing.edited) == (True, ())
    assert [path.name for path in target.parent.iterdir()] == ["proxmox"]


def test_agents_find_plain_files_that_run(target: Path) -> None:
    """OpenClaw refuses hard links and links that lead elsewhere."""
    install(target)
    for path in target.rglob("*"):
        facts = path.lstat()
        assert stat.S_ISDIR(facts.st_mode) or (stat.S_ISREG(facts.st_mode), facts.st_nlink) == (
            True,
            1,
        )
    assert os.access(target / "scripts" / "pve", os.X_OK)
    assert not os.access(target / "SKILL.md", os.X_OK)
    assert "bin /opt/bin\n" in (target / NOTE).read_text()


def test_a_version_of_ours_is_brought_up_to_date(target: Path) -> None:
    install(target)
    standing = compare(target, NEXT, write_note(NEXT, Path("/opt/bin")))
    assert (standing.is_current, standing.edited) == (False, ())
    install(target, NEXT)
    assert read_files(target) == NEXT


def test_a_moved_program_is_noted_anew(target: Path) -> None:
    install(target)
    standing = compare(target, FILES, write_note(FILES, Path("/usr/bin")))
    assert (standing.is_current, standing.edited) == (False, ())


def test_edits_are_named_file_by_file(target: Path) -> None:
    install(target)
    (target / "SKILL.md").write_text("mine\n")
    (target / "references" / "mine.md").write_text("mine\n")
    (target / "references" / "a.md").unlink()
    wanted = ("SKILL.md", "+references/mine.md", "-references/a.md")
    assert edited(target) == wanted
    assert edited(target, NEXT) == wanted


def test_a_folder_of_somebody_elses_is_all_edits(target: Path) -> None:
    (target / "references").mkdir(parents=True)
    (target / "SKILL.md").write_text("another skill\n")
    assert edited(target) == ("SKILL.md", "-references/a.md", "-scripts/pve")


def test_what_agents_leave_beside_is_no_edit(target: Path) -> None:
    install(target)
    (target / ".openclaw").mkdir()
    (target / ".openclaw" / "source-origin.json").write_text("{}")
    (target / "scripts" / "__pycache__").mkdir()
    (target / "scripts" / "__pycache__" / "x.pyc").write_bytes(b"")
    assert edited(target) == ()


def test_edits_are_kept_before_they_are_replaced(target: Path, tmp_path: Path) -> None:
    install(target)
    (target / "SKILL.md").write_text("mine\n")
    place = keep_edits(target, tmp_path / "kept")
    assert keep_edits(target, tmp_path / "kept") == place
    install(target)
    assert (place / "SKILL.md").read_text() == "mine\n"
    assert edited(target) == ()


def test_a_link_in_the_place_is_refused(target: Path, tmp_path: Path) -> None:
    target.parent.mkdir()
    target.symlink_to(tmp_path)
    with pytest.raises(ConfigError, match="symbolic link"):
        compare(target, FILES, "")


def test_a_link_in_the_skill_is_refused(target: Path) -> None:
    install(target)
    (target / "references" / "b.md").symlink_to("a.md")
    with pytest.raises(ConfigError, match="no plain file"):
        read_files(target)


def test_a_failure_leaves_what_was_there(target: Path) -> None:
    """A file in the place of a folder; nothing half is left beside."""
    install(target)
    broken = (*NEXT, SkillFile("SKILL.md/x", b""))
    with pytest.raises(ConfigError, match="cannot be put"):
        put(target, broken, "")
    assert read_files(target) == FILES
    assert [path.name for path in target.parent.iterdir()] == ["proxmox"]
