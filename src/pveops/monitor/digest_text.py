"""A digest as text for a chat: at most so many characters, each part in it, the rest counted."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from pveops.monitor.digest import (
    Backups,
    Change,
    Digest,
    NodeLine,
    OthersTasks,
    StorageLine,
    Trouble,
    tell_span,
)
from pveops.monitor.forecast import tell_forecast
from pveops.sanitize import sanitize_text
from pveops.units import format_bytes, format_duration, format_percent

_WORDS = {"block": "PROBLEM", "warn": "warning", "info": "note"}
_MOST_LINES = 8
_LONGEST_LINE = 150


def judge_digest(digest: Digest) -> str:
    """The whole in one line, the worst first."""
    parts = [_count_troubles(digest.troubles)]
    soon = sorted(
        (each.forecast.seconds, each.label)
        for each in digest.storages
        if each.is_filling and each.forecast and each.forecast.seconds
    )
    if soon:
        more = f" (and {len(soon) - 1} more fill up)" if len(soon) > 1 else ""
        parts.append(f"{soon[0][1]} is full in about {format_duration(soon[0][0])}{more}")
    parts.append(_judge_backups(digest.backups))
    changes = "changes unknown"
    if digest.changes is not None:
        changes = f"{_count(len(digest.changes), 'change')} through pve"
    parts.append(changes)
    if digest.blind:
        parts.append(f"{_count(len(digest.blind), 'blind spot')}")
    text = "; ".join(part for part in parts if part)
    return f"{digest.cluster}, {tell_span(digest.span_s)}: {text}"


def tell_digest(digest: Digest, limit: int) -> tuple[str, ...]:
    """Lines below the verdict, with as many of each part as fit into `limit` characters."""
    for most in range(_MOST_LINES, 0, -1):
        lines = tuple(_cut(line) for line in _lines(digest, most))
        if sum(len(line) + 1 for line in lines) <= limit:
            return lines
    return lines


def _lines(digest: Digest, most: int) -> Iterator[str]:
    yield f"HEALTH: {_count_guests(digest.guests)}; {_events(digest)}"
    yield from _some([_trouble(each, digest.at) for each in digest.troubles], most, "pve status")
    yield "CAPACITY"
    yield from _some([_node(each) for each in digest.nodes], most, "pve node list")
    yield from _some([_storage(each) for each in digest.storages], most, "pve storage list")
    yield f"BACKUPS: {describe_backups(digest.backups)}"
    bad = digest.backups.bad if digest.backups else ()
    yield from _some([_bad_backup(*each) for each in bad], most, "pve backup audit --bad")
    yield f"CHANGES through pve: {_changes(digest)}"
    yield from _some(
        [_change(each) for each in digest.changes or ()], most, "pve audit show --last 50"
    )
    yield f"TASKS of others: {_tasks(digest.others)}"
    yield from _some([_others(each) for each in digest.others], most, "pve task list")
    if digest.blind:
        yield "NOT SEEN"
        yield from _some([f"- {each}" for each in digest.blind], most, "pve doctor")


def _some(lines: Sequence[str], most: int, more: str) -> Iterator[str]:
    yield from lines[:most]
    if len(lines) > most:
        yield f"  and {len(lines) - most} more: {more}"


def _cut(line: str) -> str:
    line = sanitize_text(line)
    return line if len(line) <= _LONGEST_LINE else line[: _LONGEST_LINE - 1] + "…"


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


# -- parts ---------------------------------------------------------------------------


def _count_troubles(troubles: Sequence[Trouble]) -> str:
    parts = []
    for severity, noun in (("block", "problem"), ("warn", "warning")):
        number = sum(each.severity == severity for each in troubles)
        if number:
            parts.append(_count(number, noun))
    return ", ".join(parts) or "nothing wrong in what can be seen"


def _count_guests(guests: Mapping[str, int]) -> str:
    states = sorted(guests.items(), key=lambda item: -item[1])
    parts = ", ".join(f"{number} {state}" for state, number in states)
    return f"{_count(sum(guests.values()), 'guest')} ({parts})" if guests else "no guests seen"


def _events(digest: Digest) -> str:
    if not digest.looked:
        return "the monitor never ran (pve monitor install)"
    names = {"raised": "raised", "worse": "grew worse", "cleared": "cleared"}
    return f"alerts: {_counts(digest.events, names) or 'none'} in the time"


def _trouble(trouble: Trouble, now: int) -> str:
    since = f", for {format_duration(now - trouble.since)}" if trouble.since else ""
    known = ", acknowledged" if trouble.is_acked else ""
    subject = trouble.subject.rstrip("/")
    return f"- {_WORDS[trouble.severity]} {subject}: {trouble.message}{since}{known}"


def _node(node: NodeLine) -> str:
    if node.status != "online":
        return f"- node {node.name}: {node.status}"
    cpu = (
        "CPU unknown"
        if node.cpu_average is None
        else f"CPU {format_percent(node.cpu_average)} on average, "
        f"{format_percent(node.cpu_busiest or 0)} in the busiest {format_duration(node.step_s)}"
    )
    memory = (
        "memory unknown"
        if node.memory is None
        else f"memory {format_percent(node.memory)} of {format_bytes(node.memory_bytes)}"
    )
    return f"- node {node.name}: {cpu}; {memory}"


def _storage(storage: StorageLine) -> str:
    if storage.used_share is None:
        return f"- storage {storage.label}: unknown"
    told = f"{format_percent(storage.used_share)} of {format_bytes(storage.total_bytes)}"
    forecast = tell_forecast(storage.forecast) if is_worth_telling(storage) else ""
    parts = (told, tell_growth(storage), forecast)
    return f"- storage {storage.label}: {', '.join(part for part in parts if part)}"


def is_worth_telling(storage: StorageLine) -> bool:
    """Whether its forecast is more than that nothing is going to happen."""
    return storage.forecast is None or storage.forecast.seconds is not None


def tell_growth(storage: StorageLine) -> str:
    """`+72 GiB`: how much more is in use than at the beginning; empty for next to nothing."""
    growth = storage.growth_bytes
    if growth is None or abs(growth) < storage.total_bytes / 1000:
        return ""
    return f"{'+' if growth > 0 else '-'}{format_bytes(abs(growth))}"


def _judge_backups(backups: Backups | None) -> str:
    if backups is None:
        return "backups unknown"
    bad = sum(backups.states.get(state, 0) for state in ("none", "old"))
    unknown = backups.states.get("unknown", 0)
    parts = [f"{_count(bad, 'guest')} without a fresh backup" if bad else ""]
    parts.append(f"backups of {_count(unknown, 'guest')} unknown" if unknown else "")
    if backups.unseen:
        parts.append("not every place of backups could be seen")
    return ", ".join(filter(None, parts)) or "every guest has a fresh backup"


def describe_backups(backups: Backups | None) -> str:
    """How many guests are in which state, how the runs ended, and where nobody could look."""
    if backups is None:
        return "unknown"
    old = f"older than {format_duration(backups.limit_s)}"
    words = {"ok": "fresh", "old": old, "none": "without any", "unknown": "unknown"}
    states = _counts(backups.states, words)
    names = ("ok", "warnings", "failed", "running", "unknown")
    runs = _counts(backups.runs, {name: name for name in names} | {"warnings": "with warnings"})
    unseen = f"; not seen: {', '.join(backups.unseen[:3])}" if backups.unseen else ""
    return f"{states or 'no guests'}; runs: {runs or 'none seen'}{unseen}"


def _counts(numbers: Mapping[str, int], words: Mapping[str, str]) -> str:
    return ", ".join(f"{numbers[key]} {word}" for key, word in words.items() if numbers.get(key))


def _bad_backup(guest: str, state: str, age_s: int | None) -> str:
    words = {"old": "too old", "none": "no backup", "unknown": "unknown"}[state]
    return f"- {guest}: {words}" + (f", newest {format_duration(age_s)} ago" if age_s else "")


def _changes(digest: Digest) -> str:
    if digest.changes is None:
        return "unknown: the records cannot be read from here (pve audit show)"
    by: dict[str, int] = {}
    for change in digest.changes:
        by[change.actor] = by.get(change.actor, 0) + 1
    who = ", ".join(f"{number} by {actor}" for actor, number in by.items())
    refused = f"; {digest.refused} refused" if digest.refused else ""
    return f"{who or 'none'}{refused}"


def _change(change: Change) -> str:
    reason = f' "{change.reason}"' if change.reason else ""
    return f"- {change.operation} {change.target}: {change.result}, by {change.actor}{reason}"


def _tasks(others: Sequence[OthersTasks]) -> str:
    total, failed = sum(each.tasks for each in others), sum(each.failed for each in others)
    return f"{total}, {failed} of them failed" if total else "none seen"


def _others(each: OthersTasks) -> str:
    kinds = ", ".join(f"{number} {kind}" for kind, number in each.kinds[:4])
    failed = f", {each.failed} failed" if each.failed else ""
    return f"- {each.user}: {each.tasks} ({kinds}){failed}"
