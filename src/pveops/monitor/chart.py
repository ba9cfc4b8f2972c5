"""What a picture shows, before it is drawn: lines in one unit, a range of time, ticks. Pure.

The same chart is drawn as a PNG (`plot`), as blocks in a terminal (`blocks`) and small in a page
(`sparkline`).
"""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

from pveops.domain.rrd import Measured
from pveops.monitor.measures import Metric, Unit
from pveops.units import DAY_S, HOUR_S, MINUTE_S

_BINARY = ("B", "KiB", "MiB", "GiB", "TiB", "PiB")
_STEP = 1024.0
_TICK_STEPS = (
    *(MINUTE_S * count for count in (1, 2, 5, 10, 15, 20, 30)),
    *(HOUR_S * count for count in (1, 2, 3, 4, 6, 12)),
    *(DAY_S * count for count in (1, 2, 5, 7, 14, 30, 60, 90)),
)
_CURRENT_STEPS = 4
"""What was measured so many steps ago is what is now; the newest rows are often empty."""
_GAP_STEPS = 1.5
"""A distance of so many steps is a gap."""


class Line(NamedTuple):
    """One line, in the chart's unit. None: not measured."""

    label: str
    points: tuple[tuple[int, float | None], ...]

    @property
    def known(self) -> tuple[float, ...]:
        """What was measured."""
        return tuple(value for _, value in self.points if value is not None)


class Summary(NamedTuple):
    """A line in numbers."""

    least: float
    average: float
    most: float
    last: float
    missing: int
    """Moments that were not measured."""


class Chart(NamedTuple):
    """One picture. start, end: seconds since the epoch. ceiling: how much there is, if known."""

    what: str
    """What is on the vertical axis, in words."""
    unit: str
    """`%`, `GiB`, `MiB/s`; empty for plain numbers."""
    lines: tuple[Line, ...]
    start: int
    end: int
    step_s: int
    ceiling: float | None = None

    @property
    def axis(self) -> str:
        """`memory in use (GiB)`."""
        return f"{self.what} ({self.unit})" if self.unit else self.what

    def tell(self, value: float) -> str:
        """A number with its unit: `15%`, `2.4 GiB`."""
        unit = self.unit if self.unit in {"%", ""} else f" {self.unit}"
        return f"{format_number(value)}{unit}"

    @property
    def is_empty(self) -> bool:
        """Nothing at all was measured."""
        return not any(line.known for line in self.lines)

    @property
    def top(self) -> float:
        """A round number above everything that is drawn."""
        most = max((max(line.known) for line in self.lines if line.known), default=0.0)
        if self.ceiling:
            return max(most, self.ceiling)
        return round_up(most * 1.05) if most > 0 else 1.0

    @property
    def gaps(self) -> tuple[tuple[int, int], ...]:
        """From when to when nothing of any line was measured."""
        known = sorted(
            {at for line in self.lines for at, value in line.points if value is not None}
        )
        edges = [self.start - self.step_s, *known, self.end]
        limit = _GAP_STEPS * max(1, self.step_s)
        return tuple(
            (max(self.start, sooner + self.step_s), later)
            for sooner, later in pairwise(edges)
            if later - sooner - (self.step_s if later == self.end else 0) > limit
        )


def make_chart(
    metric: Metric, subjects: Sequence[tuple[str, Measured]], start: int, end: int
) -> Chart:
    """The chart of one metric; of several subjects each is a line, called by its label.

    A ceiling is shown where all subjects have the same one.
    """
    raw: list[tuple[str, tuple[tuple[int, float | None], ...]]] = []
    ceilings: set[float] = set()
    for label, measured in subjects:
        within = measured.since(start)
        for curve in metric.curves:
            raw.append((curve.label or label, within.series(curve.member)))
        newest = within.points(metric.ceiling)[-1:] if metric.ceiling else ()
        ceilings |= {value for _, value in newest} or {0.0}
    ceiling = next(iter(ceilings)) if len(ceilings) == 1 else 0.0
    most = max((v for _, points in raw for _, v in points if v is not None), default=0.0)
    factor, unit = scale_of(metric.unit, max(most, ceiling))
    lines = tuple(
        Line(label, tuple((at, None if v is None else v * factor) for at, v in points))
        for label, points in raw
    )
    step = next((found for _, each in subjects if (found := each.since(start).step_s)), 0)
    return Chart(metric.words, unit, lines, start, end, step, ceiling * factor or None)


