"""Goals about backups: made, gone, protected."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pveops.api.port import api_path
from pveops.domain.backup import backup_of_row, read_backups_on
from pveops.domain.backup_facts import owner_of
from pveops.domain.rows import Row, rows_of, text_of
from pveops.engine.goals.place import ref_of
from pveops.engine.goals.sight import Look, Sight, Sought, count_gone
from pveops.operations.plan import Scalar
from pveops.units import format_bytes

if TYPE_CHECKING:
    from pveops.api.client import Client
    from pveops.domain.backup import Backup


def _look_for_backup(client: Client, sought: Sought) -> Sight:
    """`expect`: `storage`; `since` in seconds; `note`, what its notes have to say.

    Reached by an archive of this guest that was begun since then and is not empty. A task's OK is
    not enough: PVE answers OK and does nothing for a guest on another node (API2/VZDump.pm). Notes
    count where there are any: the backup of a job that came between has others.
    """
    ref, storage = ref_of(sought.target), str(sought.expect["storage"])
    path = api_path("nodes", ref.node, "storage", storage, "content")
    rows = rows_of(client.get(path, {"content": "backup", "vmid": ref.vmid}))
    made = [row for row in rows if _is_ours(row, ref.kind, sought)]
    if not made:
        return Sight(False, f"without a new backup on {storage}", {"backup": None})
    newest = max(backup_of_row(row, storage) for row in made)
    word = f"backed up ({newest.volid}, {format_bytes(newest.size_bytes)})"
    return Sight(True, word, {"backup": newest.volid, "size_bytes": newest.size_bytes})


def _is_ours(row: Row, kind: str, sought: Sought) -> bool:
    backup = backup_of_row(row, "")
    notes, note = text_of(row, "notes"), str(sought.expect.get("note") or "")
    return (
        backup.ctime >= int(sought.expect["since"] or 0)
        and backup.size_bytes > 0
        and backup.kind in {"", kind}
        and (not notes or not note or note in notes)
    )


def _find(client: Client, sought: Sought) -> Backup | None:
    volid, storage = str(sought.expect["volid"]), str(sought.expect["storage"])
    node = str(sought.expect["node"])
    found = read_backups_on(client, node, storage, owner_of(volid))
    return next((each for each in found if each.volid == volid), None)


def _look_for_absence(client: Client, sought: Sought) -> Sight:
    """`expect`: `storage`, `node` and `volid`; reached when it is not listed any more.

    `all`: the volume ids of all that went, by comma, when this is the last of them.
    """
    volid, told = sought.expect["volid"], str(sought.expect.get("all") or "")
    if _find(client, sought) is None:
        word = count_gone("backup", told) if told else f"gone: {volid}"
        return Sight(True, word, {"backup": None})
    return Sight(False, f"still there: {volid}", {"backup": volid})


def _look_at_protection(client: Client, sought: Sought) -> Sight:
    """`expect`: `storage`, `node`, `volid`, and `protected`."""
    backup, wanted = _find(client, sought), bool(sought.expect["protected"])
    if backup is None:
        return Sight(False, "gone", {"backup": None})
    word = "protected" if backup.is_protected else "not protected"
    after: dict[str, Scalar] = {"backup": backup.volid, "protected": backup.is_protected}
    return Sight(backup.is_protected == wanted, word, after)


GOALS: dict[str, Look] = {
    "backup.exists": _look_for_backup,
    "backup.absent": _look_for_absence,
    "backup.protected": _look_at_protection,
}
