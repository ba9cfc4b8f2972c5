"""A chart as a PNG, for a chat on a phone. Needs the extra `plots` (matplotlib), imported here.

Nothing of matplotlib's global state is used: a figure, a canvas, and the bytes.
"""

from __future__ import annotations

import io
import math
import os
import warnings
from typing import TYPE_CHECKING

from pveops.errors import ConfigError
from pveops.monitor.chart import Chart, Line, format_number, list_ticks, tell_numbers

if TYPE_CHECKING:
    from pathlib import Path

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.ticker import Locator

SOFTWARE = "pveops"
"""Stands in each PNG of ours, so that it is known again."""
WIDTH, HEIGHT = 1200, 630
_DPI = 100
_COLOURS = ("#0b6bcb", "#d55e00", "#009e73", "#9b51a0", "#b58900", "#4d4d4d")
"""Told apart by people who do not see all colours, on white."""
_INK, _GREY, _PALE = "#1b1f24", "#57606a", "#d8dee4"
_TITLE_PT, _TEXT_PT = 23, 16
_TITLE_WIDTH = 1125
_SHORT_LABEL, _LONGEST_LABEL = 22, 36
_WIDE_GAP = 0.12
_MANY = 3
"""From so many lines on the area below is not coloured: it would be mud."""


def keep_fonts_in(folder: Path) -> None:
    """Where matplotlib keeps its list of fonts: a place that can be written to."""
    os.environ.update({"MPLCONFIGDIR": str(folder)})


def draw_png(chart: Chart, title: str, subtitle: str) -> bytes:
    """The picture's bytes. Raises ConfigError when matplotlib is not installed."""
    target = io.BytesIO()
    with warnings.catch_warnings():
        # A letter that the font does not have is drawn as a box.
        warnings.simplefilter("ignore", UserWarning)
        figure = draw_figure(chart, title, subtitle)
        figure.savefig(target, format="png", dpi=_DPI, metadata={"Software": SOFTWARE})
    return target.getvalue()


def draw_figure(chart: Chart, title: str, subtitle: str) -> Figure:
    """The figure, laid out. Raises ConfigError when matplotlib is not installed."""
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError as error:
        raise ConfigError(
            "pictures need matplotlib, which is not installed",
            hint="pip install matplotlib; without --out the graph is drawn as text",
        ) from error
    figure = Figure(figsize=(WIDTH / _DPI, HEIGHT / _DPI), dpi=_DPI, facecolor="white")
    FigureCanvasAgg(figure)
    axes = figure.add_axes((0.115, 0.175, 0.85, _top_of_axes(chart) - 0.175))
    _draw_lines(axes, chart)
    _draw_axes(axes, chart)
    _draw_gaps(axes, chart)
    _write(figure, chart, _plain(title), _plain(subtitle))
    return figure


def _columns(chart: Chart) -> int:
    """Of the legend."""
    longest = max(len(line.label) for line in chart.lines)
    return min(len(chart.lines), 3 if longest <= _SHORT_LABEL else 2)


def _top_of_axes(chart: Chart) -> float:
    """Below the title, and below as many rows of names as there are."""
    if len(chart.lines) == 1:
        return 0.785
    rows = math.ceil(len(chart.lines) / _columns(chart))
    return 0.805 - 0.056 * rows


def _draw_lines(axes: Axes, chart: Chart) -> None:
    for line, colour in zip(chart.lines, _COLOURS, strict=False):
        times, values = _with_breaks(line, chart.step_s)
        axes.plot(times, values, color=colour, linewidth=3, label=_short(line.label))
        if len(chart.lines) < _MANY:
            axes.fill_between(times, values, color=colour, alpha=0.14, linewidth=0)
    if chart.ceiling:
        axes.axhline(chart.ceiling, color=_INK, linewidth=1.8, linestyle=(0, (5, 3)))
        axes.annotate(
            f"{chart.tell(chart.ceiling)} in all",
            (1, chart.ceiling),
            xycoords=("axes fraction", "data"),
            xytext=(-6, -6),
            textcoords="offset points",
            ha="right",
            va="top",
            fontsize=_TEXT_PT,
            color=_INK,
            bbox={"facecolor": "white", "alpha": 0.8, "edgecolor": "none", "pad": 1.5},
        )


