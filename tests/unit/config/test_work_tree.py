"""Whether a file may end up in a git repository."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from pveops.config.work_tree import find_work_tree, is_ignored


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    subprocess.run(["git", "init", "--quiet", str(tmp_path)], check=True)
    (tmp_path / "secrets").mkdir()
    return tmp_path


def test_the_repository_around_a_file_is_found(repository: Path, tmp_path: Path) -> None:
    assert find_work_tree(tmp_path / "secrets" / "token.txt") == repository.resolve()


def test_outside_of_any_there_is_none(tmp_path: Path) -> None:
    assert find_work_tree(tmp_path / "token.txt") is None
    assert is_ignored(tmp_path / "token.txt") is None


def test_rules_of_any_folder_above_count(repository: Path) -> None:
    token = repository / "secrets" / "token.txt"
    assert is_ignored(token) is False
    (repository / ".gitignore").write_text("secrets/\n", encoding="utf-8")
    assert is_ignored(token) is True


def test_a_rule_for_all_beside_the_file_needs_no_git(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "/nonexistent")
    assert is_ignored(tmp_path / "token.txt") is None
    (tmp_path / ".gitignore").write_text("*\n", encoding="utf-8")
    assert is_ignored(tmp_path / "token.txt") is True
