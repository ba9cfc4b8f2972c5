"""The plugin's folder: put together, known again, never in place of something else."""

from __future__ import annotations

from pathlib import Path

import pytest

from pveops.errors import ConfigError
from pveops.openclaw.plugin_folder import is_same, list_files, write_plugin


def test_it_holds_the_code_and_the_skill_as_files_of_their_own(tmp_path: Path) -> None:
    folder = tmp_path / "plugin"
    assert write_plugin(folder) is True
    assert (folder / "openclaw.plugin.json").is_file()
    assert (folder / "skills" / "proxmox" / "SKILL.md").is_file()
    for path in folder.rglob("*"):
        assert not path.is_symlink()
        assert path.is_dir() or path.stat().st_nlink == 1


def test_the_second_time_nothing_is_written(tmp_path: Path) -> None:
    folder = tmp_path / "plugin"
    write_plugin(folder)
    assert is_same(folder)
    assert write_plugin(folder) is False


def test_a_file_that_was_changed_is_put_right_and_strangers_go(tmp_path: Path) -> None:
    folder = tmp_path / "plugin"
    write_plugin(folder)
    (folder / "index.js").write_text("export default {};")
    (folder / "old.js").write_text("")
    assert not is_same(folder)
    assert write_plugin(folder) is True
    assert {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()} == set(
        list_files()
    )


@pytest.mark.parametrize("manifest", ['{"id": "another"}', "[]", "no json", ""])
def test_another_plugin_is_left_alone(manifest: str, tmp_path: Path) -> None:
    (tmp_path / "openclaw.plugin.json").write_text(manifest)
    (tmp_path / "index.js").write_text("mine")
    with pytest.raises(ConfigError, match="holds something else"):
        write_plugin(tmp_path)
    assert (tmp_path / "index.js").read_text() == "mine"


def test_a_folder_with_something_else_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "diary.txt").write_text("mine")
    with pytest.raises(ConfigError, match="holds something else"):
        write_plugin(tmp_path)
    assert (tmp_path / "diary.txt").read_text() == "mine"
