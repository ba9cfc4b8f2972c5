"""Backups of guests."""

from __future__ import annotations

from pveops.operations.operation import Effect, Operation, Param, Privilege, Targets, Tier
from pveops.operations.rows.common import (
    ASK_AGENT,
    SEE_CLUSTER,
    SEE_GUESTS,
    SEE_NODES,
    SEE_STORAGES,
    USE_BRIDGE,
    reading,
)

_RESTORABLE = (
    Privilege("/vms/{vmid}", "VM.Backup"),
    Privilege("/storage/{storage}", "Datastore.AllocateSpace"),
)
"""Without both, PVE leaves a backup out of every list (Storage.pm, check_volume_access)."""
_BACKUPS_TOO = tuple(need._replace(when="backups themselves") for need in _RESTORABLE)
_NODE = Param("node", "str", "the node, where several have a storage of that name")
_CONSENTED_S = 43_200
"""Many backups take hours; what was begun in time may be resumed for half a day."""
KEEP = tuple(
    Param(f"keep_{period}", "int", f"keep {words}", None, 0, 100_000)
    for period, words in (
        ("last", "so many of the newest"),
        ("hourly", "the newest of so many hours"),
        ("daily", "the newest of so many days"),
        ("weekly", "the newest of so many weeks"),
        ("monthly", "the newest of so many months"),
        ("yearly", "the newest of so many years"),
    )
)

ROWS: tuple[Operation, ...] = (
    reading(
        "backup.list",
        "the backups of guests, wherever some are",
        "pve backup list web01",
        privileges=(*SEE_STORAGES, *_RESTORABLE),
    ),
    reading(
        "backup.show",
        "one backup: its guest, age, size, notes, and the configuration in it",
        "pve backup show VOLID",
        privileges=_RESTORABLE,
    ),
    Operation(
        "backup.run",
        "back guests up now, one after the other on each node; nothing is pruned",
        Tier.REVERSIBLE,
        Effect.ONCE,
        Targets.GUESTS,
        (*_RESTORABLE, *SEE_GUESTS, *SEE_STORAGES),
        (
            Param("storage", "str", "where to; without, a shared storage with the most room"),
            Param("mode", "str", "snapshot, suspend or stop", "snapshot"),
            Param("protected", "bool", "keep it from pruning and deletion", False),
        ),
        example='pve backup run --tag prod --reason "before the update"',
        decides="pveops.operations.backup:decide_run",
        reads="pveops.domain.backup_facts:read_run_facts",
        checks="pveops.operations.backup_checks:check_together",
        is_one_per_node=True,
        consented_s=_CONSENTED_S,
        leaves_all=True,
    ),
    Operation(
        "backup.protect",
        "keep a backup from pruning and deletion",
        Tier.REVERSIBLE,
        Effect.REPEATABLE,
        Targets.OTHER,
        _RESTORABLE,
        (_NODE,),
        example="pve backup protect VOLID",
        decides="pveops.operations.backup:decide_protect",
        reads="pveops.domain.backup_facts:read_volume_facts",
        metavar="VOLID",
    ),
    Operation(
        "backup.unprotect",
        "let a backup be pruned and deleted again",
        Tier.IRREVERSIBLE,
        Effect.REPEATABLE,
        Targets.OTHER,
        _RESTORABLE,
        (_NODE,),
        example="pve backup unprotect VOLID",
        decides="pveops.operations.backup:decide_protect",
        reads="pveops.domain.backup_facts:read_volume_facts",
        metavar="VOLID",
    ),
    Operation(
        "backup.delete",
        "delete backups for good",
        Tier.IRREVERSIBLE,
        Effect.REPEATABLE,
        Targets.OTHER,
        _RESTORABLE,
        (_NODE,),
        example="pve backup delete VOLID",
        decides="pveops.operations.backup:decide_delete",
        reads="pveops.domain.backup_facts:read_deletion_facts",
        is_sequential=True,
        is_many=True,
        metavar="VOLID",
    ),
    Operation(
        "backup.prune",
        "delete old backups of guests; the plan names each that goes",
        Tier.IRREVERSIBLE,
        Effect.REPEATABLE,
        Targets.GUESTS,
        (*_RESTORABLE, *SEE_GUESTS, *SEE_STORAGES),
        (Param("storage", "str", "only there; without, wherever some are"), *KEEP),
        example="pve backup prune web01 --keep-last 3 --keep-weekly 4",
        decides="pveops.operations.backup:decide_prune",
        reads="pveops.domain.backup_facts:read_prune_facts",
        is_sequential=True,
    ),
    reading(
        "backup.audit",
        "per guest its newest backup, the jobs that take it, and what is not known",
        "pve backup audit --older-than 2d",
        privileges=(*_BACKUPS_TOO, *SEE_GUESTS, *SEE_STORAGES, *SEE_NODES, *SEE_CLUSTER),
    ),
    reading(
        "backup.why",
        "which guests the last backups missed, why, and what is still without one",
        "pve backup why --since 1d",
        privileges=SEE_NODES,
    ),
    Operation(
        "backup.restore",
        "restore a backup to a new guest, or over the one it is of",
        Tier.DISRUPTIVE,
        Effect.ONCE,
        Targets.NEW,
        (
            *_RESTORABLE,
            Privilege("/vms/{newid}", "VM.Allocate"),
            Privilege("/vms/{newid}", "VM.Config.Network"),
            Privilege("/vms/{newid}", "VM.PowerMgmt", when="--start"),
            USE_BRIDGE,
        ),
        (
            Param("name", "str", "what it is called; without, its name and -restored"),
            Param("storage", "str", "where its disks lie; without, where they were"),
            Param("node", "str", "the node; without, one that has the backup"),
            Param("pool", "str", "the pool that it belongs to"),
            Param("connected", "bool", "leave its network cards connected", False),
            Param("start", "bool", "start it", False),
            Param("live", "bool", "let it run while it is restored (backup servers)", False),
            Param("replace", "bool", "destroy the guest, and put the backup in its place", False),
        ),
        example="pve backup restore VOLID --name web01-yesterday",
        decides="pveops.operations.restore:decide_restore",
        reads="pveops.domain.restore_facts:read_restore_facts",
        metavar="VOLID",
    ),
    Operation(
        "backup.drill",
        "try the newest backup of guests: restore, boot apart, look, remove",
        Tier.DISRUPTIVE,
        Effect.ONCE,
        Targets.GUESTS,
        (
            *_RESTORABLE,
            *SEE_GUESTS,
            Privilege("/vms/{newid}", "VM.Allocate"),
            Privilege("/vms/{newid}", "VM.PowerMgmt"),
            Privilege("/vms/{newid}", "VM.Config.Network"),
            ASK_AGENT._replace(path="/vms/{newid}", when="VMs with a guest agent"),
            USE_BRIDGE,
        ),
        (Param("storage", "str", "where its disks lie meanwhile; without, where they were"),),
        example="pve backup drill web01",
        decides="pveops.operations.drill:decide_drill",
        reads="pveops.domain.restore_facts:read_drill_facts",
        is_sequential=True,
        consented_s=_CONSENTED_S,
    ),
)
