"""Calendar events: the subset of systemd's that PVE's schedules use (proxmox-time).

`daily`, `mon..fri 08:30`, `*/15`, `sat 02:00`, `*-*-01 04:00`, `22:00..23/30` and the like.
All times are UTC.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

_WEEKDAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_ALIASES = {
    "minutely": "*-*-* *:*",
    "hourly": "*-*-* *:00",
    "daily": "*-*-* 00:00",
    "weekly": "mon *-*-* 00:00",
    "monthly": "*-*-1 00:00",
    "quarterly": "*-1,4,7,10-1 00:00",
    "semiannually": "*-1,7-1 00:00",
    "semi-annually": "*-1,7-1 00:00",
    "yearly": "*-1-1 00:00",
    "annually": "*-1-1 00:00",
}
_SEARCH_DAYS = 366 * 8


class CalendarEvent(NamedTuple):
    """A parsed event: the values that each part may have."""

    weekdays: frozenset[int]
    years: frozenset[int] | None
    months: frozenset[int]
    days: frozenset[int]
    hours: tuple[int, ...]
    minutes: tuple[int, ...]


def parse_calendar_event(text: str) -> CalendarEvent | None:
    """The event, or None when the text is none."""
    words = _ALIASES.get(text.strip().lower(), text.strip().lower()).split()
    if not words or words[-1] == "utc":
        words = words[:-1]
    weekdays: frozenset[int] | None = frozenset(range(7))
    date = time = None
    for word in words:
        if re.match("[a-z]", word):
            weekdays = _parse_weekdays(word)
        elif "-" in word and date is None:
            date = word
        elif time is None:
            time = word
        else:
            return None
    if weekdays is None or (date is None and time is None and not words):
        return None
    return _combine(weekdays, date, time)


def _combine(weekdays: frozenset[int], date: str | None, time: str | None) -> CalendarEvent | None:
    parts = (date or "*-*-*").split("-")
    if len(parts) == 2:
        parts = ["*", *parts]
    clock = (time or "00:00").split(":")
    if len(clock) == 1:
        clock = ["*", *clock]
    if len(parts) != 3 or len(clock) not in (2, 3):
        return None
    years = None if parts[0] == "*" else _parse_values(parts[0], 1970, 2200)
    months, days = _parse_values(parts[1], 1, 12), _parse_values(parts[2], 1, 31)
    hours, minutes = _parse_values(clock[0], 0, 23), _parse_values(clock[1], 0, 59)
    if (parts[0] != "*" and years is None) or None in (months, days, hours, minutes):
        return None
    return CalendarEvent(
        weekdays,
        years,
        months or frozenset(),
        days or frozenset(),
        tuple(sorted(hours or ())),
        tuple(sorted(minutes or ())),
    )


def _parse_weekdays(word: str) -> frozenset[int] | None:
    found: set[int] = set()
    for part in word.split(","):
        first, _, last = part.partition("..")
        names = [name[:3] for name in (first, last or first)]
        if any(name not in _WEEKDAYS for name in names):
            return None
        start, end = (_WEEKDAYS.index(name) for name in names)
        if end < start:
            return None
        found.update(range(start, end + 1))
    return frozenset(found)


def _parse_values(text: str, lowest: int, highest: int) -> frozenset[int] | None:
    found: set[int] = set()
    for part in text.split(","):
        match = re.fullmatch(r"(\*|\d+(?:\.\.\d+)?)(?:/(\d+))?", part)
        if match is None or match[2] == "0":
            return None
        step = int(match[2] or 1)
        if match[1] == "*":
            start, end = lowest, highest
        else:
            first, dots, last = match[1].partition("..")
            start = int(first)
            end = int(last) if dots else (highest if match[2] else start)
        if not lowest <= start <= end <= highest:
            return None
        found.update(range(start, end + 1, step))
    return frozenset(found)


def next_event(event: CalendarEvent, after: float) -> int | None:
    """The first moment later than `after` (seconds since the epoch), or None: never again."""
    start = datetime.fromtimestamp(after, UTC).replace(second=0, microsecond=0)
    start += timedelta(minutes=1)
    day = start.replace(hour=0, minute=0)
    for _ in range(_SEARCH_DAYS):
        if _is_day(event, day):
            for hour in event.hours:
                for minute in event.minutes:
                    moment = day.replace(hour=hour, minute=minute)
                    if moment >= start:
                        return int(moment.timestamp())
        day += timedelta(days=1)
    return None


def _is_day(event: CalendarEvent, day: datetime) -> bool:
    return (
        day.weekday() in event.weekdays
        and day.month in event.months
        and day.day in event.days
        and (event.years is None or day.year in event.years)
    )
