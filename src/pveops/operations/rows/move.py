"""Moving guests between nodes: one by one, and all of a node."""

from __future__ import annotations

from pveops.operations.operation import Effect, Operation, Param, Privilege, Targets, Tier
from pveops.operations.rows.common import SEE_GUESTS, SEE_NODES

_PRIVILEGES = (
    Privilege("/vms/{vmid}", "VM.Migrate"),
    Privilege("/vms/{vmid}", "VM.Config.Disk", when="--target-storage"),
    Privilege("/storage/{storage}", "Datastore.AllocateSpace", when="--target-storage"),
    *SEE_GUESTS,
    *SEE_NODES,
)
_STORAGE = Param(
    "target_storage", "str", "where local disks go: a storage, or pairs such as local-lvm:fast"
)
_LIMIT = Param("bwlimit", "int", "at most so many KiB a second", minimum=0)
_RESTART = Param(
    "allow_restart",
    "bool",
    "stop, move and start running containers, which takes them down",
    False,
)
_CONSENTED_S = 43_200
"""An evacuation takes hours; what was agreed to in time may be resumed for half a day."""

ROWS: tuple[Operation, ...] = (
    Operation(
        "guest.migrate",
        "move a guest to another node",
        Tier.DISRUPTIVE,
        Effect.ONCE,
        Targets.ONE,
        _PRIVILEGES,
        (
            Param("node", "str", "the node to move to", is_argument=True),
            Param("online", "bool", "while it runs (what running VMs do anyway)", False),
            Param("offline", "bool", "only if it is stopped", False),
            Param(
                "restart",
                "bool",
                "running containers: stop it, move it and start it there",
                False,
                kinds=("lxc",),
            ),
            _STORAGE,
            _LIMIT,
        ),
        example="pve guest migrate web01 pve3",
        decides="pveops.operations.move:decide_migrate",
        reads="pveops.domain.move:read_facts_of_migration",
    ),
    Operation(
        "node.evacuate",
        "move every guest of a node to the others",
        Tier.DISRUPTIVE,
        Effect.ONCE,
        Targets.NODE,
        _PRIVILEGES,
        (
            Param("leave", "words", "a guest that stays where it is"),
            _RESTART,
            Param("target", "words", "a node to move to; without, all others"),
            Param(
                "spare",
                "int",
                "so many further nodes may fail afterwards, or guests stay; without, 1 is only "
                "warned about",
                minimum=0,
            ),
            _STORAGE,
            _LIMIT,
        ),
        example="pve node evacuate pve2 --leave 105 --allow-restart",
        decides="pveops.workflows.evacuation:decide_evacuate",
        reads="pveops.workflows.evacuation:read_evacuation",
        in_flight=2,
        watch="pveops.workflows.node_watch:NodeWatch",
        consented_s=_CONSENTED_S,
        metavar="NODE",
    ),
    Operation(
        "node.return",
        "bring back the guests that an evacuation moved off a node",
        Tier.DISRUPTIVE,
        Effect.ONCE,
        Targets.NODE,
        _PRIVILEGES,
        (_RESTART, _STORAGE, _LIMIT),
        example="pve node return pve2 --allow-restart",
        decides="pveops.workflows.homecoming:decide_return",
        reads="pveops.workflows.homecoming:read_return",
        in_flight=2,
        watch="pveops.workflows.node_watch:NodeWatch",
        consented_s=_CONSENTED_S,
        metavar="NODE",
    ),
)
