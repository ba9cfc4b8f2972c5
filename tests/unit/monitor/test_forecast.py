"""When a storage is full: told when it grows steadily, and not told when nobody can know."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pveops.monitor.forecast import Forecast, forecast_full
from pveops.units import DAY_S, HOUR_S

GIB = 1 << 30
NOW = 1_800_000_000


def _line(
    start: float, a_day: float, *, days: float = 7, step_s: int = 1800, noise: float = 0
) -> list[tuple[int, float]]:
    """So many days up to now, in bytes."""
    chance = random.Random(7)
    count = int(days * DAY_S / step_s)
    return [
        (
            NOW - (count - index) * step_s,
            (start + a_day * index * step_s / DAY_S + chance.gauss(0, noise)) * GIB,
        )
        for index in range(count)
    ]


def _foresee(points: list[tuple[int, float]], capacity: float = 100) -> Forecast:
    forecast = forecast_full(points, capacity * GIB, NOW)
    assert forecast is not None
    return forecast


@pytest.mark.parametrize("step_s", [60, 1800, 3 * HOUR_S])
def test_steady_growth_is_foreseen(step_s: int) -> None:
    """70 GiB after a week of 1 GiB a day, so 30 days are left; at each resolution of PVE's."""
    forecast = _foresee(_line(63, 1, step_s=step_s, noise=0.05))
    assert forecast.is_sure
    assert forecast.seconds == pytest.approx(30 * DAY_S, rel=0.03)
    assert forecast.growth_bytes_s * DAY_S == pytest.approx(GIB, rel=0.05)


def test_a_moved_disk_is_no_growth() -> None:
    points = _line(40, 0, noise=0.02)
    jumped = [(time, use + (30 * GIB if time > NOW - 2 * DAY_S else 0)) for time, use in points]
    assert not _foresee(jumped).is_sure


def test_what_is_pruned_each_night_is_not_told_as_filling() -> None:
    points = [
        (time, (50 + 20 * ((time % DAY_S) / DAY_S)) * GIB) for time, _ in _line(0, 0, days=7)
    ]
    assert _foresee(points).seconds is None


def test_noise_alone_is_no_growth() -> None:
    assert not _foresee(_line(50, 0, noise=5)).is_sure


def test_what_empties_does_not_fill() -> None:
    forecast = _foresee(_line(90, -2))
    assert forecast.seconds is None
    assert forecast.growth_bytes_s < 0


def test_growth_that_has_stopped_is_weak() -> None:
    grown = _line(40, 5, days=4)
    ended = grown[-1][1]
    shifted = [(time - 3 * DAY_S, use) for time, use in grown]
    still = [(time, ended) for time, _ in _line(0, 0, days=3)]
    assert not _foresee(shifted + still).is_sure


def test_what_is_full_is_full_now() -> None:
    assert _foresee(_line(100, 0)).seconds == 0


def test_what_lies_too_far_ahead_is_not_told() -> None:
    forecast = _foresee(_line(1, 0.01))
    assert forecast.seconds is None
    assert forecast.horizon_s <= 8 * 7 * DAY_S


@pytest.mark.parametrize(
    "points",
    [
        [],
        _line(50, 1, days=0.2),
        _line(50, 1)[:8],
        _line(50, 1)[:200],
        _line(50, 1)[:10] + _line(50, 1)[-10:],
    ],
    ids=["none", "five hours", "eight points", "old", "a hole"],
)
def test_too_little_is_unknown(points: list[tuple[int, float]]) -> None:
    assert forecast_full(points, 100 * GIB, NOW) is None


def test_without_a_capacity_nothing_is_known() -> None:
    assert forecast_full(_line(50, 1), 0, NOW) is None


@given(
    st.lists(
        st.tuples(st.integers(NOW - 40 * DAY_S, NOW + DAY_S), st.floats(0, 2**50)), max_size=150
    ),
    st.floats(0, 2**50),
)
def test_whatever_was_measured_there_is_an_answer(
    points: list[tuple[int, float]], capacity: float
) -> None:
    forecast = forecast_full(points, capacity, NOW)
    assert forecast is None or forecast.seconds is None or forecast.seconds >= 0
    assert forecast is None or 0 <= forecast.steadiness <= 1
