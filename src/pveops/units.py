"""Quantities as people write and read them."""

from __future__ import annotations

_BINARY = ("B", "KiB", "MiB", "GiB", "TiB", "PiB")
_STEP = 1024.0
_TEN = 10.0

MINUTE_S = 60
HOUR_S = 3600
DAY_S = 86_400


def format_bytes(count: float) -> str:
    """`count` bytes in the largest binary unit that keeps at least one whole: `1.5 GiB`."""
    size, unit = float(count), 0
    while abs(size) >= _STEP and unit < len(_BINARY) - 1:
        size /= _STEP
        unit += 1
    if unit == 0:
        return f"{int(size)} B"
    return f"{size:.1f} {_BINARY[unit]}" if abs(size) < _TEN else f"{size:.0f} {_BINARY[unit]}"


def format_duration(seconds: float) -> str:
    """`seconds` in the largest unit that fits, rounded down: `41d`, `3h`, `12m`, `5s`."""
    whole = int(seconds)
    for size, unit in ((DAY_S, "d"), (HOUR_S, "h"), (MINUTE_S, "m")):
        if whole >= size:
            return f"{whole // size}{unit}"
    return f"{max(0, whole)}s"


def format_percent(share: float) -> str:
    """A share between 0 and 1 as whole per cent: `87%`."""
    return f"{100 * share:.0f}%"
