"""Goals about volumes on storages."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pveops.api.port import api_path
from pveops.domain.rows import int_of, rows_of, text_of
from pveops.engine.goals.sight import Look, Sight, Sought
from pveops.operations.plan import Scalar
from pveops.units import format_bytes

if TYPE_CHECKING:
    from pveops.api.client import Client


def _look_for_volume(client: Client, sought: Sought) -> Sight:
    """`expect`: `storage`, `content` and `volid`; reached when it is there and not empty.

    With `size_bytes` it has to have that size.
    """
    storage, volid = str(sought.expect["storage"]), sought.expect["volid"]
    path = api_path("nodes", sought.target.node, "storage", storage, "content")
    rows = rows_of(client.get(path, {"content": sought.expect["content"]}))
    size = next((int_of(row, "size") for row in rows if text_of(row, "volid") == volid), 0)
    if not size:
        return Sight(False, f"not on {storage}", {"volume": None})
    is_whole = sought.expect.get("size_bytes") in (None, size)
    after: dict[str, Scalar] = {"volume": str(volid), "size_bytes": size}
    return Sight(is_whole, f"there ({format_bytes(size)})", after)


def _look_for_absence(client: Client, sought: Sought) -> Sight:
    """`expect`: `storage`, `content` and `volid`."""
    storage, volid = str(sought.expect["storage"]), sought.expect["volid"]
    path = api_path("nodes", sought.target.node, "storage", storage, "content")
    rows = rows_of(client.get(path, {"content": sought.expect["content"]}))
    is_there = any(text_of(row, "volid") == volid for row in rows)
    word = f"still on {storage}" if is_there else "gone"
    return Sight(not is_there, word, {"volume": str(volid) if is_there else None})


GOALS: dict[str, Look] = {
    "volume.exists": _look_for_volume,
    "volume.absent": _look_for_absence,
}
