"""What makes pveops at home in OpenClaw, step by step: what is so already, what is to do. Pure.

The agent may run `pve` without asking: it decides by itself what needs a person. `pve-apply` is
never allowed ahead, so that OpenClaw asks about each.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator, Mapping
from typing import Any, Literal, NamedTuple

from pveops.openclaw.jobs import Look, job_words

PLUGIN = "pveops"
SKILL = "proxmox"
_HOLDING = frozenset({"ask", "allowlist", "deny"})
"""Modes of `tools.exec` in which no command that is not on the list runs without a person; in
`auto` a model decides, in `full` nobody."""

Program = Literal["openclaw", "pve"]


class Wish(NamedTuple):
    """How it shall be."""

    pve: str
    """`pve` by its whole path."""
    agent: str = "main"
    home: str = ""
    """PVE_HOME, where the configuration does not lie in the XDG folders."""
    profile: str = ""
    """The cluster; empty: the default one."""
    channel: str = ""
    target: str = ""
    """Whom OpenClaw tells, and over which channel; empty: nobody."""
    plugin_folder: str = ""
    """Where the plugin is put together; empty: without the plugin."""
    keeps_exec_mode: bool = False
    has_broker: bool = False
    """Codes go the broker's way; it is not told here whom it sends them to."""
    look: Look | None = None
    """The monitor's regular look; None: without one."""


class State(NamedTuple):
    """How it is, as OpenClaw and our own files tell."""

    exec_mode: str = ""
    allowed: frozenset[str] = frozenset()
    """Patterns of commands that the agent runs unasked."""
    has_plugin: bool = False
    """Whether OpenClaw's copy of the plugin is the same as ours."""
    plugin_config: Mapping[str, Any] | None = None
    skill_env: Mapping[str, str] | None = None
    has_key: bool = False
    """Whether there is a key that approvals are signed with."""
    has_skill: bool = False
    """Whether the skill lies in the workspace as it is now."""
    told: tuple[str, str] = ("", "")
    """The profile's channel and target."""
    has_script: bool = False
    """Whether the script that wakes the agent lies where the job looks for it, as it is now."""
    has_job: bool = False
    """Whether the monitor's job is there, as far as OpenClaw told."""


class Step(NamedTuple):
    """One thing to set up."""

    what: str
    program: Program
    words: tuple[str, ...]
    """What follows the program."""
    is_done: bool

    @property
    def command(self) -> str:
        """As somebody types it."""
        return shlex.join((self.program, *self.words))


def list_steps(wish: Wish, state: State) -> tuple[Step, ...]:
    """Every step, in an order in which each finds what it needs."""
    return (
        *_plugin_steps(wish, state),
        *_skill_steps(wish, state),
        *_exec_steps(wish, state),
        *_message_steps(wish, state),
        *_job_steps(wish, state),
    )


def plugin_config(wish: Wish) -> dict[str, str]:
    """The plugin's settings."""
    given = {"pve": wish.pve, "home": wish.home, "profile": wish.profile}
    return {name: value for name, value in given.items() if value}


def _plugin_steps(wish: Wish, state: State) -> Iterator[Step]:
    if not wish.plugin_folder:
        return
    install = ("plugins", "install", wish.plugin_folder, "--force", "--accept-capabilities")
    config = plugin_config(wish)
    write = ("openclaw", "plugin", wish.plugin_folder)
    yield Step("put the plugin together", "pve", write, state.has_plugin)
    yield Step("install the plugin", "openclaw", install, state.has_plugin)
    yield Step(
        "tell the plugin where the command is",
        "openclaw",
        _set(f"plugins.entries.{PLUGIN}.config", config),
        state.plugin_config == config,
    )
    yield Step(
        "make the key that approvals are signed with",
        "pve",
        ("plan", "approval-key"),
        state.has_key,
    )


def _skill_steps(wish: Wish, state: State) -> Iterator[Step]:
    if not wish.plugin_folder:
        # With the plugin comes the skill.
        yield Step(
            "install the skill", "pve", ("skill", "install", "--for", "openclaw"), state.has_skill
        )
    if wish.home:
        had = dict(state.skill_env or {})
        wanted = had | {"PVE_HOME": wish.home}
        path = f"skills.entries.{SKILL}.env"
        yield Step("give the skill its PVE_HOME", "openclaw", _set(path, wanted), had == wanted)


def _exec_steps(wish: Wish, state: State) -> Iterator[Step]:
    add = ("approvals", "allowlist", "add", "--agent", wish.agent, wish.pve)
    yield Step(
        "let the agent run this unasked, which decides itself what needs a person",
        "openclaw",
        add,
        wish.pve in state.allowed,
    )
    if not wish.keeps_exec_mode:
        yield Step(
            "ask about every command that is not allowed ahead, pve-apply among them",
            "openclaw",
            ("config", "set", "tools.exec.mode", "ask"),
            state.exec_mode in _HOLDING,
        )


def _message_steps(wish: Wish, state: State) -> Iterator[Step]:
    if wish.target and not wish.has_broker:
        words = ("openclaw", "tell", wish.channel, wish.target)
        yield Step(
            "send codes and alerts to the person",
            "pve",
            (*words, *(("--profile", wish.profile) if wish.profile else ())),
            state.told == (wish.channel, wish.target),
        )


def _job_steps(wish: Wish, state: State) -> Iterator[Step]:
    if wish.look is not None and wish.look.script_file:
        script = ("openclaw", "wake-script", "--profile", wish.look.profile)
        yield Step("write the script that wakes the agent", "pve", script, state.has_script)
    if wish.look is not None:
        words = job_words(wish.look)
        yield Step("look at the cluster regularly", "openclaw", words, state.has_job)


def _set(path: str, value: Any) -> tuple[str, ...]:
    return ("config", "set", path, json.dumps(value), "--strict-json")
