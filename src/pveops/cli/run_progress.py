"""How far a run is that goes on in another process: by its journal and its tasks' logs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from pveops.errors import PveopsError
from pveops.units import format_percent

if TYPE_CHECKING:
    from pveops.api.client import Client
    from pveops.cli.call import Call
    from pveops.engine.store import Entry, RunRow

_MAX_TASKS = 4


def read_run_progress(call: Call, row: RunRow) -> list[dict[str, Any]]:
    """Of each task that the run waits for, two requests; nothing where it cannot be read."""
    entries = call.wiring.store.read_entries(row.id)
    try:
        reader = call.wiring.reader
    except PveopsError:
        return []
    found = (task_progress(reader, upid) for upid in _open_tasks(entries)[:_MAX_TASKS])
    return [progress for progress in found if progress is not None]


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


def describe_progress(progress: Sequence[dict[str, Any]]) -> str:
    """`: 12%, 9.6 GiB of 80 GiB, 240 MiB/s`; empty when no log tells anything."""
    told = [each["words"] for each in progress if each["words"]]
    return f": {'; '.join(told)}" if told else ""


def _open_tasks(entries: Sequence[Entry]) -> list[str]:
    """The tasks that calls have started and that nobody has seen the end of."""
    upids: dict[int, str] = {}
    for entry in entries:
        if entry.kind == "answer":
            upids[entry.item] = str(entry.data.get("upid") or "")
        elif entry.kind in {"task", "outcome"}:
            upids.pop(entry.item, None)
    return [upid for upid in upids.values() if upid]
