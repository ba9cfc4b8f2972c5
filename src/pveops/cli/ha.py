"""`pve ha`: guests that HA manages."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from pveops.cli.answer import Answer, Column, Listing
from pveops.cli.call import Call
from pveops.cli.cells import count_of
from pveops.cli.commands import Group, list_options

if TYPE_CHECKING:
    from pveops.domain.ha import HaResource

_VERB = "pveops.cli.verbs:ha_verb"

group = Group(
    "ha",
    help="Guests that HA manages: what is wanted, and what HA does.",
    lazy={
        "add": (_VERB, "put guests under HA"),
        "remove": (_VERB, "take guests out of HA; they stay as they are"),
        "set-state": (_VERB, "say what HA has to see to"),
        "migrate": (_VERB, "have HA move a guest to another node"),
        "reset": (_VERB, "clear HA's state `error`"),
    },
)

_COLUMNS = (
    Column("sid"),
    Column("name"),
    Column("node"),
    Column("wanted"),
    Column("state"),
    Column("group", is_sparse=True),
    Column("max_restart", is_wide=True),
    Column("max_relocate", is_wide=True),
)
_FIELDS = (*(column.key for column in _COLUMNS), "vmid")
_BAD = frozenset({"error", "fence", "recovery", "unknown"})


@group.command("list", operation="ha.list")
@list_options
@click.pass_obj
def list_resources(call: Call) -> Answer:
    """List what HA manages, with what it wants and does."""
    from pveops.domain.ha import read_ha
    from pveops.domain.inventory import read_inventory

    reader = call.wiring.reader
    view = read_ha(reader)
    names = {guest.vmid: guest.name for guest in read_inventory(reader).guests}

    def item(row: HaResource) -> dict[str, Any]:
        return row._asdict() | {"name": names.get(row.vmid, "")}

    bad = [row for row in view.resources if row.state in _BAD]
    verdict = count_of(len(view.resources), "HA resource")
    if bad:
        verdict += f", {len(bad)} in trouble: {', '.join(row.sid for row in bad)}"
    verdict += f"; manager: {view.manager or 'none'}" if view.resources else ""
    if not view.has_quorum:
        verdict += "; NO QUORUM"
    next_ = tuple(f"pve guest doctor {row.vmid}" for row in bad[:3])
    return Answer(verdict, blocks=(Listing(view.resources, item, _FIELDS, _COLUMNS),), next=next_)
