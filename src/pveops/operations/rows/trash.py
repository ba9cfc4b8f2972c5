"""Deleting guests, bringing them back, and destroying them."""

from __future__ import annotations

from pveops.operations.operation import Effect, Operation, Param, Privilege, Targets, Tier
from pveops.operations.rows.common import SEE_GUESTS, reading
from pveops.operations.rows.power import TIMEOUT

_CONFIGURE = (Privilege("/vms/{vmid}", "VM.Config.Options"), *SEE_GUESTS)

ROWS: tuple[Operation, ...] = (
    Operation(
        "guest.delete",
        "put guests into the trash: backup, shutdown, mark; nothing is destroyed",
        Tier.DISRUPTIVE,
        Effect.ONCE,
        Targets.GUESTS,
        (
            Privilege("/vms/{vmid}", "VM.PowerMgmt"),
            Privilege("/vms/{vmid}", "VM.Backup"),
            Privilege("/storage/{storage}", "Datastore.AllocateSpace"),
            *_CONFIGURE,
        ),
        (
            TIMEOUT,
            Param("force_after", "bool", "cut the power when the timeout has passed", False),
            Param("without_backup", "bool", "make no backup, even when none is recent", False),
        ),
        example="pve guest delete old-test",
        decides="pveops.operations.trash:decide_delete",
        reads="pveops.domain.trash:read_facts_to_delete",
        is_sequential=True,
    ),
    Operation(
        "guest.undelete",
        "take guests out of the trash, as they were",
        Tier.REVERSIBLE,
        Effect.REPEATABLE,
        Targets.GUESTS,
        _CONFIGURE,
        (Param("start", "bool", "start them, too", False),),
        example="pve guest undelete old-test",
        decides="pveops.operations.trash:decide_undelete",
    ),
    reading(
        "guest.trash.list",
        "deleted guests, since when, and when they can be purged",
        "pve guest trash list",
        privileges=SEE_GUESTS,
    ),
    Operation(
        "guest.purge",
        "destroy guests of the trash with their disks and snapshots, for good",
        Tier.IRREVERSIBLE,
        Effect.ONCE,
        Targets.GUESTS,
        (Privilege("/vms/{vmid}", "VM.Allocate"), *SEE_GUESTS),
        (Param("without_backup", "bool", "also when no backup is known", False),),
        example="pve guest purge old-test",
        decides="pveops.operations.purge:decide_purge",
        reads="pveops.domain.purge_facts:read_purge_facts",
        is_sequential=True,
    ),
)
