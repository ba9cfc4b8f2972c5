"""`pve find`: anything by a piece of its name."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import click

from pveops.cli.answer import Answer, Column, Listing
from pveops.cli.call import Call
from pveops.cli.commands import Command, list_options

if TYPE_CHECKING:
    from pveops.domain.inventory import Inventory

_COLUMNS = (Column("kind"), Column("id"), Column("name"), Column("node"), Column("status"))


@click.command("find", cls=Command, operation="find")
@click.argument("text")
@list_options
@click.pass_obj
def command(call: Call, text: str) -> Answer:
    """Guests, nodes, storages and pools whose id, name or tag contains TEXT."""
    from pveops.domain.inventory import read_inventory

    inventory = read_inventory(call.wiring.reader)
    found = [item for item in _items(inventory) if _fits(item, text.lower())]
    noun = "match" if len(found) == 1 else "matches"
    verdict = f"{len(found)} {noun} for {text!r} among {len(inventory.guests)} visible guests"
    next_: tuple[str, ...] = ()
    if len(found) == 1:
        kind = {"qemu": "guest", "lxc": "guest"}.get(found[0]["kind"], found[0]["kind"])
        next_ = (f"pve {kind} show {found[0]['id']}",) if kind != "pool" else ()
    fields = (*(column.key for column in _COLUMNS), "tags")
    return Answer(verdict, blocks=(Listing(found, dict, fields, _COLUMNS),), next=next_)


def _fits(item: dict[str, Any], text: str) -> bool:
    return any(text in str(word).lower() for word in (item["id"], item["name"], *item["tags"]))


def _items(inventory: Inventory) -> Iterator[dict[str, Any]]:
    for guest in inventory.guests:
        yield _item(
            guest.kind, str(guest.vmid), guest.name, guest.node, guest.status, list(guest.tags)
        )
    for node in inventory.nodes:
        yield _item("node", node.name, node.name, node.name, node.status)
    storages: dict[str, list[str]] = {}
    for storage in inventory.storages:
        storages.setdefault(storage.storage, []).append(storage.node)
    for name, nodes in storages.items():
        yield _item("storage", name, name, ",".join(nodes), "")
    for pool in inventory.pools:
        yield _item("pool", pool, pool, "", "")


def _item(
    kind: str, id_: str, name: str, node: str, status: str, tags: list[str] | None = None
) -> dict[str, Any]:
    return {
        "kind": kind,
        "id": id_,
        "name": name,
        "node": node,
        "status": status,
        "tags": tags or [],
    }
