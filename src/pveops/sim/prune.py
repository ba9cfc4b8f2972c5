"""Which backups a retention keeps (PVE::Storage::prune_mark_backup_group)."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from typing import Any

from pveops.sim.volume import Volume

_PERIODS: tuple[tuple[str, Callable[[datetime], str]], ...] = (
    ("keep-last", lambda time: str(time.timestamp())),
    ("keep-hourly", lambda time: time.strftime("%Y-%m-%d %H")),
    ("keep-daily", lambda time: time.strftime("%Y-%m-%d")),
    ("keep-weekly", lambda time: time.strftime("%G-%V")),
    ("keep-monthly", lambda time: time.strftime("%Y-%m")),
    ("keep-yearly", lambda time: time.strftime("%Y")),
)


def parse_keep(text: str) -> dict[str, int]:
    """`keep-last=3,keep-daily=7` as numbers."""
    pairs = (part.partition("=") for part in text.split(",") if part)
    return {key.strip(): int(value) for key, _, value in pairs}


def mark_backups(backups: Iterable[Volume], keep: dict[str, int]) -> list[dict[str, Any]]:
    """A row for each backup with its mark: keep, remove or protected."""
    rows = [
        {
            "volid": volume.volid,
            "ctime": volume.ctime,
            "type": volume.subtype or "unknown",
            "vmid": volume.vmid,
            "mark": "protected" if volume.is_protected else None,
        }
        for volume in backups
    ]
    groups: dict[tuple[Any, Any], list[dict[str, Any]]] = {}
    for row in rows:
        groups.setdefault((row["type"], row["vmid"]), []).append(row)
    for group in groups.values():
        _mark_group(group, keep)
    return rows


def _mark_group(group: list[dict[str, Any]], keep: dict[str, int]) -> None:
    limits = {name: count for name, count in keep.items() if name != "keep-all" and count > 0}
    if keep.get("keep-all") or not limits:
        for row in group:
            row["mark"] = row["mark"] or "keep"
        return
    newest_first = sorted(group, key=lambda row: -row["ctime"])
    for name, period in _PERIODS:
        if name in limits:
            _keep_by_period(newest_first, limits[name], period)
    for row in group:
        row["mark"] = row["mark"] or "remove"


def _keep_by_period(
    rows: list[dict[str, Any]], count: int, period: Callable[[datetime], str]
) -> None:
    """Keep the newest of each period that an earlier rule does not already cover."""
    covered = {_period_of(row, period) for row in rows if row["mark"] == "keep"}
    kept: set[str] = set()
    for row in rows:
        name = _period_of(row, period)
        if row["mark"] is not None or name in covered:
            continue
        if name in kept:
            row["mark"] = "remove"
            continue
        if len(kept) >= count:
            break
        row["mark"] = "keep"
        kept.add(name)


def _period_of(row: dict[str, Any], period: Callable[[datetime], str]) -> str:
    return period(datetime.fromtimestamp(row["ctime"], UTC))
