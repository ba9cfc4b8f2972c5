"""Whose hands the broker's program is in."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from pveops.broker.program import check_installable, code_places, find_foreign
from pveops.errors import ConfigError


@pytest.fixture
def code(tmp_path: Path) -> Path:
    folder = tmp_path / "lib" / "package"
    folder.mkdir(parents=True)
    folder.parent.chmod(0o755)
    folder.chmod(0o755)
    module = folder / "module.py"
    module.write_text("pass\n")
    module.chmod(0o644)
    return folder


def foreign(place: Path, uid: int | None = None) -> list[tuple[Path, str]]:
    return list(find_foreign([place], os.geteuid() if uid is None else uid))


def test_code_that_only_its_account_writes_is_in_good_hands(code: Path) -> None:
    assert foreign(code) == []


@pytest.mark.parametrize("which", ["module", "folder", "above"])
def test_a_place_that_others_can_write_is_named(which: str, code: Path) -> None:
    path = {"module": code / "module.py", "folder": code, "above": code.parent}[which]
    path.chmod(path.stat().st_mode | 0o020)
    assert foreign(code) == [(path, "other accounts")]


def test_a_shared_folder_whose_entries_are_their_owners_is_no_flaw(code: Path) -> None:
    code.parent.chmod(0o1777)
    assert foreign(code) == []


@pytest.mark.skipif(os.geteuid() != 0, reason="giving a file away takes root")
def test_code_that_belongs_to_another_account_is_named(code: Path) -> None:
    os.chown(code / "module.py", 64_102, -1)
    ((path, owner),) = foreign(code, 64_101)
    assert path == code / "module.py"
    assert "64102" in owner


def test_this_program_is_among_the_places() -> None:
    import pveops

    inside = Path(pveops.__file__).resolve()
    assert any(place in inside.parents for place in code_places())


@pytest.mark.parametrize("folder", ["/home/someone", "/root/.local"])
def test_a_program_that_the_unit_hides_is_refused(folder: str) -> None:
    with pytest.raises(ConfigError, match="does not see") as raised:
        check_installable(Path(folder, "bin", "pve-broker"), "nobody")
    assert "/opt/pveops" in raised.value.hint


@pytest.mark.skipif(os.geteuid() != 0, reason="running as another account takes root")
def test_a_program_that_the_account_cannot_run_is_refused(tmp_path: Path) -> None:
    program = tmp_path / "pve-broker"
    program.write_text("#!/bin/sh\nexit 0\n")
    program.chmod(0o700)
    with pytest.raises(ConfigError, match="cannot run"):
        check_installable(program, "nobody")
