"""Retentions: how many backups PVE keeps.

`prune-backups` of jobs and storages (PVE::Storage, prune_mark_backup_group).
"""

from __future__ import annotations

from collections.abc import Mapping

from pveops.domain.rows import Row, int_of

PERIODS = ("last", "hourly", "daily", "weekly", "monthly", "yearly")

Keep = Mapping[str, int]
"""Period -> how many; empty: everything is kept."""


def parse_keep(value: object) -> Keep:
    """`keep-last=3,keep-daily=7`, or the object that PVE makes of it. Rules of 0 say nothing."""
    if isinstance(value, str):
        pairs = (part.partition("=") for part in value.split(",") if part)
        row: Row = {key.strip(): text.strip() for key, _, text in pairs}
    else:
        row = value if isinstance(value, Mapping) else {}
    if int_of(row, "keep-all"):
        return {}
    found = {period: int_of(row, f"keep-{period}") for period in PERIODS}
    return {period: count for period, count in found.items() if count > 0}


def keep_of(params: Mapping[str, object]) -> Keep:
    """The retention among an operation's parameters, `keep_last` and the like."""
    return parse_keep({f"keep-{period}": params.get(f"keep_{period}") for period in PERIODS})


def format_keep(keep: Keep) -> str:
    """As PVE takes it: `keep-last=3,keep-daily=7`."""
    if not keep:
        return "keep-all=1"
    return ",".join(f"keep-{period}={keep[period]}" for period in PERIODS if period in keep)


def keeps_less(old: Keep, new: Keep) -> bool:
    """Whether the new rules may let go of what the old ones keep."""
    if not new:
        return False
    return not old or any(new.get(period, 0) < count for period, count in old.items())
