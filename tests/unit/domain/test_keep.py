"""Retentions, as PVE writes and compares them."""

from __future__ import annotations

import pytest

from pveops.domain.keep import format_keep, keeps_less, parse_keep


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("keep-last=3,keep-daily=7", "keep-last=3,keep-daily=7"),
        ({"keep-daily": "7", "keep-last": 3}, "keep-last=3,keep-daily=7"),
        ("keep-all=1", "keep-all=1"),
        ("keep-all=1,keep-last=3", "keep-all=1"),
        ("keep-last=0,keep-weekly=2", "keep-weekly=2"),
        ("", "keep-all=1"),
        (None, "keep-all=1"),
    ],
)
def test_both_forms_are_one(value: object, text: str) -> None:
    """Requests take text; answers of 8 and 9 have objects (`prune-backups` as recorded)."""
    assert format_keep(parse_keep(value)) == text


@pytest.mark.parametrize(
    ("old", "new", "is_less"),
    [
        ("keep-all=1", "keep-last=99", True),
        ("keep-last=3", "keep-all=1", False),
        ("keep-last=3", "keep-last=3", False),
        ("keep-last=3", "keep-last=4,keep-daily=1", False),
        ("keep-last=3,keep-weekly=1", "keep-last=9", True),
        ("keep-daily=7", "keep-daily=6,keep-last=50", True),
    ],
)
def test_less_is_kept_when_any_rule_shrinks(old: str, new: str, is_less: bool) -> None:
    assert keeps_less(parse_keep(old), parse_keep(new)) is is_less
