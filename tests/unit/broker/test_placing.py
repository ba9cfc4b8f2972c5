"""Root at work in another account's folder."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from pveops.broker.placing import Owner, own_folder, write_once
from pveops.errors import ConfigError

ME = Owner(os.geteuid(), os.getegid())


def test_a_file_is_made_once_and_then_its_owners(tmp_path: Path) -> None:
    file = tmp_path / "broker.yaml"
    assert write_once(file, "clients: [a]\n", ME) is True
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert write_once(file, "clients: [b]\n", ME) is False
    assert file.read_text() == "clients: [a]\n"


@pytest.mark.parametrize("is_there", [True, False])
def test_no_link_is_written_through(is_there: bool, tmp_path: Path) -> None:
    other, file = tmp_path / "other", tmp_path / "broker.yaml"
    if is_there:
        other.write_text("mine")
    file.symlink_to(other)
    assert write_once(file, "clients: [a]\n", ME) is False
    assert other.exists() is is_there
    assert not is_there or other.read_text() == "mine"


def test_a_folder_that_is_a_link_is_left_alone(tmp_path: Path) -> None:
    other, folder = tmp_path / "other", tmp_path / "pve"
    other.mkdir(mode=0o755)
    folder.symlink_to(other)
    with pytest.raises(ConfigError, match="is no folder of its own"):
        own_folder(folder, ME)
    with pytest.raises(ConfigError, match="is no folder of its own"):
        write_once(folder / "broker.yaml", "clients: [a]\n", ME)
    assert stat.S_IMODE(other.stat().st_mode) == 0o755
    assert list(other.iterdir()) == []


def test_a_folder_is_made_for_its_owner_alone_however_it_was(tmp_path: Path) -> None:
    folder = tmp_path / "pve"
    for _ in range(2):
        own_folder(folder, ME)
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
        folder.chmod(0o777)
