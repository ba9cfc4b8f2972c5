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


def format_utc(seconds: float, pattern: str = "%Y-%m-%dT%H:%MZ") -> str:
    """Seconds since the epoch in UTC: `2026-11-24T10:50Z`; of what is no time, a word."""
    import time

    try:
        return time.strftime(pattern, time.gmtime(seconds))
    except (OverflowError, ValueError, OSError):
        return "an unknown time"


def format_percent(share: float) -> str:
    """A share between 0 and 1 as whole per cent: `87%`."""
    return f"{100 * share:.0f}%"


def parse_mib(text: str) -> int | None:
    """The MiB that `4096`, `512M`, `4G` or `4GiB` spell, or None."""
    number = text.strip().upper().removesuffix("IB").removesuffix("B")
    factor = {"M": 1, "G": 1024, "T": 1024 * 1024}.get(number[-1:], 0)
    digits = number[:-1] if factor else number
    if not digits.isascii() or not digits.isdecimal():
        return None
    return int(digits) * (factor or 1)


def whole_number(value: object, default: int) -> int:
    """A parameter as a whole number; what is not given, or is none, is the default."""
    return value if isinstance(value, int) and not isinstance(value, bool) else default


_SIZE_UNITS = {"K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40}


def parse_size(text: str) -> int | None:
    """The bytes that `32G`, `1.5T`, `528K`, `100GiB` or `4096` (bytes) spell, or None."""
    number = text.strip().upper().removesuffix("IB").removesuffix("B")
    factor = _SIZE_UNITS.get(number[-1:], 1)
    digits = number[:-1] if factor > 1 else number
    whole, _, fraction = digits.partition(".")
    if not (digits.isascii() and whole.isdecimal() and (fraction or "0").isdecimal()):
        return None
    return round(float(digits) * factor)


def format_size(count: int) -> str:
    """`count` bytes exactly, as PVE writes and takes sizes: `32G`, `1536M`, `528K`."""
    for unit in ("T", "G", "M", "K"):
        size = _SIZE_UNITS[unit]
        if count and count % size == 0:
            return f"{count // size}{unit}"
    return str(count)
