"""What stands against deleting a guest or bringing it back, or should be known before."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from pveops.domain.backup import Backup
from pveops.domain.disk import Disk, is_backed_up
from pveops.domain.facts import GuestFacts
from pveops.domain.storage import Storage
from pveops.domain.trash import TrashFacts, mark_of
from pveops.operations.findings import Finding
from pveops.operations.guest_checks import check_stored_change, subject_of
from pveops.operations.plan import Scalar
from pveops.operations.power_checks import PowerCase, check_power
from pveops.units import DAY_S, format_bytes, format_duration


def fresh_backup(facts: TrashFacts) -> Backup | None:
    """A backup that is not older than a day, and did not fail its verification."""
    newest = facts.backups.newest
    if newest is None or newest.verification == "failed":
        return None
    return newest if facts.base.read_at - newest.ctime <= DAY_S else None


def check_delete(
    facts: TrashFacts, params: Mapping[str, Scalar], storage: Storage | None
) -> Iterator[Finding]:
    """`storage`: where a backup is to be made; None: there is no need, or nowhere to."""
    base = facts.base
    if base.state.is_running:
        wanted = {key: params[key] for key in ("timeout", "force_after") if key in params}
        yield from _each_once(
            check_power(PowerCase("shutdown", base, wanted)), check_stored_change(base)
        )
    else:
        yield from check_stored_change(base)
    if base.config.is_protected:
        yield Finding(
            "guest.protected",
            "block",
            subject_of(base),
            "it is protected against removal",
            remedy=f"pve guest set {base.guest.vmid} --protection off",
        )
    yield from _check_backup(facts, storage, is_waived=bool(params.get("without_backup")))
    if base.state.is_ha_managed:
        yield Finding(
            "guest.ha",
            "info",
            subject_of(base),
            "HA manages it; it stays an HA resource that is wanted stopped",
        )


def _each_once(*found: Iterator[Finding] | tuple[Finding, ...]) -> Iterator[Finding]:
    yield from dict.fromkeys(finding for part in found for finding in part)


def _check_backup(
    facts: TrashFacts, storage: Storage | None, *, is_waived: bool
) -> Iterator[Finding]:
    subject, fresh = subject_of(facts.base), fresh_backup(facts)
    if fresh is not None:
        age = format_duration(max(0, facts.base.read_at - fresh.ctime))
        yield Finding(
            "backup.fresh",
            "info",
            subject,
            f"its newest backup is {age} old ({fresh.storage}, {format_bytes(fresh.size_bytes)})",
            evidence=fresh.volid,
        )
    elif is_waived:
        yield Finding(
            "backup.waived", "warn", subject, f"no backup is made first, and {_none_recent(facts)}"
        )
    elif storage is None:
        yield Finding(
            "backup.nowhere",
            "block",
            subject,
            f"{_none_recent(facts)}, and no storage of {facts.base.guest.node} takes a new one",
            remedy="make a backup first, or ask again with --without-backup",
        )
    else:
        yield from _check_room(facts, storage)
    left_out = [disk.slot for disk in facts.disks if _is_left_out(facts, disk)]
    if left_out:
        yield Finding(
            "backup.partial",
            "warn",
            subject,
            f"its backups leave out {', '.join(left_out)}: only the disk itself has that data",
        )


def _check_room(facts: TrashFacts, storage: Storage) -> Iterator[Finding]:
    need = sum(disk.size_bytes or 0 for disk in facts.disks if not _is_left_out(facts, disk))
    free = storage.total_bytes - storage.used_bytes
    if storage.has_figures and need > free:
        yield Finding(
            "storage.too-small",
            "warn",
            subject_of(facts.base),
            f"its disks have {format_bytes(need)}, and {storage.storage} has {format_bytes(free)} "
            "free: the backup may not fit",
        )
    yield Finding(
        "backup.first",
        "info",
        subject_of(facts.base),
        f"{_none_recent(facts)}: one is made on {storage.storage} first",
    )


def _none_recent(facts: TrashFacts) -> str:
    """That no backup of the last day was found, and where nobody could look."""
    unseen = facts.backups.unseen
    if not unseen:
        return "no backup of the last day is there"
    return f"whether a recent backup is there is not known ({', '.join(unseen)} could not be read)"


def _is_left_out(facts: TrashFacts, disk: Disk) -> bool:
    return not is_backed_up(facts.base.guest.kind, disk)


def check_undelete(facts: GuestFacts, *, starts: bool) -> Iterator[Finding]:
    """Everything about bringing a guest back."""
    yield from check_stored_change(facts)
    if starts and not facts.state.is_running:
        yield from _each_once(check_power(PowerCase("start", facts, {})))
    mark = mark_of(facts.config)
    if mark is None:
        yield Finding(
            "trash.no-mark",
            "warn",
            subject_of(facts),
            "its notes do not tell how it was: whether it started with its node is not known, "
            "so it will not",
        )
    elif mark.was == "running" and not starts and not facts.state.is_running:
        yield Finding(
            "trash.was-running",
            "info",
            subject_of(facts),
            "it ran when it was deleted, and is left stopped",
            remedy=f"pve guest start {facts.guest.vmid}",
        )
