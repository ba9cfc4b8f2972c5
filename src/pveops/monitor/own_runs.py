"""Runs of ours that were left unfinished: read from the store, without a request."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pveops.monitor.alerts import Seen
from pveops.operations.findings import Finding

if TYPE_CHECKING:
    from pveops.engine.store import RunRow, Store

ABANDONED = "run.abandoned"


def see_runs(store: Store, profile: str, seen: Seen) -> Seen:
    """The look, and what it comes to with the runs of a profile.

    A run whose process is gone, and one that ended without knowing what became of its targets,
    wait for `pve run resume`, and nobody else may work on these targets. Of a run that another
    host carries nothing is known here.
    """
    from pveops.engine.process import is_carried
    from pveops.operations.plan import decode_plan

    for row in store.list_open_runs():
        subject = f"run/{row.id}"
        plan = decode_plan(store.get_plan(row.plan).json)
        if plan.profile != profile:
            continue
        carried = is_carried(store.folder, row) if row.state == "running" else False
        if carried is None:
            seen = seen._replace(unseen=(*seen.unseen, (ABANDONED, subject)))
        # Where its process is gone it may have ended since it was read.
        elif not carried and store.get_run(row.id) == row:
            names = [item.target.id for item in plan.items]
            of = f" of {', '.join(names[:3])}" if names else ""
            more = f" and {len(names) - 3} more" if len(names) > 3 else ""
            text = f"{plan.operation}{of}{more} was left unfinished: {_why(row)}"
            remedy = f"pve run resume {row.id}"
            found = Finding(ABANDONED, "warn", subject, text, f"begun {row.created}", remedy)
            seen = seen._replace(findings=(*seen.findings, found))
    return seen


def _why(row: RunRow) -> str:
    if row.state == "running":
        return "its process is gone"
    return "what became of it is not known, and its targets are still locked"
