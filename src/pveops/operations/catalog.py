"""Every operation, as a literal table.

The command line, the MCP tools, the policy's vocabulary, the generated documents, the skill's
command list and the report of privileges are all made from it.
"""

from __future__ import annotations

from enum import StrEnum
from typing import NamedTuple

from pveops.errors import UsageError

_READ_STATE = "pveops.domain.facts:read_guest_facts"


class Tier:
    """How much consent an operation needs, before policy raises it."""

    READ = 0
    REVERSIBLE = 1
    DISRUPTIVE = 2
    IRREVERSIBLE = 3


class Effect(StrEnum):
    """What repeating a call would do."""

    READ = "A"
    """Changes nothing."""
    REPEATABLE = "B"
    """Safe to repeat after a fresh look."""
    ONCE = "C"
    """Never sent twice."""


class Targets(StrEnum):
    """What an operation is asked of."""

    NONE = "none"
    ONE = "one"
    GUESTS = "guests"
    """One guest by name, or many by a selector."""
    TASK = "task"
    NEW = "new"
    """Guests that do not exist yet: `reads` finds out about them all at once."""


class Privilege(NamedTuple):
    """A privilege on a path template of PVE's access tree."""

    path: str
    name: str


class Param(NamedTuple):
    """A parameter of an operation: `--force-after` is `force_after` in a request."""

    name: str
    type: str
    """`int`, `str`, `bool`, `duration` (seconds, or `90s`, `5m`), `mib` (MiB, or `4G`), `switch`
    (`on` or `off`), `words` (several, joined by commas), `text` (`-` reads standard input)."""
    help: str
    default: object = None
    minimum: int | None = None
    maximum: int | None = None
    kinds: tuple[str, ...] = ("qemu", "lxc")
    is_argument: bool = False
    """Stands behind the guest without a flag, and has to be given."""


class Operation(NamedTuple):
    """One row of the catalogue."""

    id: str
    """`noun.verb`; the command is `pve noun verb`."""
    summary: str
    tier: int = Tier.READ
    effect: Effect = Effect.READ
    targets: Targets = Targets.NONE
    privileges: tuple[Privilege, ...] = ()
    params: tuple[Param, ...] = ()
    kinds: tuple[str, ...] = ("qemu", "lxc")
    example: str = ""
    decides: str = ""
    """For changes, where the decision is made: `module:function`, imported when needed. Called
    with the operation's id, the facts about one target, and the parameters."""
    reads: str = _READ_STATE
    """For changes, where the facts come from: `module:function`. Called with a client, a guest
    and the scene, once a guest; for `Targets.NEW` with client and scene, once."""
    is_sequential: bool = False
    """One target after the other, since each loads storage or locks something shared."""
    since: str = "7.4"

    @property
    def command(self) -> str:
        """The words after `pve`."""
        return self.id.replace(".", " ")

    @property
    def is_change(self) -> bool:
        """Whether it can change anything in the cluster."""
        return self.effect is not Effect.READ


_SEE_GUESTS = (Privilege("/vms/{vmid}", "VM.Audit"),)
_SEE_NODES = (Privilege("/nodes/{node}", "Sys.Audit"),)
_SEE_STORAGES = (Privilege("/storage/{storage}", "Datastore.Audit"),)
_POWER = (Privilege("/vms/{vmid}", "VM.PowerMgmt"), Privilege("/vms/{vmid}", "VM.Audit"))
_DECIDE_POWER = "pveops.operations.power:decide_power"
_READ_PENDING = "pveops.domain.facts:read_guest_facts_with_pending"
"""For what makes a guest start from scratch, so that pending changes take effect."""

_SNAPSHOT = (Privilege("/vms/{vmid}", "VM.Snapshot"), Privilege("/vms/{vmid}", "VM.Audit"))
_SNAPNAME = Param("snapname", "str", "the snapshot", is_argument=True)
_DECIDE_CONFIG = "pveops.operations.config:decide_"
_READ_CONFIG = "pveops.domain.config_facts:read_config_facts"
_CONFIG_OPTIONS = (Privilege("/vms/{vmid}", "VM.Config.Options"), *_SEE_GUESTS)
_CONFIG_ANY = (
    Privilege("/vms/{vmid}", "VM.Config.CPU"),
    Privilege("/vms/{vmid}", "VM.Config.Memory"),
    *_CONFIG_OPTIONS,
)
_TIMEOUT = Param(
    "timeout",
    "duration",
    "how long PVE waits for the guest before it gives up",
    default=60,
    minimum=1,
    maximum=7200,
)


