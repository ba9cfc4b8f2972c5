"""`pve snapshot`: look at snapshots; what changes them is in `verbs`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import click

from pveops.cli.answer import Answer, Column, Listing
from pveops.cli.call import Call
from pveops.cli.cells import count_of
from pveops.cli.commands import Command, Group, list_options

if TYPE_CHECKING:
    from pveops.domain.snapshot import Snapshot, Snapshots

_VERB = "pveops.cli.verbs:snapshot_verb"
_COLUMNS = (
    Column("tree", "snapshot"),
    Column("age_s", "age", kind="duration"),
    Column("has_memory", "memory", kind="flag"),
    Column("is_ours", "ours", kind="flag"),
    Column("state", is_sparse=True),
)
_FIELDS = ("name", "parent", "snaptime", "age_s", "has_memory", "is_ours", "state", "tree")

group = Group(
    "snapshot",
    help="""Snapshots of guests. A snapshot lies beside the disk and goes with it: it is no backup.

    A rollback, and every deletion, needs a person's consent.""",
    lazy={
        "list": ("pveops.cli.snapshot:list_snapshots", "the snapshots of a guest as a tree"),
        "create": (_VERB, "make a snapshot of guests, one after the other"),
        "rollback": (_VERB, "set a guest back to a snapshot; what was written since is lost"),
        "delete": (_VERB, "delete a snapshot of guests"),
        "prune": (_VERB, "delete old snapshots that pveops made"),
    },
)


@click.command("list", cls=Command, operation="snapshot.list")
@click.argument("guest")
@list_options
@click.pass_obj
def list_snapshots(call: Call, guest: str) -> Answer:
    """List the snapshots of a guest as a tree, and where its present state comes from."""
    from pveops.domain.inventory import read_inventory
    from pveops.domain.selection import resolve_guest
    from pveops.domain.snapshot import read_snapshots

    reader = call.wiring.reader
    found = resolve_guest(read_inventory(reader), guest)
    snapshots = read_snapshots(reader, found.ref)
    now = reader.server_time()
    rows = list(_walk(snapshots, "", 0))

    def item(row: tuple[Snapshot, int]) -> dict[str, Any]:
        snapshot, depth = row
        age_s = max(0, int(now) - snapshot.snaptime)
        tree = "  " * depth + snapshot.name
        return snapshot._asdict() | {"age_s": age_s, "tree": tree}

    derived = f"; the present derives from {snapshots.parent}" if snapshots.parent else ""
    verdict = f"{found.ref.label}: {count_of(len(rows), 'snapshot')}{derived}"
    return Answer(verdict, blocks=(Listing(rows, item, _FIELDS, _COLUMNS),))


def _walk(snapshots: Snapshots, parent: str, depth: int) -> Iterator[tuple[Snapshot, int]]:
    """Each snapshot after its parent, with its depth; those without a known parent at the root."""
    names = {snapshot.name for snapshot in snapshots.all}
    for snapshot in snapshots.all:
        above = snapshot.parent if snapshot.parent in names else ""
        if above == parent:
            yield snapshot, depth
            if snapshot.name != parent:
                yield from _walk(snapshots, snapshot.name, depth + 1)
