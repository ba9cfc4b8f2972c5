from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from pveops.config.paths import (
    create_private_file,
    find_paths,
    make_private_dir,
    write_private_file,
    write_public_file,
)
from pveops.errors import ConfigError


def test_with_pve_home_all_but_the_identity_lies_there() -> None:
    paths = find_paths({"PVE_HOME": "/srv/work", "HOME": "/home/anna"})
    assert paths.config_file == Path("/srv/work/config.yaml")
    assert paths.policy_file == Path("/srv/work/policy.yaml")
    assert paths.secrets_dir == Path("/srv/work/secrets")
    assert paths.audit_file == Path("/srv/work/logs/audit.jsonl")
    assert paths.identity_file == Path("/home/anna/.config/pveops/identity.txt")


def test_without_it_the_xdg_folders_are_used() -> None:
    paths = find_paths({"HOME": "/home/anna"})
    assert paths.config_dir == Path("/home/anna/.config/pveops")
    assert paths.data_dir == Path("/home/anna/.local/share/pveops")
    assert paths.state_dir == Path("/home/anna/.local/state/pveops")
    named = find_paths({"HOME": "/home/anna", "XDG_CONFIG_HOME": "/c", "XDG_STATE_HOME": "/s"})
    assert (named.config_dir, named.state_dir) == (Path("/c/pveops"), Path("/s/pveops"))


def test_a_relative_xdg_folder_is_ignored() -> None:
    """As the XDG Base Directory specification wants it."""
    assert find_paths({"HOME": "/h", "XDG_CONFIG_HOME": "c"}).config_dir == Path(
        "/h/.config/pveops"
    )


def test_a_relative_pve_home_is_refused() -> None:
    with pytest.raises(ConfigError, match="no absolute path"):
        find_paths({"PVE_HOME": "work", "HOME": "/h"})


def test_folders_are_made_for_their_owner_alone(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        make_private_dir(tmp_path / "a" / "b")
    finally:
        os.umask(before)
    assert (tmp_path / "a").stat().st_mode & 0o777 == 0o700
    assert (tmp_path / "a" / "b").stat().st_mode & 0o777 == 0o700


def test_a_file_is_replaced_whole_and_leaves_nothing_beside_it(tmp_path: Path) -> None:
    file = tmp_path / "x" / "file"
    write_private_file(file, b"one")
    write_private_file(file, b"two" * 100_000)
    assert file.read_bytes() == b"two" * 100_000
    assert file.stat().st_mode & 0o777 == 0o600
    assert list(file.parent.iterdir()) == [file]


def test_a_new_file_never_takes_the_place_of_another(tmp_path: Path) -> None:
    file = tmp_path / "file"
    assert create_private_file(file, b"one")
    assert not create_private_file(file, b"two")
    assert file.read_bytes() == b"one"
    assert list(tmp_path.iterdir()) == [file]


def test_a_file_in_place_of_a_folder_is_named(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("")
    for path in (tmp_path / "a", tmp_path / "a" / "b"):
        with pytest.raises(ConfigError, match="cannot be made"):
            make_private_dir(path)
    with pytest.raises(ConfigError):
        write_private_file(tmp_path / "a" / "file", b"")


def test_a_file_for_all_is_written_through_no_link(tmp_path: Path) -> None:
    other, path = tmp_path / "other", tmp_path / "page.html"
    other.write_text("mine")
    path.symlink_to(other)
    (tmp_path / f".page.html.{os.getpid()}").symlink_to(other)
    before = os.umask(0o077)
    try:
        write_public_file(path, b"page")
    finally:
        os.umask(before)
    assert other.read_text() == "mine"
    assert path.read_bytes() == b"page"
    assert not path.is_symlink()
    assert stat.S_IMODE(path.stat().st_mode) == 0o644
    with pytest.raises(OSError, match="No such file"):
        write_public_file(tmp_path / "nowhere" / "page.html", b"page")
