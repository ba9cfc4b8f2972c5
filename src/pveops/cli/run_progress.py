"""How far a run is, target by target: from the journal, and from the logs of what is at work."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pveops.cli.answer import Column, Listing

if TYPE_CHECKING:
    from pveops.cli.call import Call
    from pveops.engine.store import Entry, RunRow
    from pveops.operations.plan import Item

_COLUMNS = (Column("id"), Column("name"), Column("stage"), Column("progress", is_sparse=True))
_FIELDS = (*(column.key for column in _COLUMNS), "upid")
_STAGES = {"intent": "sent", "answer": "at work", "task": "looking", "lost": "looking"}
_NOT_BEGUN = "not begun"
_MAX_LOGS = 8
"""So many logs are read at most: this answer, too, has to come in time."""


def list_progress(call: Call, row: RunRow) -> Listing:
    """A row for each target of the plan."""
    from pveops.operations.plan import decode_plan

    plan = decode_plan(call.wiring.store.get_plan(row.plan).json)
    last: dict[int, Entry] = {}
    for entry in call.wiring.store.read_entries(row.id):
        last[entry.item] = entry
    rows: list[dict[str, Any]] = []
    logs = 0
    for index, item in enumerate(plan.items):
        entry_of_item = last.get(index)
        told = _row(item, entry_of_item)
        if told["stage"] == "at work" and told["upid"] and logs < _MAX_LOGS:
            logs += 1
            told["progress"] = _read_progress(call, told["upid"])
        rows.append(told)
    return Listing(rows, dict, _FIELDS, _COLUMNS)


def _row(item: Item, entry: Entry | None) -> dict[str, Any]:
    stage, upid = _NOT_BEGUN, ""
    if entry is not None:
        stage = str(entry.data.get("status") or _STAGES.get(entry.kind, entry.kind))
        upid = str(entry.data.get("upid") or "")
    return {
        "id": str(entry.data.get("vmid") or item.target.id) if entry else item.target.id,
        "name": item.target.name,
        "stage": stage,
        "progress": "",
        "upid": upid,
    }


def _read_progress(call: Call, upid: str) -> str:
    """The newest share that the task's log tells; empty when it tells none."""
    from pveops.api.progress import find_percent
    from pveops.api.tasks import read_log
    from pveops.errors import PveopsError

    try:
        lines = read_log(call.wiring.reader, upid).lines
    except PveopsError:
        return ""
    shares = [share for line in lines if (share := find_percent(line)) is not None]
    return f"{shares[-1]:.0f}%" if shares else ""


def count_ended(listing: Listing) -> tuple[int, int]:
    """(how many targets have ended, how many there are)."""
    open_ = {_NOT_BEGUN, *_STAGES.values()}
    return sum(row["stage"] not in open_ for row in listing.rows), listing.size
