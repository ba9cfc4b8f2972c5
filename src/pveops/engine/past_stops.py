"""Whom shutdowns of the cluster took down: read from the journals of their runs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pveops.domain.facts import PastStop
from pveops.engine.past_moves import list_begun

if TYPE_CHECKING:
    from pveops.engine.store import Store

SHUTDOWN, BRING_BACK = "cluster.shutdown-plan", "cluster.bring-back"
_NOT_STOPPED = frozenset({"failed", "not-executed"})


def list_past_stops(store: Store, clusters: frozenset[str]) -> tuple[PastStop, ...]:
    """Guests that were not brought back since, by vmid; what has no known end is among them.

    A shutdown that takes down what an earlier one had taken down follows on a time in which the
    cluster was up; one that takes down only others goes on with the earlier one.
    """
    found: dict[int, PastStop] = {}
    down: set[int] = set()
    for run, plan, item, entries in list_begun(store, clusters, (SHUTDOWN, BRING_BACK)):
        target = item.target
        if target.kind not in {"qemu", "lxc"}:
            continue
        ends = [entry.data for entry in entries if entry.kind == "outcome"]
        status, vmid = (ends[-1] if ends else {}).get("status"), int(target.id)
        if plan.operation == BRING_BACK:
            if status == "done":
                found.pop(vmid, None)
                down.discard(vmid)
        elif status not in _NOT_STOPPED:
            if vmid in down and found[vmid].run != run.id:
                earlier = {stop.vmid for stop in found.values() if stop.run != run.id}
                found |= {each: found[each]._replace(is_of_earlier=True) for each in earlier}
                down -= earlier
            if status == "done":
                down.add(vmid)
            kind = "lxc" if target.kind == "lxc" else "qemu"
            found[vmid] = PastStop(
                vmid=vmid,
                kind=kind,  # type: ignore[arg-type]
                name=target.name,
                identity=target.identity,
                run=run.id,
                at=float(run.created),
            )
    return tuple(found[vmid] for vmid in sorted(found))
