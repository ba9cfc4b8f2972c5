"""When is it full? A robust line through what was measured. Pure.

The line is Theil's and Sen's: its slope is the median of the slopes between all pairs of points,
so that a moved disk or a night's peak does not bend it. Its steadiness is Kendall's tau: 1 when
every later point is higher, 0 when up and down are as frequent. A use that goes up and down, as
of a storage that is pruned each night, is therefore told as not growing, and not as a forecast.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations, pairwise
from typing import Literal, NamedTuple

from pveops.units import DAY_S, HOUR_S

Confidence = Literal["good", "weak"]

_FEWEST_POINTS = 12
_SHORTEST_SPAN_S = 6 * HOUR_S
_MOST_POINTS = 96
"""Pairs grow with the square: medians of slices of time stand for more."""
_LARGEST_GAP = 0.5
"""Of the span: two clumps of points with nothing between them are no course."""
_OLDEST = 0.25
"""Of the span: where the newest point is older, what came after it is not known."""
_REACH = 8
"""A span of a week is good for a forecast of so many weeks."""
_LONGEST_S = 365 * DAY_S
_STEADY = 0.6
_ALIKE = 3.0
"""The newer half may grow so many times faster or slower than the whole."""
_NOISE = 1.5
"""Growth over the span, in median distances from the line, below which it is no growth."""


class Forecast(NamedTuple):
    """How the use of something goes on, if it goes on like this.

    seconds: from now until it is full; 0: it is; None: not within `horizon_s`.
    confidence: `good` when it grew steadily, in its newer half like in the whole; alerts keep
        silent about `weak` ones, and people are told that they are weak.
    growth_bytes_s: the slope, in units of the points a second; negative: it empties.
    steadiness: between 0 and 1.
    horizon_s: how far these data can foresee, in seconds.
    span_s: the time that they cover, in seconds.
    """

    seconds: float | None
    confidence: Confidence
    growth_bytes_s: float
    steadiness: float
    horizon_s: float
    span_s: float

    @property
    def is_sure(self) -> bool:
        """Good enough to wake somebody: it fills, and steadily."""
        return self.seconds is not None and self.confidence == "good"


class _Line(NamedTuple):
    slope: float
    level: float
    """Of the line at the newest point."""
    spread: float
    """The median distance of the points from the line."""
    steadiness: float


def forecast_full(
    points: Sequence[tuple[int, float]], capacity: float, now: int
) -> Forecast | None:
    """When `points` (seconds since the epoch, use) reach `capacity`, seen from `now`.

    None: it is not known. There are too few points, they cover less than six hours, have a large
    hole, are old, or nobody knows the capacity.
    """
    course = _thin(sorted(point for point in points if point[0] <= now))
    if capacity <= 0 or not _is_enough(course, now):
        return None
    span = float(course[-1][0] - course[0][0])
    whole = _fit(course)
    newer = _fit(course[len(course) // 2 :])
    horizon = min(_LONGEST_S, _REACH * span)
    is_growing = whole.slope > 0 and whole.slope * span > _NOISE * whole.spread
    seconds = _until(capacity, course, whole, now) if is_growing else None
    if course[-1][1] >= capacity:
        seconds = 0.0
    return Forecast(
        seconds=seconds if seconds is not None and seconds <= horizon else None,
        confidence="good" if _is_like(whole, newer) or seconds == 0 else "weak",
        growth_bytes_s=whole.slope,
        steadiness=abs(whole.steadiness),
        horizon_s=horizon,
        span_s=span,
    )


def _is_enough(course: Sequence[tuple[float, float]], now: int) -> bool:
    if len(course) < _FEWEST_POINTS:
        return False
    span = course[-1][0] - course[0][0]
    gap = max(later[0] - sooner[0] for sooner, later in pairwise(course))
    return (
        span >= _SHORTEST_SPAN_S
        and gap <= _LARGEST_GAP * span
        and now - course[-1][0] <= (_OLDEST * span)
    )


def _thin(points: Sequence[tuple[int, float]]) -> list[tuple[float, float]]:
    """At most so many points, each the medians of a slice of time."""
    if len(points) <= _MOST_POINTS:
        return [(float(time), float(value)) for time, value in points]
    start, end = points[0][0], points[-1][0]
    slices: dict[int, list[tuple[int, float]]] = {}
    for point in points:
        at = (point[0] - start) * _MOST_POINTS // max(1, end - start + 1)
        slices.setdefault(at, []).append(point)
    return [
        (_median([float(time) for time, _ in each]), _median([value for _, value in each]))
        for _, each in sorted(slices.items())
    ]


def _fit(course: Sequence[tuple[float, float]]) -> _Line:
    slopes = [
        (later[1] - sooner[1]) / (later[0] - sooner[0])
        for sooner, later in combinations(course, 2)
        if later[0] > sooner[0]
    ]
    slope = _median(slopes)
    newest = course[-1][0]
    levels = [value + slope * (newest - time) for time, value in course]
    level = _median(levels)
    ups = sum(each > 0 for each in slopes) - sum(each < 0 for each in slopes)
    spread = _median([abs(each - level) for each in levels])
    return _Line(slope, level, spread, ups / max(1, len(slopes)))


def _until(capacity: float, course: Sequence[tuple[float, float]], line: _Line, now: int) -> float:
    """From the higher of line and newest point: what jumped up is nearer to its end."""
    level = max(line.level, course[-1][1])
    return max(0.0, (capacity - level) / line.slope - (now - course[-1][0]))


def _is_like(whole: _Line, newer: _Line) -> bool:
    """Whether the growth is steady, and goes on as it was."""
    if whole.steadiness < _STEADY or newer.steadiness < _STEADY or newer.slope <= 0:
        return False
    return whole.slope / _ALIKE <= newer.slope <= whole.slope * _ALIKE


def _median(values: Sequence[float]) -> float:
    ordered = sorted(values)
    middle = len(ordered) // 2
    if len(ordered) % 2:
        return ordered[middle]
    return (ordered[middle - 1] + ordered[middle]) / 2
