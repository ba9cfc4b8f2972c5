"""`pve storage`: look at storages."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import click

from pveops.cli.answer import Answer, Column, Listing
from pveops.cli.call import Call
from pveops.cli.cells import count_of
from pveops.cli.commands import Group, list_options
from pveops.domain.storage import Storage

group = Group(
    "storage",
    help="Storages, as each node sees them.",
    lazy={
        "content": ("pveops.cli.storage_content:list_content", "what lies on a storage"),
        "upload": ("pveops.cli.verbs:storage_verb", "send a local file to a storage"),
        "delete": ("pveops.cli.verbs:storage_verb", "delete a volume that no guest uses"),
        "download": (
            "pveops.cli.verbs:storage_verb",
            "let a node fetch an image, ISO or template",
        ),
    },
)

_COLUMNS = (
    Column("storage"),
    Column("node"),
    Column("type"),
    Column("status", common="available"),
    Column("used_share", "used", kind="percent"),
    Column("used_bytes", "bytes", kind="bytes"),
    Column("total_bytes", "of", kind="bytes"),
    Column("content"),
)
_FIELDS = (*Storage._fields, "used_share")


def storage_item(storage: Storage) -> dict[str, Any]:
    """A storage as a JSON object. Figures that nobody knows are null, never 0."""
    if not storage.has_figures:
        return storage._asdict() | dict.fromkeys(("used_bytes", "total_bytes", "used_share"))
    return storage._asdict() | {"used_share": round(storage.used_share, 4)}


def use_of(storage: Storage) -> str:
    """How full it is, in a word."""
    return f"{storage.used_share:.0%}" if storage.has_figures else "unknown"


@group.command("list", operation="storage.list")
@click.option("--node", help="As this node sees them.")
@list_options
@click.pass_obj
def list_storages(call: Call, node: str | None) -> Answer:
    """List storages with use; a shared one once, the others for each node."""
    from pveops.domain.inventory import read_inventory

    inventory = read_inventory(call.wiring.reader)
    if node is not None:
        inventory.get_node(node)
    storages = [each for each in inventory.storages if node is None or each.node == node]
    rows = storages if node is not None else _shared_once(storages)
    known = [each for each in rows if each.has_figures]
    fullest = max(known, key=lambda each: each.used_share, default=None)
    verdict = count_of(len({each.storage for each in rows}), "storage")
    if fullest is not None:
        verdict += f"; fullest: {fullest.storage} on {fullest.node}, {use_of(fullest)}"
    if len(known) < len(rows):
        verdict += f"; unknown: {', '.join(_place(each) for each in rows if each not in known)}"
    return Answer(verdict, blocks=(Listing(rows, storage_item, _FIELDS, _COLUMNS),))


@group.command("show", operation="storage.show")
@click.argument("storage")
@list_options
@click.pass_obj
def show_storage(call: Call, storage: str) -> Answer:
    """Show one storage on every node."""
    from pveops.domain.inventory import read_inventory

    inventory = read_inventory(call.wiring.reader)
    rows = inventory.list_storages(storage)
    kind = "shared" if rows[0].is_shared else "local to each node"
    verdict = f"{storage} ({rows[0].type}, {kind}) on {_nodes(rows)}"
    return Answer(verdict, blocks=(Listing(rows, storage_item, _FIELDS, _COLUMNS),))


def _place(storage: Storage) -> str:
    return f"{storage.storage} on {storage.node}"


def _nodes(rows: Sequence[Storage]) -> str:
    return ", ".join(each.node for each in rows)


def _shared_once(storages: Iterable[Storage]) -> list[Storage]:
    """A shared storage stands once, at its first node, unless nodes disagree about its state."""
    kept: list[Storage] = []
    seen: set[tuple[str, str]] = set()
    for storage in storages:
        key = (storage.storage, storage.status)
        if storage.is_shared and key in seen:
            continue
        seen.add(key)
        kept.append(storage)
    return kept