def _with_breaks(line: Line, step_s: int) -> tuple[list[float], list[float]]:
    """Where something was not measured the line breaks, whether or not there is a row for it."""
    times: list[float] = []
    values: list[float] = []
    for at, value in line.points:
        if times and step_s and at - times[-1] > 1.5 * step_s:
            times.append(times[-1] + step_s)
            values.append(math.nan)
        times.append(float(at))
        values.append(math.nan if value is None else value)
    return times, values


def _draw_axes(axes: Axes, chart: Chart) -> None:
    axes.set_xlim(chart.start, chart.end)
    axes.set_ylim(0, chart.top * (1.05 if chart.ceiling else 1))
    ticks = list_ticks(chart.start, chart.end)
    axes.set_xticks([at for at, _ in ticks], [name for _, name in ticks])
    axes.set_xlabel("time (UTC)", fontsize=_TEXT_PT, color=_GREY, labelpad=8)
    axes.set_ylabel(chart.axis, fontsize=_TEXT_PT, color=_GREY, labelpad=10)
    axes.yaxis.set_major_locator(_few_ticks())
    axes.yaxis.set_major_formatter(lambda value, _position: format_number(value))
    axes.tick_params(labelsize=_TEXT_PT, colors=_GREY, length=0, pad=8)
    axes.grid(visible=True, axis="y", color=_PALE, linewidth=1.2)
    axes.set_axisbelow(True)
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)
    axes.spines["bottom"].set_color(_GREY)


def _few_ticks() -> Locator:
    from matplotlib.ticker import MaxNLocator

    return MaxNLocator(nbins=5, steps=[1, 2, 2.5, 5, 10])


def _draw_gaps(axes: Axes, chart: Chart) -> None:
    span = max(1, chart.end - chart.start)
    for start, end in chart.gaps:
        axes.axvspan(start, end, color="#eef1f4", linewidth=0, zorder=0)
        if (end - start) / span >= _WIDE_GAP:
            axes.text(
                (start + end) / 2,
                0.5,
                "not\nmeasured",
                transform=axes.get_xaxis_transform(),
                ha="center",
                va="center",
                fontsize=_TEXT_PT,
                color=_GREY,
            )


def _write(figure: Figure, chart: Chart, title: str, subtitle: str) -> None:
    left = 0.03
    heading = figure.text(
        left, 0.955, title, fontsize=_TITLE_PT, fontweight="bold", color=_INK, va="top"
    )
    while heading.get_window_extent().width > _TITLE_WIDTH and len(title) > 1:
        title = title[:-2].rstrip() + "…"
        heading.set_text(title)
    figure.text(left, 0.868, subtitle, fontsize=_TEXT_PT, color=_GREY, va="top")
    if len(chart.lines) == 1:
        figure.text(
            0.965, 0.868, _numbers(chart), fontsize=_TEXT_PT, color=_INK, va="top", ha="right"
        )
        return
    figure.legend(
        loc="upper left",
        bbox_to_anchor=(left - 0.012, 0.835),
        ncols=_columns(chart),
        frameon=False,
        fontsize=_TEXT_PT,
        handlelength=1.1,
        columnspacing=1.4,
        labelcolor=_INK,
    )


def _numbers(chart: Chart) -> str:
    parts = tell_numbers(chart, chart.lines[0])[1:]
    return "  ".join(parts) or "nothing measured"


def _short(label: str) -> str:
    cut = label if len(label) <= _LONGEST_LABEL else label[: _LONGEST_LABEL - 1] + "…"
    return _plain(cut)


def _plain(text: str) -> str:
    """Matplotlib takes what stands between dollars for mathematics."""
    return text.replace("$", r"\$")
