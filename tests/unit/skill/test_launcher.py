"""The launchers find the installed program, or say plainly how to get it."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

SKILL = Path(__file__).resolve().parents[3] / "skills" / "proxmox"


@pytest.fixture
def skill(tmp_path: Path) -> Path:
    """The skill in a workspace, away from the checkout."""
    target = tmp_path / "workspace" / "skills" / "proxmox"
    shutil.copytree(SKILL, target)
    return target


def program(folder: Path, name: str = "pve") -> None:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / name
    path.write_text(f'#!/bin/sh\necho "{folder.name}/{name}: $*"\nexit 3\n')
    path.chmod(0o755)


def launch(
    skill: Path, name: str = "pve", *, path: str = "", home: str = "/nowhere"
) -> tuple[int, str]:
    done = subprocess.run(
        [skill / "scripts" / name, "guest", "list", "--name", "web*"],
        env={"PATH": f"{path}:/usr/bin:/bin", "HOME": home},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stderr == ""
    return done.returncode, done.stdout


def test_nothing_installed_is_said_plainly(skill: Path) -> None:
    code, out = launch(skill)
    assert code == 7
    assert out.startswith("error E_CONFIG: pve is not installed for this account")
    assert "next: ask the person to install pveops" in out
    assert "error E_CONFIG: pve-apply is" in launch(skill, "pve-apply")[1]


def test_it_looks_in_each_place_in_order(skill: Path, tmp_path: Path) -> None:
    said = "pve: guest list --name web*\n"
    program(skill.parents[1] / ".venv" / "bin")
    assert launch(skill) == (3, f"bin/{said}")
    program(tmp_path / ".local" / "bin")
    home = tmp_path / ".local" / "bin" / "pve"
    home.write_text(home.read_text().replace("bin/pve", "home/pve"))
    assert launch(skill, home=str(tmp_path)) == (3, f"home/{said}")
    program(tmp_path / "noted")
    (skill / "installed.txt").write_text(f"# note\nbin {tmp_path / 'noted'}\n")
    assert launch(skill, home=str(tmp_path)) == (3, f"noted/{said}")
    program(tmp_path / "on path")
    assert launch(skill, path=str(tmp_path / "on path")) == (3, f"on path/{said}")


def test_it_never_starts_itself(skill: Path, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(skill / "scripts")
    assert launch(skill, path=f"{skill / 'scripts'}:{tmp_path / 'link'}")[0] == 7


def test_pve_apply_is_another_program(skill: Path, tmp_path: Path) -> None:
    program(tmp_path / "programs", "pve-apply")
    path = str(tmp_path / "programs")
    assert launch(skill, "pve-apply", path=path)[1].startswith("programs/pve-apply: ")
    assert launch(skill, "pve", path=path)[0] == 7