def scale_of(unit: Unit, most: float) -> tuple[float, str]:
    """By what to multiply, and the unit that then is right for numbers up to `most`."""
    if unit in {"share", "percent"}:
        return (100.0 if unit == "share" else 1.0), "%"
    if unit == "load":
        return 1.0, ""
    index, size = 0, most
    while size >= _STEP and index < len(_BINARY) - 1:
        size /= _STEP
        index += 1
    return 1 / _STEP**index, _BINARY[index] + ("/s" if unit == "rate" else "")


def summarize(line: Line) -> Summary | None:
    """The line in numbers; None: nothing was measured."""
    known = line.known
    if not known:
        return None
    missing = len(line.points) - len(known)
    return Summary(min(known), sum(known) / len(known), max(known), known[-1], missing)


def tell_numbers(chart: Chart, line: Line) -> tuple[str, ...]:
    """`min 2.4%`, `avg 9.2%`, `max 15%`, `last 9.3%`; nothing when nothing was measured.

    What ended a while ago is told as off now, and not by its last number.
    """
    found = summarize(line)
    if found is None:
        return ()
    newest = max(at for at, value in line.points if value is not None)
    is_old = chart.end - newest > _CURRENT_STEPS * max(MINUTE_S, chart.step_s)
    last = "now not measured" if is_old else f"last {chart.tell(found.last)}"
    return (
        f"min {chart.tell(found.least)}",
        f"avg {chart.tell(found.average)}",
        f"max {chart.tell(found.most)}",
        last,
    )


_SMALL = 0.1


def format_number(value: float) -> str:
    """Three digits that count: `0.04`, `7.3`, `73`, `730`."""
    size = abs(value)
    if size >= 100 or value == int(value):
        return f"{value:.0f}"
    if size >= 10:
        return f"{value:.1f}".removesuffix(".0")
    small = f"{value:.2g}" if size < _SMALL else ""
    if small and "e" not in small:
        return small
    return f"{value:.2f}".rstrip("0").rstrip(".")


def round_up(value: float) -> float:
    """The next of 1, 1.5, 2, 2.5, 3, 4, 5, 6, 8 times a power of ten."""
    if value <= 0:
        return 1.0
    power = 10.0 ** math.floor(math.log10(value))
    for step in (1, 1.5, 2, 2.5, 3, 4, 5, 6, 8, 10):
        if value <= step * power * (1 + 1e-9):
            return step * power
    return 10 * power


def list_ticks(start: int, end: int, most: int = 6) -> tuple[tuple[int, str], ...]:
    """Round moments between the two, with their labels in UTC; at most so many."""
    span = max(1, end - start)
    step = next((each for each in _TICK_STEPS if span / each <= most), _TICK_STEPS[-1])
    moments = range(-(-start // step) * step, end + 1, step)
    return tuple((at, _label(at, step)) for at in moments)[:most]


def _label(at: int, step: int) -> str:
    moment = time.gmtime(at)
    if step >= DAY_S or at % DAY_S == 0:
        return time.strftime("%d %b", moment).lstrip("0")
    return time.strftime("%H:%M", moment)


def format_range(start: int, end: int) -> str:
    """`24 Nov 2026 10:48 to 25 Nov 10:48 UTC`; the year once."""
    first, last = time.gmtime(start), time.gmtime(end)
    pattern = "%d %b %Y %H:%M"
    left = time.strftime(pattern, first).lstrip("0")
    if first[:3] == last[:3]:
        return f"{left} to {time.strftime('%H:%M', last)} UTC"
    pattern = "%d %b %H:%M" if first.tm_year == last.tm_year else pattern
    return f"{left} to {time.strftime(pattern, last).lstrip('0')} UTC"
