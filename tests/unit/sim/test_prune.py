"""Retention of backups (PVE::Storage::prune_mark_backup_group)."""

from __future__ import annotations

from pveops.sim.prune import mark_backups, parse_keep
from pveops.sim.volume import Volume

_DAY = 86400
_START = 1_800_000_000 // _DAY * _DAY


def _backups(*ages_h: int, vmid: int = 100) -> list[Volume]:
    return [
        Volume(
            "local",
            f"backup/{vmid}-{age}",
            "backup",
            "vma.zst",
            1,
            1,
            _START - age * 3600,
            vmid,
            subtype="qemu",
        )
        for age in ages_h
    ]


def _kept(volumes: list[Volume], keep: str) -> list[int]:
    rows = mark_backups(volumes, parse_keep(keep))
    return [i for i, row in enumerate(rows) if row["mark"] == "keep"]


def test_the_last_ones_are_kept_for_each_guest() -> None:
    volumes = _backups(1, 2, 3) + _backups(4, 5, vmid=200)
    assert _kept(volumes, "keep-last=2") == [0, 1, 3, 4]


def test_the_newest_of_a_day_stands_for_it() -> None:
    assert _kept(_backups(1, 2, 25, 26, 49), "keep-daily=2") == [0, 2]


def test_a_period_does_not_count_what_an_earlier_rule_keeps() -> None:
    assert _kept(_backups(1, 2, 25, 49), "keep-last=1,keep-daily=1") == [0, 2]


def test_keep_all_removes_nothing() -> None:
    assert _kept(_backups(1, 2, 3), "keep-all=1") == [0, 1, 2]


def test_a_protected_backup_is_neither_kept_nor_removed() -> None:
    volumes = _backups(1, 2)
    volumes[1].is_protected = True
    marks = [row["mark"] for row in mark_backups(volumes, parse_keep("keep-last=1"))]
    assert marks == ["keep", "protected"]
