"""A chart as blocks in a terminal or a chat: an axis, a unit, gaps as gaps. Pure.

Each column is the average of its slice of time; eight heights a character.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from pveops.monitor.chart import Chart, Line, list_ticks, tell_numbers

_EIGHTHS = " ▁▂▃▄▅▆▇█"
_WIDTH = 48
_HEIGHT = 8
_LOW_HEIGHT = 4
"""Of each when there are several."""
_GAP = "·"


def draw_blocks(chart: Chart, width: int = _WIDTH) -> tuple[str, ...]:
    """The chart in lines of text; of several lines each has its own, on one scale."""
    height = _HEIGHT if len(chart.lines) == 1 else _LOW_HEIGHT
    shown: list[str] = []
    has_gaps = False
    for line in chart.lines:
        columns = slice_line(chart, line, width)
        has_gaps |= any(value is None for value in columns)
        if len(chart.lines) > 1:
            shown.append(line.label)
        shown += _draw(chart, columns, height)
        shown.append(_numbers(chart, line))
    if has_gaps:
        shown.append(f"{_GAP} not measured")
    return tuple(shown)


def slice_line(chart: Chart, line: Line, width: int) -> list[float | None]:
    """The averages of so many slices of the chart's time; None: not measured in it.

    Where a step of PVE's is longer than a slice, the slices that it covers are alike.
    """
    span = max(1, chart.end - chart.start)
    sums: list[float] = [0.0] * width
    counts = [0] * width
    for at, value in line.points:
        if value is None:
            continue
        first = (at - chart.start) * width // span
        last = (at + max(1, chart.step_s) - 1 - chart.start) * width // span
        for column in range(max(0, first), min(width - 1, last) + 1):
            sums[column] += value
            counts[column] += 1
    return [total / count if count else None for total, count in zip(sums, counts, strict=True)]


def _draw(chart: Chart, columns: Sequence[float | None], height: int) -> Iterator[str]:
    labels = [chart.tell(chart.top * part) for part in (1, 0.5, 0)]
    margin = max(map(len, labels))
    heights = [
        None if value is None else max(1, round(8 * height * value / chart.top))
        for value in columns
    ]
    for row in range(height - 1, -1, -1):
        label = {height - 1: labels[0], height // 2 - 1: labels[1]}.get(row, "")
        cells = "".join(_cell(each, row) for each in heights)
        yield f"{label:>{margin}} {'┤' if label else '│'}{cells}".rstrip()
    yield from _time_axis(chart, len(columns), margin, labels[2])


def _cell(height: int | None, row: int) -> str:
    if height is None:
        return _GAP if row == 0 else " "
    return _EIGHTHS[min(8, max(0, height - 8 * row))]


def _time_axis(chart: Chart, width: int, margin: int, zero: str) -> Iterator[str]:
    rule, names = ["─"] * width, [" "] * (width + 6)
    span = max(1, chart.end - chart.start)
    free_from = 0
    for at, name in list_ticks(chart.start, chart.end, most=5):
        column = min(width - 1, (at - chart.start) * width // span)
        begin = max(0, column - len(name) // 2)
        if begin < free_from:
            continue
        rule[column] = "┬"
        names[begin : begin + len(name)] = name
        free_from = begin + len(name) + 1
    yield f"{zero:>{margin}} └{''.join(rule)}"
    yield f"{'':>{margin}}  {''.join(names)}".rstrip() + " UTC"


def _numbers(chart: Chart, line: Line) -> str:
    parts = list(tell_numbers(chart, line))
    if not parts:
        return "nothing was measured"
    if chart.ceiling:
        parts.append(f"of {chart.tell(chart.ceiling)}")
    return "  ".join(parts)
