"""Destroying a guest for good. A pure decision; tier 3, and only for what lay in the trash."""

from __future__ import annotations

from pveops.domain.purge_facts import PurgeFacts
from pveops.operations.decision import Decision
from pveops.operations.findings import blocks_among
from pveops.operations.guards import guest_guards
from pveops.operations.guest_checks import worst_first
from pveops.operations.plan import Call, Item, Scalar, WaitState, WaitTask
from pveops.operations.purge_checks import age_of, check_purge
from pveops.operations.subject import headline_of, target_of
from pveops.units import format_bytes, format_duration, format_size

_TASK_S = 3600.0
_GRACE_S = 60.0


def decide_purge(_operation: str, facts: PurgeFacts, params: dict[str, Scalar]) -> Decision:
    """DELETE with `purge=1`, which cleans up HA, replication and jobs, after all was recorded.

    Never `destroy-unreferenced-disks`, which takes every volume that is named for the vmid, other
    guests' on shared storages too; never `force`, which kills a running container
    (API2/Qemu.pm destroy_vm, API2/LXC.pm destroy_vm).
    """
    base, target = facts.base, target_of(facts.base)
    found = worst_first(check_purge(facts, is_waived=bool(params.get("without_backup"))))
    if blocks_among(found):
        return Decision(target, found, state=base.state.power)
    volumes = [disk.volid for disk in facts.disks if disk.storage]
    item = Item(
        target=target,
        headline=f"{headline_of(base)}, {_told_backup(facts)}",
        guards=guest_guards(base.state, base.config),
        before={**facts.record, "backups": _told_backups(facts)},
        steps=(
            Call(
                "DELETE",
                base.guest.ref.path(),
                {"purge": True, "destroy-unreferenced-disks": False},
                effect="C",
                task_types=("qmdestroy", "vzdestroy"),
                does="destroy",
            ),
            WaitTask(_TASK_S),
            WaitState("guest.purged", _GRACE_S, {"volumes": " ".join(volumes)}),
        ),
        losses=tuple(_losses(facts)),
    )
    return Decision(target, found, item, state=base.state.power)


def _losses(facts: PurgeFacts) -> list[str]:
    sizes = [
        f"{disk.slot} {format_size(disk.size_bytes) if disk.size_bytes else 'of unknown size'}"
        for disk in facts.disks
    ]
    losses = [f"disks {', '.join(sizes)}"] if sizes else []
    if facts.snapshots:
        losses.append(f"{len(facts.snapshots)} snapshots")
    return losses


def _told_backup(facts: PurgeFacts) -> str:
    newest = facts.backups.newest
    since = f"deleted {age_of(facts)} ago, " if facts.mark else ""
    if newest is None:
        return f"{since}NO BACKUP KNOWN"
    age = format_duration(max(0, facts.base.read_at - newest.ctime))
    size = format_bytes(newest.size_bytes)
    return f"{since}newest backup {age} old ({newest.storage}, {size})"


def _told_backups(facts: PurgeFacts) -> str:
    return " ".join(backup.volid for backup in facts.backups.backups)
