"""Goals about a guest's configuration: what it has to say, and what it must not say any more."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from pveops.domain.config_text import FREE_TEXT, normal_value, show_value
from pveops.domain.guest import read_guest_config, read_guest_state, read_pending_changes
from pveops.domain.rows import text_of
from pveops.engine.goals.place import ref_of
from pveops.engine.goals.sight import Look, Sight, Sought
from pveops.operations.plan import Scalar
from pveops.redact import redact_params, redact_value

if TYPE_CHECKING:
    from pveops.api.client import Client

_CLOUD_INIT = re.compile(
    r"ipconfig\d+|sshkeys|ci(?:user|password|type|custom|upgrade)|nameserver|searchdomain"
)
WAITING = "waits"
"""Beside the values in a receipt: the keys that wait for the guest's next full stop and start."""


def _look_at_values(client: Client, sought: Sought) -> Sight:
    """`expect`: key -> the text that PVE has to show; None: the key is not set.

    PVE answers its configuration with what is pending in it (GET config without `current`), so
    this is reached by what waits for a restart, too; `/pending` tells which that is.
    """
    ref = ref_of(sought.target)
    config = read_guest_config(client, ref)
    seen: dict[str, Scalar] = {}
    off: list[str] = []
    words: list[str] = []
    for key, wanted in sought.expect.items():
        text = text_of(config.values, key) if key in config.values else None
        seen[key] = show_value(key, text) if key in FREE_TEXT else text
        if not _is_as_wanted(key, text, wanted):
            off.append(key)
        words.append(f"{key} {_show(key, sought.before.get(key))} -> {_show(key, seen[key])}")
    after: dict[str, Scalar] = dict(redact_params(seen))
    if off:
        return Sight(False, f"not as wanted: {', '.join(off)}", after)
    waiting = [
        change.key for change in read_pending_changes(client, ref) if change.key in sought.expect
    ]
    waiting += _told_at_start(client, sought)
    word = f"configured: {', '.join(words)}"
    if waiting:
        after[WAITING] = ",".join(waiting)
        word += f"; waits for a full stop and start: {', '.join(waiting)}"
    return Sight(True, word, after)


def _told_at_start(client: Client, sought: Sought) -> list[str]:
    """What a running VM reads from a drive that PVE writes anew when it starts.

    PVE never has that pending (vmconfig_hotplug_pending in QemuServer.pm).
    """
    ref = ref_of(sought.target)
    keys = [key for key in sought.expect if _CLOUD_INIT.fullmatch(key)]
    if not keys or ref.kind != "qemu" or not read_guest_state(client, ref).is_running:
        return []
    return keys


def _show(key: str, value: Scalar) -> str:
    return "unset" if value is None else str(redact_value(value, key))


def _is_as_wanted(key: str, text: str | None, wanted: Scalar) -> bool:
    if text is None or wanted is None:
        return text is None and wanted is None
    return normal_value(key, text) == normal_value(key, str(wanted))


def _look_for_reverts(client: Client, sought: Sought) -> Sight:
    """`expect`: key -> None for each key that must have nothing pending any more."""
    pending = {change.key for change in read_pending_changes(client, ref_of(sought.target))}
    left = [key for key in sought.expect if key in pending]
    if left:
        return Sight(False, f"still pending: {', '.join(left)}", {"pending": ",".join(left)})
    return Sight(True, f"reverted: {', '.join(sought.expect)}", {"pending": None})


def _look_at_digest(client: Client, sought: Sought) -> Sight:
    """Reached when the stored configuration is another one than before."""
    config = read_guest_config(client, ref_of(sought.target))
    is_other = config.digest != sought.before.get("digest")
    return Sight(is_other, "configured" if is_other else "unchanged", {"digest": config.digest})


GOALS: dict[str, Look] = {
    "config.values": _look_at_values,
    "config.reverted": _look_for_reverts,
    "config.changed": _look_at_digest,
}
