"""The call that makes a backup. It never prunes: PVE's own default would (API2/VZDump.pm)."""

from __future__ import annotations

from typing import NamedTuple

from pveops.domain.guest import Guest
from pveops.domain.storage import Storage
from pveops.operations.plan import Call, Scalar, Step, WaitState, WaitTask

_BACKUP_S = 86_400.0
_GRACE_S = 30.0


class Backup(NamedTuple):
    """One backup to be made."""

    guest: Guest
    storage: Storage
    note: str
    """What its notes say, behind the guest's name; one line."""
    since: int
    """When it was asked for, in seconds since the epoch: what is older is another one."""
    mode: str = "snapshot"
    is_protected: bool = False


def vzdump_steps(backup: Backup) -> tuple[Step, ...]:
    """Asked of the guest's own node: any other answers OK and does nothing."""
    guest, storage = backup.guest, backup.storage
    note = backup.note.replace("{{", "{ {")
    sent: dict[str, Scalar] = {
        "vmid": guest.vmid,
        "storage": storage.storage,
        "mode": backup.mode,
        "compress": "zstd",
        "remove": False,
        "protected": backup.is_protected,
        "notes-template": "{{guestname}}: " + note.replace("\\", "\\\\"),
    }
    if storage.type == "pbs":
        del sent["compress"]
    if not backup.is_protected:
        del sent["protected"]
    call = Call(
        "POST",
        f"/nodes/{guest.node}/vzdump",
        sent,
        effect="C",
        task_types=("vzdump",),
        does=f"back up to {storage.storage}",
    )
    expect: dict[str, Scalar] = {
        "storage": storage.storage,
        "since": backup.since,
        "note": note,
    }
    return call, WaitTask(_BACKUP_S), WaitState("backup.exists", _GRACE_S, expect)