def _read(operation_id: str, summary: str, example: str = "", **rest: object) -> Operation:
    return Operation(operation_id, summary, example=example, **rest)  # type: ignore[arg-type]


def _power(
    verb: str,
    summary: str,
    tier: int,
    effect: Effect,
    params: tuple[Param, ...] = (),
    kinds: tuple[str, ...] = ("qemu", "lxc"),
    reads: str = _READ_STATE,
) -> Operation:
    return Operation(
        f"guest.{verb}",
        summary,
        tier,
        effect,
        Targets.GUESTS,
        _POWER,
        params,
        kinds,
        f"pve guest {verb} web01",
        _DECIDE_POWER,
        reads,
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


_DISK = Param("disk", "str", "the disk's slot, such as scsi0", is_argument=True)


def _disk(
    verb: str, summary: str, effect: Effect, params: tuple[Param, ...], example: str
) -> Operation:
    return Operation(
        f"disk.{verb}",
        summary,
        Tier.DISRUPTIVE,
        effect,
        Targets.ONE,
        (
            Privilege("/vms/{vmid}", "VM.Config.Disk"),
            Privilege("/storage/{storage}", "Datastore.AllocateSpace"),
            *_SEE_GUESTS,
        ),
        params,
        example=example,
        decides=f"pveops.operations.disk:decide_{verb}",
        reads="pveops.domain.disk:read_disk_facts",
    )


OPERATIONS: tuple[Operation, ...] = (
    _read("status", "the cluster at a glance, and what is wrong with it", "pve status"),
    _read("find", "guests, nodes, storages and pools by a piece of their name", "pve find web"),
    _read(
        "guest.list",
        "guests with state and place, by selector",
        "pve guest list --tag prod",
        targets=Targets.GUESTS,
        privileges=_SEE_GUESTS,
    ),
    _read(
        "guest.show",
        "one guest: state, configuration, pending changes, snapshots",
        "pve guest show web01",
        targets=Targets.ONE,
        privileges=_SEE_GUESTS,
    ),
    _power("start", "start guests", Tier.REVERSIBLE, Effect.REPEATABLE, reads=_READ_PENDING),
    _power(
        "shutdown",
        "shut guests down cleanly",
        Tier.DISRUPTIVE,
        Effect.ONCE,
        (
            _TIMEOUT,
            Param("force_after", "bool", "cut the power when the timeout has passed", False),
        ),
    ),
    _power("stop", "cut the power of guests at once", Tier.DISRUPTIVE, Effect.REPEATABLE),
    _power(
        "reboot",
        "shut guests down cleanly and start them again, applying pending changes",
        Tier.DISRUPTIVE,
        Effect.ONCE,
        (_TIMEOUT,),
        reads=_READ_PENDING,
    ),
    _power(
        "reset",
        "press the reset button of VMs",
        Tier.DISRUPTIVE,
        Effect.ONCE,
        kinds=("qemu",),
    ),
    _power(
        "suspend",
        "pause guests in memory, or VMs to disk",
        Tier.DISRUPTIVE,
        Effect.ONCE,
        (Param("to_disk", "bool", "write the memory to disk and power off", False, None, None),),
    ),
    _power("resume", "let paused or hibernated guests go on", Tier.REVERSIBLE, Effect.REPEATABLE),
    _config(
        "set",
        "change options of guests, such as memory and cores",
        Tier.DISRUPTIVE,
        (
            Param("memory", "mib", "memory in MiB, or 4G", None, 16),
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
        (Param("key", "words", "what is pending", is_argument=True),),
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
    _read(
        "disk.list",
        "the disks of a guest, unused ones too",
        "pve disk list web01",
        targets=Targets.ONE,
        privileges=_SEE_GUESTS,
    ),
    _disk(
        "grow",
        "make a disk larger",
        Effect.REPEATABLE,
        (
            _DISK,
            Param("to", "str", "the new size, such as 100G"),
            Param("by", "str", "so much more, such as 20G"),
        ),
        "pve disk grow web01 scsi0 --to 100G",
    ),
    _disk(
        "move",
        "copy a disk to another storage and use it there; the source stays as unused",
        Effect.ONCE,
        (
            _DISK,
            Param("storage", "str", "where to", is_argument=True),
            Param("delete_source", "bool", "delete the source after the copy", False),
        ),
        "pve disk move web01 scsi0 fast",
    ),
    _disk(
        "detach",
        "take a disk out of a guest; it stays as unused",
        Effect.REPEATABLE,
        (_DISK,),
        "pve disk detach web01 scsi1",
    ),
    _disk(
        "attach",
        "put an unused disk into a slot of its guest again",
        Effect.REPEATABLE,
        (
            _DISK,
            Param("slot", "str", "the slot, such as scsi1; without, the first free one"),
            Param("path", "str", "containers: where it is mounted", kinds=("lxc",)),
        ),
        "pve disk attach web01 unused0 --slot scsi1",
    ),
    _read(
        "snapshot.list",
        "the snapshots of a guest as a tree",
        "pve snapshot list web01",
        targets=Targets.ONE,
        privileges=_SEE_GUESTS,
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
    ),
    Operation(
        "snapshot.rollback",
        "set a guest back to a snapshot; what was written since is lost",
        Tier.IRREVERSIBLE,
        Effect.ONCE,
        Targets.ONE,
        (
            Privilege("/vms/{vmid}", "VM.Snapshot.Rollback"),
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
            Param("older_than", "duration", "only those that are older", None, 0, 315_360_000),
            Param("any", "bool", "those that others made, too", False),
        ),
        example="pve snapshot prune --tag prod --keep-daily 7 --older-than 14d",
        decides="pveops.operations.snapshot:decide_prune",
        reads="pveops.domain.snapshot_facts:read_facts_to_remove",
        is_sequential=True,
    ),
    _read("node.list", "nodes with load and state", "pve node list", privileges=_SEE_NODES),
    _read(
        "node.show",
        "one node: load, versions, guests, storages",
        "pve node show pve1",
        targets=Targets.ONE,
        privileges=_SEE_NODES,
    ),
    _read("storage.list", "storages with use", "pve storage list", privileges=_SEE_STORAGES),
    _read(
        "storage.show",
        "one storage on every node",
        "pve storage show local-lvm",
        targets=Targets.ONE,
        privileges=_SEE_STORAGES,
    ),
    _read("task.list", "running and recent tasks", "pve task list --failed"),
    _read("task.show", "the state of one task", "pve task show UPID", targets=Targets.ONE),
    _read("task.log", "the log of one task", "pve task log UPID", targets=Targets.ONE),
    _read("task.wait", "wait for the end of a task", "pve task wait UPID", targets=Targets.ONE),
    Operation(
        "task.cancel",
        "end a running task by force; what it left behind stays",
        Tier.DISRUPTIVE,
        Effect.ONCE,
        Targets.TASK,
        (Privilege("/nodes/{node}", "Sys.Modify"),),
        example="pve task cancel UPID",
        decides="pveops.operations.task:decide_cancel",
    ),
    _read("api.get", "read any path of the API", "pve api get /nodes/pve1/status"),
    _read("api.ls", "what is below a path of the API", "pve api ls /nodes"),
    _read("api.usage", "methods and parameters of a path", "pve api usage /nodes/{node}/qemu"),
)
"""In the order in which people meet them."""

_BY_ID = {operation.id: operation for operation in OPERATIONS}


def get_operation(operation_id: str) -> Operation:
    """The row of that id. Raises UsageError with the nearest ids."""
    operation = _BY_ID.get(operation_id)
    if operation is None:
        import difflib

        near = difflib.get_close_matches(operation_id, _BY_ID, n=3)
        hint = "did you mean " + ", ".join(near) + "?" if near else "see `pve --help`"
        raise UsageError(f"there is no operation {operation_id!r}", hint=hint)
    return operation


def list_changes() -> tuple[Operation, ...]:
    """The operations that can change the cluster."""
    return tuple(operation for operation in OPERATIONS if operation.is_change)
