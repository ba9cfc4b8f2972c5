"""`pve disk`: look at the disks of guests; what changes them is in `verbs`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from pveops.cli.answer import Answer, Column, Listing
from pveops.cli.call import Call
from pveops.cli.cells import count_of
from pveops.cli.commands import Command, Group, list_options

if TYPE_CHECKING:
    from pveops.domain.disk import Disk

_VERB = "pveops.cli.verbs:disk_verb"
_COLUMNS = (
    Column("slot"),
    Column("size_bytes", "size", kind="bytes"),
    Column("volid", "volume"),
    Column("options", is_sparse=True, is_wide=True),
)
_FIELDS = ("slot", "volid", "storage", "size_bytes", "options", "is_unused")

group = Group(
    "disk",
    help="""Disks of guests, by their slot: scsi0, virtio1, rootfs, mp0, unused0.""",
    lazy={
        "list": ("pveops.cli.disk:show_disks", "the disks of a guest, unused ones too"),
        "grow": (_VERB, "make a disk larger"),
        "move": (_VERB, "copy a disk to another storage and use it there"),
        "detach": (_VERB, "take a disk out of a guest; it stays as unused"),
        "attach": (_VERB, "put an unused disk into a slot of its guest again"),
    },
)


@click.command("list", cls=Command, operation="disk.list")
@click.argument("guest")
@list_options
@click.pass_obj
def show_disks(call: Call, guest: str) -> Answer:
    """List the disks of a guest; the size of an unused one is not in its configuration."""
    from pveops.domain.disk import list_disks
    from pveops.domain.guest import read_guest_config
    from pveops.domain.inventory import read_inventory
    from pveops.domain.selection import resolve_guest

    reader = call.wiring.reader
    found = resolve_guest(read_inventory(reader), guest)
    disks = list_disks(found.kind, read_guest_config(reader, found.ref))

    def item(disk: Disk) -> dict[str, Any]:
        return disk._asdict() | {"is_unused": disk.is_unused}

    unused = sum(disk.is_unused for disk in disks)
    verdict = f"{found.ref.label}: {count_of(len(disks), 'disk')}"
    if unused:
        verdict += f", {unused} of them unused"
    return Answer(verdict, blocks=(Listing(disks, item, _FIELDS, _COLUMNS),))
