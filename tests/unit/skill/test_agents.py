"""Where agents look for skills, and what they say of one; scripted programs play the agents."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from pveops.errors import ConfigError
from pveops.skill.agents import (
    ask_openclaw,
    ask_validator,
    find_skills_folder,
    judge_info,
    read_workspace,
)

SKILL = Path(__file__).resolve().parents[3] / "skills" / "proxmox"


def script(folder: Path, name: str, body: str) -> dict[str, str]:
    """An executable on a PATH of its own."""
    folder.mkdir(exist_ok=True)
    program = folder / name
    program.write_text(f"#!/bin/sh\n{body}\n")
    program.chmod(0o755)
    return {"PATH": f"{folder}:/usr/bin:/bin"}


def test_each_agent_has_its_place(tmp_path: Path) -> None:
    environ = {"PATH": ""}
    base, home = tmp_path / "base", tmp_path / "home"
    found = {
        agent: find_skills_folder(agent, base, home, environ)
        for agent in ("openclaw", "claude", "codex")
    }
    assert found == {
        "openclaw": base / "skills",
        "claude": base / ".claude/skills",
        "codex": base / ".agents/skills",
    }
    assert find_skills_folder("claude", None, home, environ) == home / ".claude/skills"
    assert find_skills_folder("codex", None, home, environ) == home / ".agents/skills"
    assert find_skills_folder(f"{tmp_path}/any", None, home, environ) == tmp_path / "any"


def test_openclaw_tells_its_own_workspace(tmp_path: Path) -> None:
    rows = [
        {"id": "docs", "workspace": "/elsewhere"},
        {"id": "main", "workspace": str(tmp_path / "ws"), "isDefault": True},
    ]
    environ = script(tmp_path / "bin", "openclaw", f"echo '{json.dumps(rows)}'; echo note >&2")
    assert find_skills_folder("openclaw", None, tmp_path, environ) == tmp_path / "ws" / "skills"
    environ = script(tmp_path / "bin", "openclaw", "echo 'Node is too old' >&2; exit 1")
    with pytest.raises(ConfigError, match="Node is too old"):
        find_skills_folder("openclaw", None, tmp_path, environ)


def test_without_openclaw_its_files_tell_the_workspace(tmp_path: Path) -> None:
    state, environ = tmp_path / ".openclaw", {"PATH": ""}
    with pytest.raises(ConfigError, match="there is no workspace") as caught:
        find_skills_folder("openclaw", None, tmp_path, environ)
    assert caught.value.hint == "pve skill install WORKSPACE"
    (state / "workspace").mkdir(parents=True)
    assert read_workspace(tmp_path, environ) == state / "workspace"
    (tmp_path / "own").mkdir()
    config = {"agents": {"defaults": {"workspace": str(tmp_path / "own")}}}
    (state / "openclaw.json").write_text(json.dumps(config))
    assert read_workspace(tmp_path, environ) == tmp_path / "own"
    (state / "openclaw.json").write_text("{agents: {}} // JSON5")
    with pytest.raises(ConfigError, match="cannot be read without it"):
        read_workspace(tmp_path, environ)
    (tmp_path / "other" / "workspace").mkdir(parents=True)
    other = {"OPENCLAW_STATE_DIR": str(tmp_path / "other")}
    assert read_workspace(tmp_path, other) == tmp_path / "other" / "workspace"


def test_the_validator_is_asked_and_objects(tmp_path: Path) -> None:
    assert ask_validator(SKILL).text == "valid"
    (tmp_path / "SKILL.md").write_text("no front matter\n")
    opinion = ask_validator(tmp_path)
    assert opinion.ran
    assert opinion.problem


def test_openclaw_is_asked_in_a_state_of_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The skill lies in that state's workspace, and nothing of the user's is seen."""
    body = (
        'if [ "$1" = --version ]; then echo "OpenClaw 2026.9.6"; exit; fi\n'
        f'echo "$* $HOME $OPENCLAW_CONFIG_PATH" >> {tmp_path}/asked\n'
        f'cp "$OPENCLAW_CONFIG_PATH" {tmp_path}/config.json\n'
        'ws="$(dirname "$OPENCLAW_STATE_DIR")/workspace/skills/proxmox"\n'
        '[ -f "$ws/SKILL.md" ] || exit 3\n'
        'echo "{\\"eligible\\": true, \\"modelVisible\\": true, \\"baseDir\\": \\"$ws\\"}"'
    )
    environ = script(tmp_path / "bin", "openclaw", body)
    monkeypatch.setenv("PATH", environ["PATH"])
    monkeypatch.setenv("OPENCLAW_STATE_DIR", "/the/users/own")
    opinion = ask_openclaw(SKILL)
    assert opinion == ("OpenClaw 2026.9.6", True, "eligible, nothing missing", "")
    asked = (tmp_path / "asked").read_text()
    assert asked.startswith("skills info proxmox --json /")
    assert "/the/users/own" not in asked
    config = json.loads((tmp_path / "config.json").read_text())
    assert config["gateway"]["port"] != 18789
    assert config["agents"]["defaults"]["skills"] == ["proxmox"]


def test_what_openclaw_objects_to_is_told() -> None:
    place = Path("/ws/skills/proxmox")
    facts = {"baseDir": str(place), "eligible": False, "missing": {"bins": ["sh"], "env": []}}
    assert judge_info("OpenClaw", facts, place).problem == "bins sh"
    facts = {"baseDir": str(place), "eligible": True, "modelVisible": False}
    assert judge_info("OpenClaw", facts, place).problem == "it does not say why"
    assert judge_info("OpenClaw", {}, place).problem == "it knows no such skill"


def test_an_agent_that_is_not_there_is_not_claimed_to_have_looked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    opinion = ask_openclaw(SKILL)
    assert (opinion.ran, opinion.text) == (False, "openclaw is not installed")
