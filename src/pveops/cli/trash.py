"""`pve guest trash`: what was deleted and can still be brought back."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import click

from pveops.cli.answer import Answer, Column, Listing
from pveops.cli.call import Call
from pveops.cli.cells import count_of
from pveops.cli.commands import Command, Group, list_options

if TYPE_CHECKING:
    from pveops.api.client import Client
    from pveops.domain.guest import Guest
    from pveops.domain.trash import TrashMark

_COLUMNS = (
    Column("vmid"),
    Column("name"),
    Column("node"),
    Column("status"),
    Column("was"),
    Column("deleted_at", "deleted", kind="time"),
    Column("purge_from", kind="time"),
    Column("disk_bytes", "disk", kind="bytes"),
)
_FIELDS = (*(column.key for column in _COLUMNS), "kind")

group = Group(
    "trash",
    help="Deleted guests, which can still be brought back.",
    lazy={"list": ("pveops.cli.trash:list_trash", "deleted guests, and when they can be purged")},
)


@click.command("list", cls=Command, operation="guest.trash.list")
@list_options
@click.pass_obj
def list_trash(call: Call) -> Answer:
    """List deleted guests: since when, how they were, and when they can be purged."""
    from pveops.domain.inventory import read_inventory
    from pveops.domain.trash import TRASH_TAG
    from pveops.engine.pool import run_bounded
    from pveops.units import DAY_S

    reader, days = call.wiring.reader, call.wiring.policy.trash_days
    guests = [guest for guest in read_inventory(reader).guests if TRASH_TAG in guest.tags]
    nodes = [guest.node for guest in guests]
    seen = run_bounded(nodes, lambda index: _read_entry(reader, guests[index])) if nodes else ()

    def item(row: tuple[Guest, _Entry]) -> dict[str, Any]:
        guest, (status, mark) = row
        return {
            "vmid": guest.vmid,
            "name": guest.name,
            "kind": guest.kind,
            "node": guest.node,
            "status": status,
            "was": mark.was if mark else "unknown",
            "deleted_at": mark.deleted_at if mark else None,
            "purge_from": mark.deleted_at + days * DAY_S if mark else None,
            "disk_bytes": guest.maxdisk_bytes,
        }

    return Answer(
        f"{count_of(len(guests), 'deleted guest')}; they stay for {count_of(days, 'day')}",
        blocks=(Listing(tuple(zip(guests, seen, strict=True)), item, _FIELDS, _COLUMNS),),
        next=("pve guest undelete GUEST",) if guests else (),
    )


class _Entry(NamedTuple):
    status: str
    mark: TrashMark | None
    """None, too, when the guest's node does not answer: then nobody knows."""


def _read_entry(reader: Client, guest: Guest) -> _Entry:
    """As its node has it: the cluster's list is some ten seconds behind."""
    from pveops.domain.guest import read_guest_config, read_guest_state
    from pveops.domain.trash import mark_of
    from pveops.errors import PveopsError

    try:
        mark = mark_of(read_guest_config(reader, guest.ref))
        return _Entry(read_guest_state(reader, guest.ref).power, mark)
    except PveopsError:
        return _Entry("unknown", None)
