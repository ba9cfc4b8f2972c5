"""The configuration of guests."""

from __future__ import annotations

from pveops.operations.operation import Effect, Operation, Param, Privilege, Targets, Tier
from pveops.operations.rows.common import SEE_GUESTS, USE_BRIDGE

_DECIDE_CONFIG = "pveops.operations.config:decide_"
_READ_CONFIG = "pveops.domain.config_facts:read_config_facts"
_MOST_MIB = 16 << 20
"""16 TiB: more than any server has, so a slip of the keyboard."""
_CONFIG_OPTIONS = (Privilege("/vms/{vmid}", "VM.Config.Options"), *SEE_GUESTS)
_CONFIG_ANY = (
    Privilege("/vms/{vmid}", "VM.Config.CPU"),
    Privilege("/vms/{vmid}", "VM.Config.Memory"),
    *_CONFIG_OPTIONS,
    Privilege("/vms/{vmid}", "VM.Config.Network", when="net0, a container's name"),
    Privilege("/vms/{vmid}", "VM.Config.Cloudinit", when="--ssh-keys, ipconfig0"),
    Privilege("/vms/{vmid}", "VM.Config.HWType", when="machine, scsihw"),
    Privilege("/vms/{vmid}", "VM.Config.Disk", when="--boot"),
    USE_BRIDGE,
)


def _config(
    verb: str,
    summary: str,
    tier: int,
    params: tuple[Param, ...],
    example: str,
    privileges: tuple[Privilege, ...] = _CONFIG_OPTIONS,
    targets: Targets = Targets.GUESTS,
) -> Operation:
    return Operation(
        f"guest.{verb}",
        summary,
        tier,
        Effect.REPEATABLE,
        targets,
        privileges,
        params,
        example=example,
        decides=f"{_DECIDE_CONFIG}{verb}",
        reads=_READ_CONFIG,
    )


ROWS: tuple[Operation, ...] = (
    _config(
        "set",
        "change options of guests, such as memory and cores",
        Tier.DISRUPTIVE,
        (
            Param("memory", "mib", "memory in MiB, or 4G", None, 16, _MOST_MIB),
            Param("balloon", "mib", "VMs: the least that ballooning leaves; 0: none", None, 0),
            Param("swap", "mib", "containers: swap in MiB, or 1G", None, 0),
            Param("cores", "int", "cores, of each socket", None, 1, 8192),
            Param("sockets", "int", "VMs: sockets", None, 1, 4),
            Param("cpu", "str", "VMs: the CPU type, such as x86-64-v2-AES or host"),
            Param("rename", "str", "another name"),
            Param("description", "text", "the notes; - reads standard input"),
            Param("onboot", "switch", "start it with its node"),
            Param("startup", "str", "order at start-up, such as order=2,up=30"),
            Param("agent", "str", "VMs: the guest agent, on, off or PVE's own words"),
            Param("boot", "str", "VMs: what it boots from, such as order=scsi0;net0"),
            Param("ssh_keys", "file", "VMs: the keys that cloud-init lets in, from a file"),
            Param("option", "pairs", "net0=bridge=vmbr1, ipconfig0=ip=dhcp, and others like that"),
            Param("protection", "switch", "PVE refuses to remove it or its disks"),
            Param("unset", "words", "back to PVE's default (repeat for several)"),
        ),
        "pve guest set web01 --memory 8G --cores 4",
        _CONFIG_ANY,
    ),
    _config(
        "revert",
        "forget changes of a guest that wait for a restart",
        Tier.DISRUPTIVE,
        (Param("key", "words", "what is pending", is_argument=True, is_required=True),),
        "pve guest revert web01 memory",
        _CONFIG_ANY,
        Targets.ONE,
    ),
    _config(
        "tag",
        "add, remove or set tags of guests",
        Tier.REVERSIBLE,
        (
            Param("add", "words", "add this tag (repeat for several)"),
            Param("remove", "words", "remove this tag (repeat for several)"),
            Param("set", "words", "exactly these tags (repeat for several)"),
        ),
        "pve guest tag web01 --add web --remove test",
    ),
    _config(
        "note",
        "write the notes of guests",
        Tier.REVERSIBLE,
        (
            Param("text", "text", "the whole text; - reads standard input"),
            Param("append", "text", "one more paragraph; - reads standard input"),
        ),
        "pve guest note web01 --append 'moved to the new VLAN'",
    ),
    Operation(
        "guest.convert-to-template",
        "turn a guest into a template for good; it never runs again",
        Tier.IRREVERSIBLE,
        Effect.ONCE,
        Targets.ONE,
        (Privilege("/vms/{vmid}", "VM.Allocate"), Privilege("/vms/{vmid}", "VM.Audit")),
        example="pve guest convert-to-template web01",
        decides="pveops.operations.template:decide_convert",
        reads="pveops.domain.disk:read_disk_facts",
    ),
)
