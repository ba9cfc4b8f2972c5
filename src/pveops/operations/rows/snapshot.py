"""The snapshots of guests."""

from __future__ import annotations

from pveops.operations.operation import Effect, Operation, Param, Privilege, Targets, Tier
from pveops.operations.rows.common import SEE_GUESTS, reading

_SNAPSHOT = (Privilege("/vms/{vmid}", "VM.Snapshot"), Privilege("/vms/{vmid}", "VM.Audit"))
_SNAPNAME = Param("snapname", "str", "the snapshot", is_argument=True)

ROWS: tuple[Operation, ...] = (
    reading(
        "snapshot.list",
        "the snapshots of a guest as a tree",
        "pve snapshot list web01",
        targets=Targets.ONE,
        privileges=SEE_GUESTS,
    ),
    Operation(
        "snapshot.create",
        "make a snapshot of guests, one after the other",
        Tier.REVERSIBLE,
        Effect.REPEATABLE,
        Targets.GUESTS,
        _SNAPSHOT,
        (
            Param("snapname", "str", "its name; without, pre-change- and the day"),
            Param("memory", "bool", "save the memory of running VMs, too", False),
        ),
        example="pve snapshot create --tag prod --snapname pre-update",
        decides="pveops.operations.snapshot:decide_create",
        reads="pveops.domain.snapshot_facts:read_facts_to_create",
        is_sequential=True,
        second_word="snapname",
    ),
    Operation(
        "snapshot.rollback",
        "set a guest back to a snapshot; what was written since is lost",
        Tier.IRREVERSIBLE,
        Effect.ONCE,
        Targets.ONE,
        (
            Privilege("/vms/{vmid}", "VM.Snapshot.Rollback", instead=("VM.Snapshot",)),
            Privilege("/vms/{vmid}", "VM.Audit"),
        ),
        (_SNAPNAME,),
        example="pve snapshot rollback web01 pre-update",
        decides="pveops.operations.snapshot:decide_roll_back",
        reads="pveops.domain.snapshot_facts:read_facts_to_roll_back",
    ),
    Operation(
        "snapshot.delete",
        "delete a snapshot of guests",
        Tier.IRREVERSIBLE,
        Effect.REPEATABLE,
        Targets.GUESTS,
        _SNAPSHOT,
        (_SNAPNAME,),
        example="pve snapshot delete web01 pre-update",
        decides="pveops.operations.snapshot:decide_delete",
        reads="pveops.domain.snapshot_facts:read_facts_to_remove",
        is_sequential=True,
    ),
    Operation(
        "snapshot.prune",
        "delete old snapshots that pveops made",
        Tier.IRREVERSIBLE,
        Effect.REPEATABLE,
        Targets.GUESTS,
        _SNAPSHOT,
        (
            Param("keep_last", "int", "keep so many of the newest", None, 0, 1000),
            Param("keep_hourly", "int", "keep the newest of so many hours", None, 0, 1000),
            Param("keep_daily", "int", "keep the newest of so many days", None, 0, 1000),
            Param("keep_weekly", "int", "keep the newest of so many weeks", None, 0, 1000),
            Param("keep_monthly", "int", "keep the newest of so many months", None, 0, 1000),
            Param("older_than", "age", "only those that are older", None, 0, 315_360_000),
            Param("any", "bool", "those that others made, too", False),
        ),
        example="pve snapshot prune --tag prod --keep-daily 7 --older-than 14d",
        decides="pveops.operations.snapshot:decide_prune",
        reads="pveops.domain.snapshot_facts:read_facts_to_remove",
        is_sequential=True,
    ),
)
