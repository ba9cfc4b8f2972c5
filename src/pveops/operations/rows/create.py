"""New guests."""

from __future__ import annotations

from pveops.operations.operation import Effect, Operation, Param, Privilege, Targets, Tier
from pveops.operations.rows.common import SEE_NODES, SEE_STORAGES, USE_BRIDGE, reading

ROWS: tuple[Operation, ...] = (
    Operation(
        "guest.create",
        "make a guest from a template",
        Tier.REVERSIBLE,
        Effect.ONCE,
        Targets.NEW,
        (
            Privilege("/vms/{newid}", "VM.Allocate"),
            Privilege("/vms/{newid}", "VM.Config.Disk"),
            Privilege("/vms/{newid}", "VM.Config.CPU"),
            Privilege("/vms/{newid}", "VM.Config.Memory"),
            Privilege("/vms/{newid}", "VM.Config.Network"),
            Privilege("/vms/{newid}", "VM.Config.HWType"),
            Privilege("/vms/{newid}", "VM.Config.Options"),
            Privilege("/vms/{newid}", "VM.Config.Cloudinit"),
            Privilege("/storage/{storage}", "Datastore.AllocateSpace"),
            USE_BRIDGE,
            Privilege("/vms/{newid}", "VM.PowerMgmt", when="--start"),
            *SEE_NODES,
            *SEE_STORAGES,
        ),
        (
            Param("template", "str", "the template; see `pve template list`", is_required=True),
            Param("memory", "mib", "memory in MiB, or 4G", None, 16),
            Param("cores", "int", "cores", None, 1, 8192),
            Param("disk", "str", "size of the disk, such as 20G"),
            Param("storage", "str", "where it lies; `auto`: the fastest kind with room"),
            Param("bridge", "str", "the network"),
            Param("ip", "str", "its address with prefix, or dhcp"),
            Param("gateway", "str", "the gateway that goes with it"),
            Param("dns", "str", "its name server"),
            Param("user", "str", "the user that cloud-init makes"),
            Param("ssh_keys", "file", "a file with public keys; - reads standard input"),
            Param("set", "pairs", "a variable of the template, NAME=VALUE (repeat for several)"),
            Param("node", "str", "the node; without, the one with the most free memory"),
            Param("pool", "str", "the pool that it belongs to"),
            Param("start", "bool", "start it, and wait for its address", False),
        ),
        example="pve guest create web03 --template debian-cloud-vm --memory 4G --ssh-keys "
        "~/.ssh/id_ed25519.pub --start",
        decides="pveops.operations.create:decide_create",
        reads="pveops.domain.create_facts:read_create_facts",
        metavar="NAME",
    ),
    reading(
        "template.list",
        "templates from which guests are made",
        "pve template list",
    ),
    reading(
        "template.show",
        "the variables and options of a template",
        "pve template show debian-ct",
    ),
    reading(
        "template.check",
        "whether a guest could be made from a template now, and where",
        "pve template check debian-ct",
    ),
)
