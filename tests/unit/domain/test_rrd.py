"""What rrddata says: missing is unknown, moments come once and in order."""

from __future__ import annotations

import pytest

from pveops.domain.rrd import measured_of, number_of, step_of, timeframe_for
from pveops.units import DAY_S, HOUR_S


def test_a_member_that_is_missing_was_not_measured_and_is_no_zero() -> None:
    measured = measured_of(
        [{"time": 60, "cpu": 0.5}, {"time": 120}, {"time": 180, "cpu": 0, "maxcpu": None}]
    )
    assert measured.series("cpu") == ((60, 0.5), (120, None), (180, 0.0))
    assert measured.points("cpu") == ((60, 0.5), (180, 0.0))
    assert measured.members == {"cpu"}


def test_rows_of_an_upgraded_node_are_put_in_order_each_moment_once() -> None:
    """PVE::RRD answers the old database first, up to its end, then the new one from there on."""
    old = [{"time": time, "used": 1} for time in range(0, 7200, 1800)]
    new = [{"time": time, "used": 2} for time in range(5400, 7201, 60)]
    measured = measured_of([*old, *new])
    assert list(measured.times) == sorted(set(measured.times))
    assert measured.points("used")[0] == (1800, 1.0)
    assert dict(measured.points("used"))[5400] == 2.0
    assert measured.step_s == 60


@pytest.mark.parametrize(
    "odd", [None, True, "", "nan", "inf", -1, 1e300, [], {}, "U", float("nan")]
)
def test_what_could_not_have_been_measured_is_no_number(odd: object) -> None:
    assert number_of(odd) is None


@pytest.mark.parametrize(("odd", "number"), [("0.25", 0.25), (3, 3.0), ("7", 7.0), (0, 0.0)])
def test_numbers_come_as_text_too(odd: object, number: float) -> None:
    assert number_of(odd) == number


def test_rows_without_a_moment_are_left_out() -> None:
    assert measured_of([{"cpu": 1}, {"time": "soon"}, {"time": -60}]).times == ()


@pytest.mark.parametrize(
    ("span_s", "timeframe"),
    [
        (600, "hour"),
        (HOUR_S, "hour"),
        (HOUR_S + 1, "day"),
        (DAY_S, "day"),
        (2 * DAY_S, "week"),
        (8 * DAY_S, "month"),
        (31 * DAY_S, "year"),
        (4000 * DAY_S, "year"),
    ],
)
def test_the_timeframe_reaches_back_far_enough(span_s: int, timeframe: str) -> None:
    assert timeframe_for(span_s) == timeframe


def test_the_step_is_the_usual_one_whatever_gaps_there_are() -> None:
    assert step_of([0, 60, 120, 7200, 7260]) == 60
    assert step_of([5]) == 0


def test_older_rows_can_be_cut_off() -> None:
    measured = measured_of([{"time": time, "cpu": 0.1} for time in (60, 120, 180)])
    assert measured.since(120).times == (120, 180)
