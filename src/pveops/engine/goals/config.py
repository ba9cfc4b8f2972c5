"""Goals about a guest's configuration: what it has to say, and what it must not say any more."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pveops.domain.guest import read_guest_config
from pveops.domain.rows import text_of
from pveops.engine.goals.place import ref_of
from pveops.engine.goals.sight import Look, Sight, Sought
from pveops.operations.plan import Scalar
from pveops.redact import redact_params

if TYPE_CHECKING:
    from pveops.api.client import Client


def _look_at_values(client: Client, sought: Sought) -> Sight:
    """`expect`: key -> the text that PVE has to show; None: the key is not set.

    PVE answers its configuration with what is pending in it (GET config without `current`), so
    this is reached by what waits for a restart, too.
    """
    config = read_guest_config(client, ref_of(sought.target))
    seen: dict[str, Scalar] = {}
    off: list[str] = []
    for key, wanted in sought.expect.items():
        seen[key] = text_of(config.values, key) if key in config.values else None
        if seen[key] != wanted:
            off.append(key)
    word = f"not as wanted: {', '.join(off)}" if off else "configured"
    return Sight(not off, word, dict(redact_params(seen)))


def _look_at_digest(client: Client, sought: Sought) -> Sight:
    """Reached when the stored configuration is another one than before."""
    config = read_guest_config(client, ref_of(sought.target))
    is_other = config.digest != sought.before.get("digest")
    return Sight(is_other, "configured" if is_other else "unchanged", {"digest": config.digest})


GOALS: dict[str, Look] = {
    "config.values": _look_at_values,
    "config.changed": _look_at_digest,
}
