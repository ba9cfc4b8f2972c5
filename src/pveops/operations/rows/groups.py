"""What guests belong to: HA, pools, replication."""

from __future__ import annotations

from pveops.operations.operation import Effect, Operation, Param, Privilege, Targets, Tier
from pveops.operations.rows.common import SEE_CLUSTER, SEE_GUESTS, SEE_NODES, SEE_POOLS, reading

_CONSOLE = Privilege("/", "Sys.Console")
"""PVE takes changes of HA for root's work."""
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
    reading(
        "replication.list",
        "replication jobs, and how old the copies are",
        "pve replication list",
        privileges=(*SEE_GUESTS, *SEE_NODES),
    ),
)
