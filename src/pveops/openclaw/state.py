"""How everything is in OpenClaw now: read by its own commands, before and after a step."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from pveops.errors import ConfigError
from pveops.openclaw.host import Host
from pveops.openclaw.jobs import Look, is_set_up
from pveops.openclaw.plugin_folder import is_same
from pveops.openclaw.steps import PLUGIN, SKILL, State, Wish


class Own(NamedTuple):
    """What our own files say. told: the profile's channel and target."""

    told: tuple[str, str] = ("", "")
    has_key: bool = False
    has_skill: bool = False
    """Whether the skill lies in OpenClaw's workspace as it is now."""
    has_script: bool = False


def read_state(host: Host, wish: Wish, own: Own) -> State:
    """About a second for each question. Raises ConfigError where OpenClaw cannot be asked."""
    plugin = _plugin_root(host) if wish.plugin_folder else ""
    return State(
        exec_mode=str(host.get("tools.exec.mode") or ""),
        allowed=_allowed(host, wish.agent),
        has_plugin=bool(plugin) and is_same(Path(plugin)),
        plugin_config=host.get(f"plugins.entries.{PLUGIN}.config") if plugin else None,
        skill_env=host.get(f"skills.entries.{SKILL}.env") if wish.home else None,
        has_key=own.has_key,
        has_skill=own.has_skill,
        told=own.told,
        has_script=own.has_script,
        has_job=wish.look is not None and _has_job(host, wish.look),
    )


def _allowed(host: Host, agent: str) -> frozenset[str]:
    """Patterns of commands that the agent runs unasked."""
    agents = (host.read(["approvals", "get", "--json"]).get("file") or {}).get("agents") or {}
    rows = [
        row for name in (agent, "*") for row in (agents.get(name) or {}).get("allowlist") or ()
    ]
    return frozenset(row.get("pattern", "") for row in rows)


def _plugin_root(host: Host) -> str:
    """Where OpenClaw keeps the plugin; empty: it has none, or it is off."""
    for row in host.read(["plugins", "list", "--json"]).get("plugins", []):
        if row.get("id") == PLUGIN and row.get("enabled"):
            return str(row.get("rootDir") or "")
    return ""


def _has_job(host: Host, look: Look) -> bool:
    try:
        jobs = host.read(["cron", "list", "--json"]).get("jobs", [])
    except ConfigError:
        return False  # The gateway does not run; asking for the job anew does no harm.
    return any(is_set_up(look, job) for job in jobs)
