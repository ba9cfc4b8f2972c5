"""Clones of guests."""

from __future__ import annotations

from pveops.operations.operation import Effect, Operation, Param, Privilege, Targets, Tier
from pveops.operations.rows.common import USE_BRIDGE

ROWS: tuple[Operation, ...] = (
    Operation(
        "guest.clone",
        "clone a guest, once or many times",
        Tier.REVERSIBLE,
        Effect.ONCE,
        Targets.NEW,
        (
            Privilege("/vms/{vmid}", "VM.Clone"),
            Privilege("/vms/{vmid}", "VM.Audit"),
            Privilege("/vms/{newid}", "VM.Allocate"),
            Privilege("/vms/{newid}", "VM.Config.Options"),
            Privilege("/storage/{storage}", "Datastore.AllocateSpace"),
            Privilege("/vms/{newid}", "VM.Config.Network", when="--ip"),
            Privilege("/vms/{newid}", "VM.PowerMgmt", when="--start"),
            USE_BRIDGE,
        ),
        (
            Param("name", "str", "its name; {n} is the number of each of several"),
            Param("count", "int", "how many", 1, 1, 50),
            Param("first", "int", "the number of the first", 1, 0, 100_000),
            Param("ip", "str", "the address of each, such as 10.0.0.{n+10}/24, or dhcp"),
            Param("gateway", "str", "the gateway that goes with it"),
            Param("full_clone", "bool", "copy the disks of a template, too", False),
            Param(
                "linked", "bool", "build on a template's disks, as is the default for one", False
            ),
            Param("storage", "str", "where full clones lie; without, where the source does"),
            Param("node", "str", "another node, when it reaches the source's disks"),
            Param("pool", "str", "the pool of the clones"),
            Param("snapname", "str", "clone this snapshot"),
            Param("onboot", "bool", "let them start with their node, if the source does", False),
            Param("start", "bool", "start each when it is made", False),
        ),
        example="pve guest clone debian-13-template --count 3 --name 'k8s-{n}' --ip "
        "'10.0.0.{n+10}/24'",
        decides="pveops.operations.clone:decide_clone",
        reads="pveops.domain.clone_facts:read_clone_facts",
        is_sequential=True,
    ),
)
