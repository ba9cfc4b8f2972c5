"""Guards: the facts that justify a plan, as fields that can be compared one by one."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from pveops.domain.backup import Backup, summarize_backups
from pveops.domain.guest import GuestConfig, GuestState
from pveops.domain.ha import resource_text
from pveops.domain.job import BackupJob, job_text
from pveops.domain.pool import Pool, pool_text
from pveops.domain.volume_facts import VolumeUse
from pveops.operations.plan import Scalar


def guest_guards(state: GuestState, config: GuestConfig) -> dict[str, Scalar]:
    """What must not have changed about a guest between its plan and the first call."""
    return {
        "name": state.ref.name,
        "status": state.status,
        "qmpstatus": state.qmpstatus,
        "lock": state.lock,
        "pid": state.pid,
        "is_ha_managed": state.is_ha_managed,
        "identity": config.identity,
        "digest": config.digest,
    }


def node_guards(status: str, running: Iterable[int]) -> dict[str, Scalar]:
    """That a node is as it was, and that nothing else runs on it. running: vmids."""
    return {"status": status, "running": ",".join(map(str, sorted(running)))}


FILE = "file"


def file_guard(path: str, size_bytes: int, mtime_ns: int) -> dict[str, Scalar]:
    """That a local file is as it was."""
    return {f"{FILE}/{path}": f"{size_bytes} bytes of {mtime_ns}"}


USE = "use"


def use_guard(storage: str, volid: str, uses: Iterable[VolumeUse]) -> dict[str, Scalar]:
    """That the same guests name a volume still: none, where it is to be deleted."""
    told = sorted(f"{use.vmid} {use.key}" for use in uses)
    return {f"{USE}/{storage}/{volid}": "; ".join(told)}


def pool_guard(pool: Pool | None) -> dict[str, Scalar]:
    """That a pool has the same members still."""
    return {"pool": pool_text(pool)}


HA = "ha"


def ha_guard(sid: str, resource: dict[str, str] | None) -> dict[str, Scalar]:
    """That HA wants the same of a guest still."""
    return {f"{HA}/{sid}": resource_text(resource)}


_BACKUPS = "backups"


def backup_guard(
    storage: str, node: str, backups: Sequence[Backup], vmid: int
) -> dict[str, Scalar]:
    """That a storage holds the same backups of a vmid still, with the same protection."""
    return {f"{_BACKUPS}/{storage}/{node}/{vmid}": summarize_backups(backups)}


_ARCHIVE = "archive"


def archive_guard(node: str, volid: str, vmid: int, backup: Backup | None) -> dict[str, Scalar]:
    """That one backup is as it was: that it can be read, its size, its age, its verification."""
    told = "not there"
    if backup is not None:
        verified = f", verification {backup.verification}" if backup.verification else ""
        told = f"{backup.size_bytes} bytes of {backup.ctime}{verified}"
    return {f"{_ARCHIVE}/{node}/{vmid}/{volid}": told}


class ArchivePlace(NamedTuple):
    """Where a guard about one backup is to be read."""

    node: str
    vmid: int
    volid: str

    @property
    def storage(self) -> str:
        """A volume id begins with its storage."""
        return self.volid.partition(":")[0]


def archive_place(field: str) -> ArchivePlace | None:
    """What the name of a guard says; None for guards about something else."""
    parts = field.split("/", 3)
    if parts[0] != _ARCHIVE:
        return None
    return ArchivePlace(parts[1], int(parts[2]), parts[3])


class BackupsPlace(NamedTuple):
    """Where a guard about backups is to be read."""

    storage: str
    node: str
    vmid: int


def backups_place(field: str) -> BackupsPlace | None:
    """What the name of a guard says; None for guards about something else."""
    parts = field.split("/")
    if parts[0] != _BACKUPS:
        return None
    return BackupsPlace(parts[1], parts[2], int(parts[3]))


def job_guards(job: BackupJob | None) -> dict[str, Scalar]:
    """That a job is as it was; PVE keeps no digest of them (API2/Backup.pm)."""
    return {"job": job_text(job)}
