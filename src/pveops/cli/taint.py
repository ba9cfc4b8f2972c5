"""Who has just read what others wrote.

Notes and logs may hold instructions. A caller that was shown some is held one tier higher for a
while. It is a speed bump for callers that mean well: the same account can remove the mark.
"""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import TYPE_CHECKING

from pveops.errors import ConfigError
from pveops.units import format_utc

if TYPE_CHECKING:
    from pveops.cli.call import Call

LASTS_S = 900


def note_free_text(call: Call, command: str) -> None:
    """Remember that the caller is being shown such text, by which command."""
    from pveops.config.paths import write_private_file

    try:
        write_private_file(_file(call), f"{call.clock.now():.0f} {command}\n".encode())
    except ConfigError:
        return


def has_read_free_text(call: Call) -> bool:
    """Whether the caller was shown such text within the last 15 minutes."""
    return bool(tell_free_text(call))


def tell_free_text(call: Call) -> str:
    """Until when such text counts, and what it was shown with, in words; empty: it does not."""
    try:
        noted, _, command = _file(call).read_text(encoding="ascii").strip().partition(" ")
        until = float(noted) + LASTS_S
    except (OSError, ValueError):
        return ""
    if call.clock.now() >= until:
        return ""
    from pveops.operations.catalog import OPERATIONS

    # The account that is held higher can write this file: only what is a command of ours is told.
    known = next((row.command for row in OPERATIONS if row.id == command), "")
    after = f", after `pve {known}`" if known else ""
    return f"until {format_utc(until, '%H:%M UTC')}{after}"


def _file(call: Call) -> Path:
    """One a conversation where the caller names it, else one an account."""
    who = call.actor.asserted.get("OPENCLAW_SESSION_KEY") or f"uid {os.getuid()}"
    name = hashlib.sha256(who.encode()).hexdigest()[:16]
    return call.wiring.paths.config_cache_file.with_name(f"read-{name}")
