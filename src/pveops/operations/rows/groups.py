"""What guests belong to: HA, pools, replication."""

from __future__ import annotations

from pveops.operations.operation import Effect, Operation, Param, Privilege, Targets, Tier
from pveops.operations.rows.common import SEE_CLUSTER, SEE_GUESTS, SEE_NODES, SEE_POOLS, reading

_CONSOLE = Privilege("/", "Sys.Console")
"""PVE takes changes of HA for root's work."""
_MEMBERS = (
    Privilege("/vms/{vmid}", "VM.Allocate", instead=("Permissions.Modify",)),
    Privilege("/storage/{storage}", "Datastore.Allocate", when="--storage"),
)
"""Membership changes who may do what, so it takes what changing entries takes (Pool.pm)."""
_READ_HA = "pveops.domain.ha_facts:read_ha_facts"


def _ha(verb: str, summary: str, params: tuple[Param, ...], example: str) -> Operation:
    return Operation(
        f"ha.{verb}",
        summary,
        Tier.DISRUPTIVE,
        Effect.REPEATABLE,
        Targets.GUESTS if verb in {"add", "remove", "reset"} else Targets.ONE,
        (_CONSOLE, *SEE_CLUSTER, *SEE_GUESTS),
        params,
        example=example,
        decides=f"pveops.operations.ha:decide_{verb.removeprefix('set-')}",
        reads=_READ_HA,
    )


def _pool(
    verb: str, tier: int, summary: str, params: tuple[Param, ...], example: str = ""
) -> Operation:
    is_member = verb in {"add", "remove"}
    members = _MEMBERS if is_member else ()
    return Operation(
        f"pool.{verb}",
        summary,
        tier,
        Effect.REPEATABLE,
        Targets.OTHER,
        (Privilege("/pool/{pool}", "Pool.Allocate"), *members, *SEE_GUESTS),
        params,
        example=example or f"pve pool {verb} production",
        decides=f"pveops.operations.pool:decide_{'members' if is_member else verb}",
        reads="pveops.domain.pool:read_pool_facts"
        if verb == "create"
        else "pveops.domain.pool:read_existing_pool_facts",
        metavar="POOL",
    )


ROWS: tuple[Operation, ...] = (
    reading(
        "ha.list",
        "what HA manages, with what it wants and does",
        "pve ha list",
        privileges=SEE_CLUSTER,
    ),
    _ha(
        "add",
        "put guests under HA: started elsewhere when their node fails",
        (
            Param(
                "state", "str", "what is wanted: started, stopped, disabled or ignored", "started"
            ),
            Param("max_restart", "int", "so many further starts on its node", None, 0, 10),
            Param("max_relocate", "int", "so many other nodes to try", None, 0, 10),
            Param("group", "str", "an HA group (before 9.0)"),
        ),
        "pve ha add web01",
    ),
    _ha("remove", "take guests out of HA; they stay as they are", (), "pve ha remove web01"),
    _ha(
        "set-state",
        "say what HA has to see to: started, stopped, disabled or ignored",
        (Param("state", "str", "started, stopped, disabled or ignored", is_argument=True),),
        "pve ha set-state web01 stopped",
    ),
    _ha(
        "reset",
        "clear HA's state `error`, once its cause is mended",
        (),
        "pve ha reset web01",
    ),
    Operation(
        "ha.migrate",
        "have HA move a guest to another node",
        Tier.DISRUPTIVE,
        Effect.ONCE,
        Targets.ONE,
        (Privilege("/vms/{vmid}", "VM.Migrate"), *SEE_GUESTS, *SEE_NODES),
        (Param("node", "str", "the node to move to", is_argument=True),),
        example="pve ha migrate web01 pve3",
        decides="pveops.operations.ha:decide_ha_migrate",
        reads="pveops.domain.move:read_facts_of_migration",
    ),
    reading(
        "pool.list",
        "pools with their guests",
        "pve pool list",
        privileges=(*SEE_POOLS, *SEE_GUESTS),
    ),
    _pool(
        "create",
        Tier.REVERSIBLE,
        "make an empty pool",
        (Param("comment", "str", "what it is for"),),
    ),
    _pool(
        "add",
        Tier.DISRUPTIVE,
        "put guests or storages into a pool",
        (
            Param("members", "words", "guests", is_argument=True),
            Param("storage", "words", "a storage, too"),
            Param("move", "bool", "take them out of the pool that they are in", False),
        ),
        "pve pool add production web02",
    ),
    _pool(
        "remove",
        Tier.DISRUPTIVE,
        "take guests or storages out of a pool; nothing else happens to them",
        (
            Param("members", "words", "guests", is_argument=True),
            Param("storage", "words", "a storage, too"),
        ),
        "pve pool remove production web02",
    ),
    _pool("delete", Tier.DISRUPTIVE, "delete an empty pool", ()),
    reading(
        "replication.list",
        "replication jobs, and how old the copies are",
        "pve replication list",
        privileges=(*SEE_GUESTS, *SEE_NODES),
    ),
    reading(
        "replication.status",
        "which copies are old, late or failing",
        "pve replication status",
        privileges=(*SEE_GUESTS, *SEE_NODES),
    ),
    Operation(
        "replication.run",
        "have replication jobs copy now",
        Tier.REVERSIBLE,
        Effect.REPEATABLE,
        Targets.OTHER,
        (Privilege("/vms/{vmid}", "VM.Replicate"), *SEE_GUESTS),
        example="pve replication run web01",
        decides="pveops.operations.replication:decide_run",
        reads="pveops.domain.replication:read_sync_facts",
        metavar="JOB|GUEST",
        leaves_all=True,
    ),
)
