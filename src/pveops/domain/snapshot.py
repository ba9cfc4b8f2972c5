"""Snapshots of guests, and which of them to let go."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, NamedTuple

from pveops.domain.rows import Row, flag_of, int_of, object_of, rows_of, text_of
from pveops.units import format_utc

if TYPE_CHECKING:
    from pveops.api.client import Client
    from pveops.domain.guest import GuestRef

MARK = "made by pveops"
"""How the description of a snapshot begins that we made; PVE keeps nothing else about it."""


class Snapshot(NamedTuple):
    """A snapshot of a guest. Its description is text that others wrote, so it is not kept."""

    name: str
    parent: str
    snaptime: int
    """Seconds since the epoch."""
    has_memory: bool
    state: str
    """Empty when it is whole; `prepare` or `delete` when a task left it half-way."""
    is_ours: bool


class Snapshots(NamedTuple):
    """All snapshots of a guest, the oldest first, and the one that the present derives from."""

    all: tuple[Snapshot, ...]
    parent: str

    def find(self, name: str) -> Snapshot | None:
        """The snapshot of that name."""
        return next((snapshot for snapshot in self.all if snapshot.name == name), None)

    def newer_than(self, snapshot: Snapshot) -> tuple[Snapshot, ...]:
        """Those that were taken later, the oldest first."""
        return tuple(other for other in self.all if other.snaptime > snapshot.snaptime)


def read_snapshots(client: Client, ref: GuestRef) -> Snapshots:
    """One request."""
    return snapshots_of(rows_of(client.get(ref.path("snapshot"))))


def snapshots_of(rows: Iterable[Row]) -> Snapshots:
    """The rows of `/snapshot`; the row `current` tells where the present state comes from."""
    found, parent = [], ""
    for row in rows:
        if row.get("name") == "current":
            parent = text_of(row, "parent")
            continue
        found.append(
            Snapshot(
                name=text_of(row, "name"),
                parent=text_of(row, "parent"),
                snaptime=int_of(row, "snaptime"),
                has_memory=flag_of(row, "vmstate"),
                state=text_of(row, "snapstate"),
                is_ours=text_of(row, "description").startswith(MARK),
            )
        )
    found.sort(key=lambda snapshot: (snapshot.snaptime, snapshot.name))
    return Snapshots(tuple(found), parent)


def read_can_snapshot(client: Client, ref: GuestRef) -> bool:
    """Whether every disk of the guest can be snapshotted, by PVE's own check. One request."""
    answer = object_of(client.get(ref.path("feature"), {"feature": "snapshot"}))
    return flag_of(answer, "hasFeature")


class Retention(NamedTuple):
    """Which snapshots to keep, as PVE keeps backups (PVE::Storage, prune_mark_backup_group)."""

    last: int = 0
    hourly: int = 0
    daily: int = 0
    weekly: int = 0
    monthly: int = 0

    @property
    def keeps_something(self) -> bool:
        """Whether any rule was given."""
        return any(self)


def _week(moment: str) -> str:
    import datetime

    year, week, _ = datetime.date.fromisoformat(moment[:10]).isocalendar()
    return f"{year}-{week:02}"


_PERIODS: tuple[tuple[str, Callable[[str], str]], ...] = (
    ("hourly", lambda moment: moment[:13]),
    ("daily", lambda moment: moment[:10]),
    ("weekly", _week),
    ("monthly", lambda moment: moment[:7]),
)


def choose_kept(snapshots: Iterable[Snapshot], keep: Retention) -> frozenset[str]:
    """The names that the rules keep: the newest ones, then the newest of each period (UTC).

    A period that an earlier rule has kept one of is not counted again, as in PVE.
    """
    newest_first = sorted(snapshots, key=lambda each: (each.snaptime, each.name), reverse=True)
    kept = {snapshot.name for snapshot in newest_first[: keep.last]}
    for rule, period_of in _PERIODS:
        wanted = getattr(keep, rule)
        moments = {
            each.name: period_of(format_utc(each.snaptime, "%Y-%m-%dT%H")) for each in newest_first
        }
        covered = {moments[name] for name in kept}
        for snapshot in newest_first:
            if wanted <= 0:
                break
            period = moments[snapshot.name]
            if period not in covered:
                covered.add(period)
                kept.add(snapshot.name)
                wanted -= 1
    return frozenset(kept)
