"""Small pictures in a page: a course and a bar, as inline SVG without style attributes. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

_WIDTH, _HEIGHT = 140, 32
_PAD = 2
_SLICES = 56
_BAR_WIDTH, _BAR_HEIGHT = 110, 10


def draw_sparkline(
    points: Sequence[tuple[int, float | None]], label: str, *, top: float | None = 1.0
) -> str:
    """A course between 0 and `top`; None: and its own highest. Gaps stay gaps.

    label: escaped already; the picture's words, with its least and highest in percent.
    """
    slices = _slice(points)
    known = [value for value in slices if value is not None]
    if not known:
        return '<span class="unknown">not measured</span>'
    scale = top if top is not None else max(max(known) * 1.15, 0.01)
    words = f"{label}: {100 * min(known):.0f}% to {100 * max(known):.0f}%"
    shapes = "".join(_shapes(slices, scale))
    return (
        f'<svg class="spark" viewBox="0 0 {_WIDTH} {_HEIGHT}" width="{_WIDTH}" '
        f'height="{_HEIGHT}" role="img" aria-label="{words}"><title>{words}</title>'
        f'<line class="base" x1="0" x2="{_WIDTH}" y1="{_HEIGHT - 0.5}" y2="{_HEIGHT - 0.5}"/>'
        f"{shapes}</svg>"
    )


def draw_bar(share: float, label: str) -> str:
    """How full something is. label: escaped already."""
    width = round(_BAR_WIDTH * min(1.0, max(0.0, share)), 1)
    kind = "full" if share >= 0.95 else "nearly" if share >= 0.85 else "fine"
    return (
        f'<svg class="bar" viewBox="0 0 {_BAR_WIDTH} {_BAR_HEIGHT}" width="{_BAR_WIDTH}" '
        f'height="{_BAR_HEIGHT}" role="img" aria-label="{label}"><title>{label}</title>'
        f'<rect class="track" width="{_BAR_WIDTH}" height="{_BAR_HEIGHT}" rx="5"/>'
        f'<rect class="{kind}" width="{width}" height="{_BAR_HEIGHT}" rx="5"/></svg>'
    )


def _slice(points: Sequence[tuple[int, float | None]]) -> list[float | None]:
    """The averages of so many slices of the time; a slice shorter than a step has its row's."""
    if not points:
        return []
    start, end = points[0][0], points[-1][0]
    count = min(_SLICES, len(points))
    sums, counts = [0.0] * count, [0] * count
    for at, value in points:
        if value is None:
            continue
        index = min(count - 1, (at - start) * count // max(1, end - start))
        sums[index] += value
        counts[index] += 1
    return [total / number if number else None for total, number in zip(sums, counts, strict=True)]


def _shapes(slices: Sequence[float | None], scale: float) -> Iterator[str]:
    step = (_WIDTH - 2 * _PAD) / max(1, len(slices) - 1)
    run: list[tuple[float, float]] = []
    for index, value in enumerate([*slices, None]):
        if value is not None:
            height = (_HEIGHT - 2 * _PAD) * min(1.0, value / scale)
            run.append((round(_PAD + index * step, 1), round(_HEIGHT - _PAD - height, 1)))
        elif run:
            yield _shape_of(run)
            run = []


def _shape_of(run: Sequence[tuple[float, float]]) -> str:
    if len(run) == 1:
        return f'<circle class="dot" cx="{run[0][0]}" cy="{run[0][1]}" r="1.5"/>'
    line = " ".join(f"{x},{y}" for x, y in run)
    area = f"{run[0][0]},{_HEIGHT} {line} {run[-1][0]},{_HEIGHT}"
    return f'<polygon class="area" points="{area}"/><polyline class="line" points="{line}"/>'
