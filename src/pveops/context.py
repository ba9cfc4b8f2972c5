"""Who asks, and why: passed explicitly to everything that decides or records."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Literal, NamedTuple

ActorKind = Literal["person", "agent", "unattended"]

_AGENT_MARKERS = (
    "OPENCLAW_SHELL",
    "OPENCLAW_STATE_DIR",
    "OPENCLAW_CHANNEL_CONTEXT",
    "CLAUDECODE",
    "CODEX_SANDBOX",
    "CURSOR_AGENT",
    "GEMINI_CLI",
    "AI_AGENT",
)
"""Environment variables that agents' shells set. Their absence proves nothing; their presence
only ever takes convenience away."""

_OF_OWNERS_TOO = frozenset({"OPENCLAW_STATE_DIR"})
"""Set for the agent's shell, and by owners who keep OpenClaw's state elsewhere."""

_SCHEDULED = re.compile(r":(?:cron|subagent|heartbeat|hook)(?::|$)")
"""In OpenClaw's session keys: nobody waits for such a turn. Its plugin passes the key on."""

_ASSERTED = ("OPENCLAW_CHANNEL_CONTEXT", "OPENCLAW_SESSION_KEY", "OPENCLAW_AGENT_ID")


def is_agents_shell(environ: Mapping[str, str]) -> bool:
    """Whether an agent's program has opened this shell, as far as it says so itself."""
    return any(environ.get(name) for name in _AGENT_MARKERS if name not in _OF_OWNERS_TOO)


class Actor(NamedTuple):
    """Who asks, as far as this machine can tell.

    kind: `person` only at a terminal without an agent's marks; `unattended` when a schedule, or
        OpenClaw's session, says so; `agent` otherwise.
    """

    kind: ActorKind
    os_user: str
    asserted: Mapping[str, str]
    """What the caller says of itself; recorded, never believed."""
    has_read_free_text: bool = False
    """It was shown text that others wrote a short while ago, and may have been talked into
    something; best effort, since the same account can hide it."""
    face: str = ""
    """By what other way than a command it came, such as `mcp`; decides nothing."""
    free_text: str = ""
    """Until when that counts, and what it was shown with, in words; empty: not known."""

    @property
    def label(self) -> str:
        """As plans and records name it: `agent:anna`, `mcp:anna`, `mcp-unattended:anna`."""
        kind = self.kind if not self.face else f"{self.face}-{self.kind}"
        return f"{kind.removesuffix('-agent')}:{self.os_user}"


def identify_actor(
    environ: Mapping[str, str], *, has_terminal: bool, is_unattended: bool = False
) -> Actor:
    """The actor from the process's surroundings."""
    import getpass

    marked = any(environ.get(name) for name in _AGENT_MARKERS)
    kind: ActorKind = "person" if has_terminal and not marked else "agent"
    is_subagent = environ.get("OPENCLAW_SUBAGENT_EXEC") == "1"
    is_scheduled = _SCHEDULED.search(environ.get("OPENCLAW_SESSION_KEY", ""))
    if is_unattended or is_subagent or is_scheduled:
        kind = "unattended"
    try:
        user = getpass.getuser()
    except (KeyError, OSError):
        user = "unknown"
    asserted = {name: environ[name][:200] for name in _ASSERTED if environ.get(name)}
    return Actor(kind, user, asserted)
