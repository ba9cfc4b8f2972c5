"""The `openclaw` command of this machine: the only place that runs it to read or set it up.

Facts about its commands and their JSON: OpenClaw 2026.9.6, run.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from pveops.config.programs import ask_program
from pveops.errors import ConfigError

if TYPE_CHECKING:
    import subprocess

_TIMEOUT_S = 120
"""Its command line takes seconds to start, and installs plugins."""
_UNSET = "is valid but unset"
_MAX_TOLD = 300


class Host:
    """OpenClaw as this process, its account and its surroundings reach it."""

    def run(self, words: Sequence[str]) -> str:
        """Run `openclaw WORDS`; its stdout. Raises ConfigError with what it said."""
        done = self._run(words)
        if done.returncode != 0:
            raise ConfigError(
                f"`openclaw {' '.join(words[:2])}` failed: {_problem_of(done)}",
                hint="openclaw doctor",
            )
        return done.stdout

    def read(self, words: Sequence[str]) -> Any:
        """Run a command that tells JSON. Raises ConfigError."""
        try:
            return json.loads(self.run(words))
        except json.JSONDecodeError:
            raise ConfigError(
                f"`openclaw {words[0]}` told no JSON", hint="openclaw --version; 2026.9 is known"
            ) from None

    def get(self, path: str) -> Any:
        """A setting of its configuration; None: it is not set. Raises ConfigError."""
        done = self._run(["config", "get", path, "--json"])
        if done.returncode != 0 and _UNSET in done.stdout + done.stderr:
            return None
        if done.returncode != 0:
            raise ConfigError(
                f"OpenClaw's setting {path} cannot be read: {_problem_of(done)}",
                hint="openclaw config validate",
            )
        try:
            return json.loads(done.stdout)
        except json.JSONDecodeError:
            raise ConfigError(
                f"OpenClaw told no JSON of its setting {path}", hint="openclaw config validate"
            ) from None

    def _run(self, words: Sequence[str]) -> subprocess.CompletedProcess[str]:
        if shutil.which("openclaw") is None:
            raise ConfigError(
                "OpenClaw is not installed here: there is no command `openclaw`",
                hint="run this where the agent's account finds `openclaw`",
            )
        # That of the caller's own PATH.
        return ask_program(["openclaw", *words], timeout_s=_TIMEOUT_S, hint="openclaw doctor")


def _problem_of(done: subprocess.CompletedProcess[str]) -> str:
    """What a failed command said, in a line."""
    try:
        told = json.loads(done.stdout)["error"]["message"]
    except (ValueError, KeyError, TypeError):
        told = done.stderr.strip() or done.stdout.strip() or f"exit {done.returncode}"
    return " ".join(str(told).split())[:_MAX_TOLD]
