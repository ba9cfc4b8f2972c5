"""The cluster as a whole."""

from __future__ import annotations

from pveops.operations.operation import Effect, Operation, Param, Privilege, Targets, Tier
from pveops.operations.rows.common import (
    SEE_CLUSTER,
    SEE_GUESTS,
    SEE_NODES,
    SEE_POOLS,
    SEE_STORAGES,
    SET_NOOUT,
    reading,
)

_POWER = Privilege("/vms/{vmid}", "VM.PowerMgmt")
_NODE_POWER = Privilege("/nodes/{node}", "Sys.PowerMgmt")
_SEE_ALL = (*SEE_CLUSTER, *SEE_GUESTS, *SEE_NODES)
_CONSENTED_S = 43_200
"""Such a procedure takes hours; what was begun in time may be resumed for half a day."""
_LEAVE = "a guest that nothing is done about; it goes down with its node"

ROWS: tuple[Operation, ...] = (
    reading(
        "status",
        "the cluster at a glance, and what is wrong with it",
        "pve status",
        privileges=(*_SEE_ALL, *SEE_STORAGES),
    ),
    reading(
        "find",
        "guests, nodes, storages and pools by a piece of their name",
        "pve find web",
        privileges=(*SEE_GUESTS, *SEE_NODES, *SEE_STORAGES, *SEE_POOLS),
    ),
    Operation(
        "cluster.rolling-reboot",
        "reboot one node after the other: empty it, reboot, check, bring its guests back",
        Tier.IRREVERSIBLE,
        Effect.ONCE,
        Targets.CLUSTER,
        (
            _NODE_POWER,
            _POWER,
            Privilege("/vms/{vmid}", "VM.Migrate"),
            Privilege("/storage/{storage}", "Datastore.AllocateSpace", when="local disks"),
            SET_NOOUT,
            *_SEE_ALL,
        ),
        (
            Param("node", "words", "a node; without, those on which a newer kernel waits"),
            Param("all", "bool", "all nodes, whatever kernel they run", False),
            Param("leave", "words", "a guest that is not moved: shut down before, started after"),
            Param(
                "allow_restart",
                "bool",
                "stop, move and start running containers, which takes them down twice",
                False,
            ),
        ),
        example="pve cluster rolling-reboot --allow-restart",
        decides="pveops.workflows.rolling_reboot:decide_rolling",
        reads="pveops.workflows.rolling_reboot:read_rolling",
        in_flight=2,
        watch="pveops.workflows.node_watch:RollingWatch",
        consented_s=_CONSENTED_S,
        leaves_all=True,
    ),
    Operation(
        "cluster.shutdown-plan",
        "switch the whole cluster off: guests in reverse startup order, then the nodes",
        Tier.IRREVERSIBLE,
        Effect.ONCE,
        Targets.CLUSTER,
        (_NODE_POWER, _POWER, SET_NOOUT, *_SEE_ALL),
        (
            Param("guests_only", "bool", "leave the nodes on", False),
            Param("leave", "words", _LEAVE),
            Param(
                "timeout",
                "duration",
                "how long a guest may take; without, what its startup option says, or 60 s",
                minimum=1,
                maximum=7200,
            ),
            Param("force_after", "bool", "cut the power when the timeout has passed", False),
        ),
        example='pve cluster shutdown-plan --reason "the power is being worked on"',
        decides="pveops.workflows.cluster_power:decide_leg",
        reads="pveops.workflows.cluster_power:read_shutdown",
        watch="pveops.workflows.cluster_power:ShutdownWatch",
        consented_s=_CONSENTED_S,
    ),
    Operation(
        "cluster.bring-back",
        "start, in startup order, the guests that the shutdown of the cluster took down",
        Tier.DISRUPTIVE,
        Effect.REPEATABLE,
        Targets.CLUSTER,
        (_POWER, SET_NOOUT, *_SEE_ALL),
        (Param("partly", "bool", "start what can be started, while nodes are missing", False),),
        example="pve cluster bring-back",
        decides="pveops.workflows.cluster_power:decide_leg",
        reads="pveops.workflows.cluster_power:read_bring_back",
        consented_s=_CONSENTED_S,
    ),
)
