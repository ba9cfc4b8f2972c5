"""The `Date` header of HTTP, which tells the server's clock."""

from __future__ import annotations

_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_FIELDS = 6


def parse_http_date(text: str) -> float | None:
    """`Tue, 24 Nov 2026 10:39:39 GMT` as seconds since the epoch; None for anything else."""
    import calendar

    fields = text.replace(",", " ").split()
    if len(fields) != _FIELDS or fields[2] not in _MONTHS or fields[5] != "GMT":
        return None
    try:
        hour, minute, second = (int(part) for part in fields[4].split(":"))
        day, year = int(fields[1]), int(fields[3])
        return float(
            calendar.timegm((year, _MONTHS.index(fields[2]) + 1, day, hour, minute, second))
        )
    except ValueError:
        return None
