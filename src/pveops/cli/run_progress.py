"""How far a run is that goes on in another process: by its journal and its tasks' logs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pveops.cli.answer import Column, Listing
from pveops.errors import PveopsError
from pveops.units import format_percent

if TYPE_CHECKING:
    from pveops.api.client import Client
    from pveops.cli.call import Call
    from pveops.engine.store import Entry, RunRow
    from pveops.operations.plan import Item

_COLUMNS = (Column("id"), Column("name"), Column("stage"), Column("progress", is_sparse=True))
_FIELDS = (*(column.key for column in _COLUMNS), "upid", "task")
_AT_WORK = "at work"
_STAGES = {"intent": "sent", "answer": _AT_WORK, "task": "looking", "lost": "looking"}
_NOT_BEGUN = "not begun"
_MAX_TASKS = 4
"""So many logs are read at most: this answer, too, has to come in time."""


def list_progress(call: Call, row: RunRow) -> Listing:
    """A row for each target of the plan; two requests for each task that is at work."""
    from pveops.operations.plan import decode_plan

    plan = decode_plan(call.wiring.store.get_plan(row.plan).json)
    last: dict[int, Entry] = {}
    for entry in call.wiring.store.read_entries(row.id):
        last[entry.item] = entry
    rows = [_row(item, last.get(index)) for index, item in enumerate(plan.items)]
    at_work = [told for told in rows if told["stage"] == _AT_WORK and told["upid"]]
    for told in at_work[:_MAX_TASKS]:
        told["task"] = _ask(call, told["upid"])
        told["progress"] = told["task"]["words"] if told["task"] else ""
    return Listing(rows, dict, _FIELDS, _COLUMNS)


def _row(item: Item, entry: Entry | None) -> dict[str, Any]:
    stage, upid, vmid = _NOT_BEGUN, "", item.target.id
    if entry is not None:
        stage = str(entry.data.get("status") or _STAGES.get(entry.kind, entry.kind))
        upid = str(entry.data.get("upid") or "")
        vmid = str(entry.data.get("vmid") or vmid)
    return {
        "id": vmid,
        "name": item.target.name,
        "stage": stage,
        "progress": "",
        "upid": upid,
        "task": None,
    }


def _ask(call: Call, upid: str) -> dict[str, Any] | None:
    try:
        return task_progress(call.wiring.reader, upid)
    except PveopsError:
        return None


def task_progress(client: Client, upid: str) -> dict[str, Any] | None:
    """What a task's log tells of its share, bytes and rate; None when it cannot be read."""
    from pveops.api.tasks import read_progress

    try:
        seen = read_progress(client, upid)
    except PveopsError:
        return None
    amount = seen.amount
    words = [format_percent(seen.share)] if seen.share is not None else []
    words += [amount.words] if amount else []
    return {
        "upid": upid,
        "elapsed_s": round(seen.elapsed_s),
        "share": seen.share,
        "done_bytes": amount.done_bytes if amount else None,
        "total_bytes": amount.total_bytes if amount else None,
        "rate_bytes": amount.rate_bytes if amount else None,
        "words": ", ".join(words),
    }


def describe_progress(listing: Listing) -> str:
    """`1 of 10 are through`, or of a single target how far its task is."""
    if listing.size == 1:
        (row,) = listing.rows
        return str(row["progress"] or row["stage"])
    open_ = {_NOT_BEGUN, *_STAGES.values()}
    ended = sum(row["stage"] not in open_ for row in listing.rows)
    return f"{ended} of {listing.size} are through"
