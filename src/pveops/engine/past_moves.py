"""Who was moved from where by evacuations: read from the journals of their runs.

The journal is on disk before anything is sent, so this is whole even after a process was killed.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from pveops.domain.facts import PastMove
from pveops.operations.plan import Item, Plan, WaitState, decode_plan

if TYPE_CHECKING:
    from pveops.engine.store import Entry, RunRow, Store

EVACUATE, RETURN = "node.evacuate", "node.return"
ROLLING = "cluster.rolling-reboot"
_NOT_MOVED = frozenset({"failed", "not-executed"})


def list_past_moves(store: Store, clusters: frozenset[str]) -> tuple[PastMove, ...]:
    """The moves of evacuations that were not returned from, by source and vmid.

    What was begun and has no known end is among them. A later move of a guest from the same node
    takes the place of an earlier one.
    """
    found: dict[tuple[str, int], PastMove] = {}
    for run, plan, item, entries in list_begun(store, clusters, (EVACUATE, RETURN, ROLLING)):
        if destination_of(item):
            _fold(found, run, plan, item, entries)
    return tuple(sorted(found.values(), key=lambda move: (move.source, move.vmid)))


def list_begun(
    store: Store, clusters: frozenset[str], operations: tuple[str, ...]
) -> Iterator[tuple[RunRow, Plan, Item, list[Entry]]]:
    """Every item that was begun in runs of these operations, in the order of runs and items.

    clusters: the fingerprints of the cluster that it is about.
    """
    for run in store.list_runs_of(operations):
        plan = decode_plan(store.get_plan(run.plan).json)
        if plan.cluster not in clusters:
            continue
        told: dict[int, list[Entry]] = {}
        for entry in store.read_entries(run.id):
            told.setdefault(entry.item, []).append(entry)
        for index, entries in sorted(told.items()):
            yield run, plan, plan.items[index], entries


def _fold(
    found: dict[tuple[str, int], PastMove],
    run: RunRow,
    plan: Plan,
    item: Item,
    entries: list[Entry],
) -> None:
    target, to = item.target, destination_of(item)
    ends = [entry.data for entry in entries if entry.kind == "outcome"]
    vmid, end = int(target.id), ends[-1] if ends else {}
    if plan.operation == RETURN or (plan.operation == ROLLING and (to, vmid) in found):
        if end.get("status") == "done":
            found.pop((to, vmid), None)
        return
    # A move may fail with the guest on the other node: once its file is there (phase 3).
    if end.get("status") not in _NOT_MOVED or end.get("after", {}).get("node") == to:
        found[target.node, vmid] = PastMove(
            vmid=vmid,
            kind="lxc" if target.kind == "lxc" else "qemu",
            name=target.name,
            identity=target.identity,
            source=target.node,
            target=to,
            run=run.id,
            at=float(run.created),
        )


def destination_of(item: Item) -> str:
    """The node that a move goes to."""
    goals = [step for step in item.steps if isinstance(step, WaitState)]
    return str(goals[-1].expect.get("node", "")) if goals else ""
