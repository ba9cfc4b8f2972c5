"""`pve storage content`: what lies on a storage."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from pveops.cli.answer import Answer, Column, Listing
from pveops.cli.call import Call
from pveops.cli.cells import count_of
from pveops.cli.commands import Command, list_options

if TYPE_CHECKING:
    from pveops.domain.inventory import Inventory
    from pveops.domain.rows import Row
    from pveops.domain.storage import Storage

_COLUMNS = (
    Column("volid", "volume"),
    Column("node", is_sparse=True),
    Column("content"),
    Column("size_bytes", "size", kind="bytes"),
    Column("created", kind="time", is_wide=True),
    Column("guest", is_sparse=True),
)
_FIELDS = (*(column.key for column in _COLUMNS), "vmid", "format", "is_protected")


@click.command("content", cls=Command, operation="storage.content")
@click.argument("storage")
@click.option("--node", help="As this node sees it.")
@click.option("--content", help="Only images, rootdir, iso, vztmpl, backup, snippets or import.")
@list_options
@click.pass_obj
def list_content(call: Call, storage: str, node: str | None, content: str | None) -> Answer:
    """List what lies on a storage, as far as the token may use it. Notes are left out."""
    from pveops.api.port import api_path
    from pveops.domain.access import read_permissions_or_none
    from pveops.domain.inventory import read_inventory
    from pveops.domain.rows import rows_of

    reader = call.wiring.reader
    inventory = read_inventory(reader)
    names = {guest.vmid: guest.name for guest in inventory.guests}
    rows: list[tuple[Row, Storage]] = []
    silent: list[str] = []
    for place in _places(inventory, storage, node):
        if place.status != "available":
            silent.append(place.node)
            continue
        path = api_path("nodes", place.node, "storage", storage, "content")
        rows += [(row, place) for row in rows_of(reader.get(path, {"content": content}))]
    verdict = f"{storage}: {count_of(len(rows), 'volume')}"
    if silent:
        verdict += f"; unknown: those of {', '.join(silent)}"
    permissions = read_permissions_or_none(reader)
    if permissions is None or not permissions.allows(f"/storage/{storage}", "Datastore.Allocate"):
        verdict += "; what the token may not use is not listed"

    def item(pair: tuple[Row, Storage]) -> dict[str, Any]:
        return _item(pair[0], pair[1], names)

    return Answer(verdict, blocks=(Listing(rows, item, _FIELDS, _COLUMNS),))


def _places(inventory: Inventory, name: str, node: str | None) -> list[Storage]:
    """A shared storage once, by a node that answers; each other one. Raises NotFoundError."""
    from pveops.errors import NotFoundError

    there = inventory.list_storages(name)
    if node is not None:
        inventory.get_node(node)
    found = [each for each in there if node in {None, each.node}]
    if not found:
        nodes = ", ".join(each.node for each in there)
        raise NotFoundError(f"{node} has no storage {name!r}", hint=f"these have it: {nodes}")
    if not found[0].is_shared:
        return found
    return sorted(found, key=lambda each: each.status != "available")[:1]


def _item(row: Row, place: Storage, names: dict[int, str]) -> dict[str, Any]:
    from pveops.domain.rows import flag_of, int_of, text_of

    vmid = int_of(row, "vmid")
    return {
        "volid": text_of(row, "volid"),
        "node": "" if place.is_shared else place.node,
        "content": text_of(row, "content"),
        "size_bytes": int_of(row, "size"),
        "created": int_of(row, "ctime") or None,
        "guest": names.get(vmid) or (f"{vmid} (no such guest)" if vmid else ""),
        "vmid": vmid or None,
        "format": text_of(row, "format"),
        "is_protected": flag_of(row, "protected"),
    }
