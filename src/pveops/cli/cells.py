"""Values as they stand in a cell, in text and on a terminal alike."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pveops.cli.answer import Column
from pveops.units import format_bytes, format_duration, format_percent, format_utc

SEVERITIES = {"block": "PROBLEM", "warn": "warning", "info": "note"}
"""What alerts are called, wherever one stands in words."""


def cell(column: Column, item: Mapping[str, Any]) -> str:
    """One value in words; empty for what is not known."""
    value = item.get(column.key)
    if value is None or value == "":
        return ""
    if column.kind == "flag":
        return "yes" if value else ""
    if column.kind == "severity":
        return SEVERITIES.get(str(value), str(value))
    if column.kind == "text":
        return _text(value)
    if not isinstance(value, int | float):
        return str(value)
    if column.kind == "bytes":
        return format_bytes(value)
    if column.kind == "percent":
        return format_percent(value)
    if column.kind == "duration":
        return format_duration(value)
    if column.kind == "time":
        return format_utc(value)
    return f"{value:g}" if isinstance(value, float) else str(value)


def count_of(number: int, noun: str) -> str:
    """`1 guest`, `2 guests`."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def first_of(names: Sequence[str], most: int = 8) -> str:
    """The first of many, by comma, and how many there are more."""
    told = ",".join(names[:most])
    return f"{told} and {len(names) - most} more" if len(names) > most else told


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list | tuple):
        return ",".join(str(part) for part in value)
    return " ".join(str(value).split())
