"""Nodes."""

from __future__ import annotations

from pveops.operations.operation import Effect, Operation, Param, Privilege, Targets, Tier
from pveops.operations.rows.common import SEE_CLUSTER, SEE_NODES, SET_NOOUT, reading

_CONSENTED_S = 7200


def _power(verb: str, summary: str, does: str, *, leaves_all: bool = False) -> Operation:
    return Operation(
        f"node.{verb}",
        summary,
        Tier.IRREVERSIBLE,
        Effect.ONCE,
        Targets.NODE,
        (Privilege("/nodes/{node}", "Sys.PowerMgmt"), *SEE_CLUSTER, *SEE_NODES, SET_NOOUT),
        (Param("with_guests", "bool", f"{does} it with the guests that run there", False),),
        example=f"pve node {verb} pve2",
        decides="pveops.operations.node_power:decide_node_power",
        reads="pveops.domain.node_power:read_node_power",
        consented_s=_CONSENTED_S,
        metavar="NODE",
        leaves_all=leaves_all,
    )


ROWS: tuple[Operation, ...] = (
    reading("node.list", "nodes with load and state", "pve node list", privileges=SEE_NODES),
    reading(
        "node.show",
        "one node: load, versions, guests, storages",
        "pve node show pve1",
        targets=Targets.ONE,
        privileges=SEE_NODES,
    ),
    _power("reboot", "reboot a node, and see that it comes back whole", "reboot", leaves_all=True),
    _power("shutdown", "switch a node off in good order", "switch off"),
)
