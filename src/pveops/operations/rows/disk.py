"""The disks of guests."""

from __future__ import annotations

from pveops.operations.operation import Effect, Operation, Param, Privilege, Targets, Tier
from pveops.operations.rows.common import SEE_GUESTS, reading

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
            *SEE_GUESTS,
        ),
        params,
        example=example,
        decides=f"pveops.operations.disk:decide_{verb}",
        reads="pveops.domain.disk:read_disk_facts",
    )


ROWS: tuple[Operation, ...] = (
    reading(
        "disk.list",
        "the disks of a guest, unused ones too",
        "pve disk list web01",
        targets=Targets.ONE,
        privileges=SEE_GUESTS,
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
)
