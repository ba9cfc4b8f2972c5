"""The monitor's job in OpenClaw: how it is asked for, and whether it is as it should be. Pure."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

TIMEOUT_S = 120
QUIET = "NO_REPLY"
"""OpenClaw's word for: say nothing to anybody."""
_WAKE = (
    "The monitor of the Proxmox VE cluster found something. Read the skill `proxmox`, look "
    "closer with commands that only read, and tell the person in at most five lines: what is "
    "wrong, since when, what it endangers, and which command would mend it. Change nothing."
)
_MINUTE_MS = 60_000


class Look(NamedTuple):
    """A regular look at one cluster. home: PVE_HOME, where there is one."""

    pve: str
    profile: str
    minutes: int
    channel: str
    target: str
    home: str = ""
    script_file: str = ""
    """Where the script lies that wakes the agent with news; empty: the news go to the person as
    they are, and no model is called at all."""

    @property
    def key(self) -> str:
        """By which OpenClaw knows it again."""
        return f"pveops:monitor:{self.profile}"

    @property
    def command(self) -> tuple[str, ...]:
        """What OpenClaw runs where no agent is woken."""
        home = ("/usr/bin/env", f"PVE_HOME={self.home}") if self.home else ()
        look = ("monitor", "run", "--if-quiet", QUIET, "--profile", self.profile)
        return (*home, self.pve, *look)

    @property
    def script(self) -> str:
        """The script that wakes the agent."""
        given = {
            "pve": shlex.quote(self.pve),
            "quiet": QUIET,
            "profile": shlex.join(("--profile", self.profile)),
            "env": {"PVE_HOME": self.home} if self.home else {},
        }
        body = Path(__file__).with_name("watch.js").read_text(encoding="utf-8")
        return f"const LOOK = {json.dumps(given)};\n{body}"


def job_words(look: Look) -> tuple[str, ...]:
    """The words after `openclaw` that make the job; its key makes it the same job each time."""
    begin = ("cron", "add", "--name", f"pveops monitor {look.profile}")
    every = ("--every", f"{look.minutes}m", "--declaration-key", look.key)
    tell = ("--announce", "--channel", look.channel, "--to", look.target)
    if look.script_file:
        wake = ("--trigger-script", look.script_file, "--message", _WAKE)
        turn = ("--session", "isolated", "--light-context", "--tools", "exec,read")
        return (*begin, *every, *wake, *turn, *tell)
    command = ("--command-argv", json.dumps(look.command), "--timeout-seconds", str(TIMEOUT_S))
    return (*begin, *every, *command, *tell)


def is_set_up(look: Look, row: Mapping[str, Any]) -> bool:
    """Whether a job, as `openclaw cron list --json` tells it, is this one and on."""
    told = {name: row.get(name) or {} for name in ("schedule", "payload", "delivery", "trigger")}
    if look.script_file:
        is_that = str(told["trigger"].get("script", "")).strip() == look.script.strip()
    else:
        is_that = tuple(told["payload"].get("argv") or ()) == look.command
    delivery = told["delivery"]
    return (
        is_that
        and row.get("declarationKey") == look.key
        and row.get("enabled") is True
        and told["schedule"].get("everyMs") == look.minutes * _MINUTE_MS
        and (delivery.get("channel"), delivery.get("to")) == (look.channel, look.target)
    )
