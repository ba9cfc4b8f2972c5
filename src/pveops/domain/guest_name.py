"""What guests may be called."""

from __future__ import annotations

import re

from pveops.errors import UsageError

_DNS_NAME = re.compile(r"[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?(\.[A-Za-z0-9-]{1,63})*")
_SHOWN = 60


def check_guest_name(name: str) -> str:
    """The name, if PVE takes it (`dns-name` in JSONSchema.pm). Raises UsageError.

    Names come from people and agents, so one that is none is shown quoted, and cut.
    """
    if not _DNS_NAME.fullmatch(name) or len(name) > 253:
        raise UsageError(
            f"{name[:_SHOWN]!r} is no name for a guest",
            hint="letters, digits, - and . only, 63 in a row at most",
        )
    return name
