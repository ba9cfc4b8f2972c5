"""From the API's loosely typed rows to values.

PVE's JSON types drift between versions ("101" for 101, "" for nothing), so numbers are
taken from either form and what does not fit becomes the default, never an exception: one odd
row must not hide a cluster.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

Row = Mapping[str, Any]
_TOO_LARGE = 1 << 63


def text_of(row: Row, key: str, default: str = "") -> str:
    """The member as text; numbers are written out."""
    value = row.get(key)
    if isinstance(value, str):
        return value
    return default if value is None or isinstance(value, list | dict) else str(value)


def int_of(row: Row, key: str, default: int = 0) -> int:
    """The member as a whole number of at most 64 bits, as all of PVE's are."""
    value = row.get(key)
    if value in (None, "") or isinstance(value, list | dict):
        return default
    try:
        number = int(value) if isinstance(value, int) else int(float(value))
    except (TypeError, ValueError, OverflowError):
        return default
    return number if abs(number) < _TOO_LARGE else default


def float_of(row: Row, key: str, default: float = 0.0) -> float:
    """The member as a number."""
    value = row.get(key)
    try:
        return float(value) if value not in (None, "") else default
    except (TypeError, ValueError):
        return default


def flag_of(row: Row, key: str) -> bool:
    """The member as a boolean: 1, "1", true."""
    return row.get(key) in (1, "1", True)


def texts_of(row: Row, key: str) -> tuple[str, ...]:
    """The texts in the member; of anything else than a list, none."""
    value = row.get(key)
    return (
        tuple(each for each in value if isinstance(each, str)) if isinstance(value, list) else ()
    )


def rows_of(data: Any) -> list[Row]:
    """The objects in a list; anything else is no row."""
    return [row for row in data if isinstance(row, Mapping)] if isinstance(data, list) else []


def object_of(data: Any) -> Row:
    """The object itself, or an empty one."""
    return data if isinstance(data, Mapping) else {}
