"""What a run works with."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from pveops.api.client import Client
    from pveops.api.upload import Upload
    from pveops.clock import Clock
    from pveops.engine.audit import AuditLog
    from pveops.engine.store import Store
    from pveops.operations.plan import Call

Progress = Callable[[int, str, float | None], None]
"""(index of the item, what is going on, share done between 0 and 1 or None)."""


def upload_of(call: Call, tell: Callable[[str, float | None], None]) -> Upload | None:
    """The file that goes along with a call, and who is told how much of it has gone."""
    from pveops.api.upload import Upload

    def told(sent: int) -> None:
        tell("uploading", sent / max(1, call.file_bytes))

    return Upload(call.file, call.file_bytes, told) if call.file else None


class Tools(NamedTuple):
    """What a run works with. `writer` is the only client that may send anything but GET."""

    reader: Client
    writer: Client
    store: Store
    audit: AuditLog
    clock: Clock
    auth_id: str
    """How our tasks are signed: `user@realm!token`."""
    is_frozen: Callable[[], bool]
    on_progress: Progress | None
    """None: nobody watches, so no log is read."""
