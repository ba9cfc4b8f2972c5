"""Agents on this machine: where each looks for skills, and what each says of one.

Sources: OpenClaw 2026.9.6 docs/concepts/agent-workspace.md and docs/tools/skills.md;
agentskills.io/specification; code.claude.com/docs/en/skills; developers.openai.com/codex/skills.
"""

from __future__ import annotations

import json
import os
import shutil
import socket
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from pveops.config.programs import ask_program
from pveops.errors import ConfigError

if TYPE_CHECKING:
    import subprocess

_ASK_S = 40
"""OpenClaw takes some seconds to start; more on a busy machine."""
_BELOW = {"openclaw": "skills", "claude": ".claude/skills", "codex": ".agents/skills"}
AGENTS = tuple(_BELOW)
_NAME_IT = "pve skill install WORKSPACE"


class Opinion(NamedTuple):
    """What an agent's own check says.

    ran: whether it did. problem: what it objects to; empty when it does not.
    """

    name: str
    ran: bool
    text: str
    problem: str = ""


def find_skills_folder(
    agent: str, base: Path | None, home: Path, environ: Mapping[str, str]
) -> Path:
    """Where an agent looks for skills.

    base: the workspace or project to use instead of the agent's own place; `agent` may also be
    any folder of skills. Raises ConfigError when nobody tells OpenClaw's workspace.
    """
    if agent not in _BELOW:
        return Path(agent).expanduser()
    if base is None:
        base = _openclaw_workspace(home, environ) if agent == "openclaw" else home
    return base / _BELOW[agent]


def _openclaw_workspace(home: Path, environ: Mapping[str, str]) -> Path:
    """That of OpenClaw's default agent: as OpenClaw tells it, or as its files do without it."""
    program = shutil.which("openclaw", path=environ.get("PATH"))
    if program is None:
        return read_workspace(home, environ)
    agents = _ask_json([program, "agents", "list", "--json"], environ)
    for agent in agents if isinstance(agents, list) else ():
        if agent.get("isDefault") and agent.get("workspace"):
            return Path(agent["workspace"])
    raise ConfigError("OpenClaw names no default agent", hint=_NAME_IT)


def read_workspace(home: Path, environ: Mapping[str, str]) -> Path:
    """The workspace by OpenClaw's own files, for when it is not on PATH.

    Only what is certain: a configuration that can be read, or none at all, and a folder that is
    there. Raises ConfigError otherwise.
    """
    state = Path(environ.get("OPENCLAW_STATE_DIR") or home / ".openclaw").expanduser()
    file, workspace = state / "openclaw.json", state / "workspace"
    try:
        agents = json.loads(file.read_text(encoding="utf-8")).get("agents", {})
        named = agents.get("defaults", {}).get("workspace")
        workspace = Path(named).expanduser() if named else workspace
    except FileNotFoundError:
        pass
    except (OSError, ValueError, AttributeError, TypeError):
        raise ConfigError(
            f"openclaw is not on PATH, and {file} cannot be read without it", hint=_NAME_IT
        ) from None
    if not workspace.is_dir():
        raise ConfigError(
            f"openclaw is not on PATH, and there is no workspace {workspace}", hint=_NAME_IT
        )
    return workspace


def ask_validator(folder: Path) -> Opinion:
    """The reference validator of the AgentSkills specification."""
    name = "AgentSkills validator"
    program = shutil.which("agentskills") or str(Path(sys.executable).with_name("agentskills"))
    if not Path(program).exists():
        return Opinion(name, False, "agentskills is not installed (Python package skills-ref)")
    done = _run([program, "validate", str(folder)])
    text = " ".join((done.stdout + done.stderr).split())[:400]
    if done.returncode != 0:
        return Opinion(name, True, "not valid", text)
    return Opinion(name, True, "valid")


def ask_openclaw(folder: Path) -> Opinion:
    """OpenClaw's own look at the skill, alone in a state of its own: no gateway, no settings.

    `skills info` reads the folder as an agent's start would.
    """
    name = "OpenClaw"
    program = shutil.which("openclaw")
    if program is None:
        return Opinion(name, False, "openclaw is not installed")
    with tempfile.TemporaryDirectory(prefix="pve-skill-") as scratch:
        state, workspace = Path(scratch, "state"), Path(scratch, "workspace")
        shutil.copytree(folder, workspace / "skills" / folder.name, copy_function=shutil.copyfile)
        environ = _make_state(state, workspace, folder.name)
        name = _run([program, "--version"], environ).stdout.strip()[:60] or name
        words = [program, "skills", "info", folder.name, "--json"]
        try:
            facts = _ask_json(words, environ)
        except ConfigError as error:
            return Opinion(name, True, "not taken", error.message)
    return judge_info(name, facts, workspace / "skills" / folder.name)


def judge_info(name: str, facts: Mapping[str, Any], place: Path) -> Opinion:
    """What `openclaw skills info NAME --json` comes to, for a skill that lies at `place`."""
    missing = [
        f"{kind} {', '.join(map(str, values))}"
        for kind, values in dict(facts.get("missing") or {}).items()
        if values
    ]
    if Path(str(facts.get("baseDir", ""))).name != place.name:
        return Opinion(name, True, "not taken", "it knows no such skill")
    if facts.get("eligible") is not True or facts.get("modelVisible") is False:
        return Opinion(name, True, "not eligible", "; ".join(missing) or "it does not say why")
    return Opinion(name, True, "eligible, nothing missing")


def _make_state(state: Path, workspace: Path, skill: str) -> dict[str, str]:
    """A state that shares nothing with the user's; the port is one where no gateway answers."""
    state.mkdir(parents=True)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    config = {
        "gateway": {"mode": "local", "bind": "loopback", "port": port},
        "logging": {"file": str(state / "openclaw.log")},
        "agents": {"defaults": {"workspace": str(workspace), "skills": [skill]}},
    }
    (state / "openclaw.json").write_text(json.dumps(config))
    return {
        "PATH": os.environ.get("PATH", os.defpath),
        "HOME": str(state),
        "OPENCLAW_HOME": str(state),
        "OPENCLAW_STATE_DIR": str(state),
        "OPENCLAW_CONFIG_PATH": str(state / "openclaw.json"),
        "OPENCLAW_NO_RESPAWN": "1",
        "NO_COLOR": "1",
    }


def _ask_json(words: list[str], environ: Mapping[str, str] | None = None) -> Any:
    done = _run(words, environ)
    try:
        return json.loads(done.stdout)
    except ValueError:
        said = " ".join((done.stderr or done.stdout).split())[:300]
        raise ConfigError(
            f"`{' '.join(words[1:])}` of OpenClaw gave no answer: {said}", hint="openclaw doctor"
        ) from None


def _run(
    words: list[str], environ: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    return ask_program(words, timeout_s=_ASK_S, hint=f"{words[0]} --help", environ=environ)
