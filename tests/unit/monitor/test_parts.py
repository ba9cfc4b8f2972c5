"""Slow looks between two runs, and at two runs at once."""

from __future__ import annotations

import pytest

from pveops.monitor.parts import Part, Sight, SlowLook, merge_parts, tell_problems

HOUR = 3600
LOOK = SlowLook("drives/pve1", "drives", "pve1", 6 * HOUR, lambda _scene: Sight())


@pytest.mark.parametrize(
    ("part", "is_due"),
    [
        (None, True),
        (Part(read=100_000, tried=100_000), False),
        (Part(read=100_000 - 6 * HOUR, tried=100_000 - 6 * HOUR), True),
        (Part(read=100_010 - 6 * HOUR, tried=100_010 - 6 * HOUR), True),
        (Part(read=0, tried=99_000, problem="busy"), False),
        (Part(read=0, tried=98_200, problem="busy"), True),
    ],
)
def test_a_look_is_due_when_its_time_has_come_or_its_last_try_failed(
    part: Part | None, is_due: bool
) -> None:
    """A scheduler may be some seconds early."""
    assert LOOK.is_due(part, 100_000) is is_due


def test_of_two_runs_at_once_the_newer_sight_counts() -> None:
    old, new = Part(read=1, tried=1), Part(read=2, tried=2)
    merged = merge_parts({"a": old, "b": new}, {"a": new, "b": old, "gone": new})
    assert merged == {"a": new, "b": new}


def test_places_with_the_same_problem_are_told_together() -> None:
    looks = [LOOK._replace(key=f"drives/pve{n}", node=f"pve{n}") for n in (1, 2, 3)]
    parts = {look.key: Part(problem="busy") for look in looks[:2]}
    assert list(tell_problems(looks, parts)) == ["drives of pve1, pve2: busy"]
