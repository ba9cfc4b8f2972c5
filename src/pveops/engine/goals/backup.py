"""Goals about backups."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pveops.api.port import api_path
from pveops.domain.backup import backup_of_row
from pveops.domain.rows import rows_of
from pveops.engine.goals.place import ref_of
from pveops.engine.goals.sight import Look, Sight, Sought
from pveops.units import format_bytes

if TYPE_CHECKING:
    from pveops.api.client import Client


def _look_for_backup(client: Client, sought: Sought) -> Sight:
    """`expect`: `storage`, and `since` in seconds: reached by an archive begun since then.

    A task's OK is not enough: PVE answers OK and does nothing for a guest on another node
    (API2/VZDump.pm).
    """
    ref, storage = ref_of(sought.target), str(sought.expect["storage"])
    since = int(sought.expect["since"] or 0)
    path = api_path("nodes", ref.node, "storage", storage, "content")
    rows = rows_of(client.get(path, {"content": "backup", "vmid": ref.vmid}))
    backups = sorted((backup_of_row(row, storage) for row in rows), reverse=True)
    made = [each for each in backups if each.ctime >= since and each.size_bytes > 0]
    if not made:
        return Sight(False, f"without a new backup on {storage}", {"backup": None})
    word = f"backed up ({made[0].volid}, {format_bytes(made[0].size_bytes)})"
    return Sight(True, word, {"backup": made[0].volid, "size_bytes": made[0].size_bytes})


GOALS: dict[str, Look] = {"backup.exists": _look_for_backup}
