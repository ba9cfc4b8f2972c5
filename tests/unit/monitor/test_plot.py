"""Pictures for chats: labelled axes, units, nothing cut off, nothing over something else."""

from __future__ import annotations

import io
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
from matplotlib import image
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.transforms import Bbox

from pveops.monitor.chart import Chart, make_chart
from pveops.monitor.measures import METRICS, Kind, Metric
from pveops.monitor.plot import HEIGHT, WIDTH, draw_figure, draw_png
from pveops.units import HOUR_S
from tests.unit.monitor.test_chart import END, GIB, START, chart_of, measured, metric

LONG = "a-guest-with-a-very-long-name-that-goes-on-and-on-and-on (VM 999999999 on node-17)"
RANGE = "22 Nov 2026 16:28 to 23 Nov 16:28 UTC"


def several() -> Chart:
    pairs = [
        (f"some-longer-name-{index} (10{index})", measured(cpu=0.1 * (index + 1)))
        for index in range(6)
    ]
    return make_chart(metric("guest", "cpu"), pairs, START, END)


CHARTS = {
    "one": chart_of("cpu", measured(cpu=0.25)),
    "ceiling": chart_of("memory", measured(mem=3.9 * GIB, maxmem=4 * GIB)),
    "two lines": chart_of("disk", measured(diskread=5e8, diskwrite=1e6)),
    "a gap": chart_of("cpu", measured(off=(END - 8 * HOUR_S, END - 2 * HOUR_S), cpu=0.5)),
    "six": several(),
    "tiny": chart_of("iowait", measured(iowait=0.00042), "node"),
    "huge": chart_of("used", measured(used=123e15, total=456e15), "storage"),
}


def texts_of(figure: Figure) -> dict[str, Bbox]:
    """Every text that is seen, and the pixels that it covers."""
    FigureCanvasAgg(figure).draw()
    axes = figure.axes[0]
    found = [*figure.texts, *axes.texts, axes.xaxis.label, axes.yaxis.label]
    for axis, (low, high) in ((axes.xaxis, axes.get_xlim()), (axes.yaxis, axes.get_ylim())):
        found += [tick.label1 for tick in axis.get_major_ticks() if low <= tick.get_loc() <= high]
    for legend in figure.legends:
        found += legend.get_texts()
    return {
        f"{number} {each.get_text()}": each.get_window_extent()
        for number, each in enumerate(found)
        if each.get_visible() and each.get_text()
    }


@pytest.mark.parametrize("name", CHARTS)
def test_axes_are_labelled_with_what_and_unit(name: str) -> None:
    chart = CHARTS[name]
    axes = draw_figure(chart, "title", RANGE).axes[0]
    assert axes.get_xlabel() == "time (UTC)"
    assert axes.get_ylabel() == chart.axis
    assert chart.unit in axes.get_ylabel()
    assert axes.get_ylim()[0] == 0


@pytest.mark.parametrize("name", CHARTS)
def test_no_text_is_cut_off_or_lies_over_another(name: str) -> None:
    boxes = texts_of(draw_figure(CHARTS[name], f"CPU in use: {LONG}", RANGE))
    for words, box in boxes.items():
        assert box.x0 >= 0, words
        assert box.y0 >= 0, words
        assert box.x1 <= WIDTH, words
        assert box.y1 <= HEIGHT, words
    for (one, box), (other, another) in combinations(boxes.items(), 2):
        assert not Bbox.intersection(box, another) or _is_touch(box, another), f"{one} / {other}"


def _is_touch(box: Bbox, other: Bbox) -> bool:
    shared = Bbox.intersection(box, other)
    return shared is None or shared.width < 1 or shared.height < 1


def test_a_gap_breaks_the_line_and_is_named() -> None:
    figure = draw_figure(CHARTS["a gap"], "title", RANGE)
    values = np.asarray(figure.axes[0].lines[0].get_ydata(), dtype=float)
    assert np.isnan(values).any()
    assert any("not\nmeasured" in words for words in texts_of(figure))


def test_a_line_has_its_name_where_there_are_several() -> None:
    (legend,) = draw_figure(CHARTS["six"], "title", RANGE).legends
    assert [each.get_text() for each in legend.get_texts()] == [
        f"some-longer-name-{index} (10{index})" for index in range(6)
    ]
    assert draw_figure(CHARTS["one"], "title", RANGE).legends == []


def test_the_picture_is_a_png_of_its_size_with_something_on_it(tmp_path: Path) -> None:
    content = draw_png(CHARTS["ceiling"], "Memory in use: web01", RANGE)
    assert b"Software\x00pveops" in content[:4096]
    assert len(content) < 300_000
    pixels = image.imread(io.BytesIO(content))[..., :3]
    assert pixels.shape[:2] == (HEIGHT, WIDTH)
    is_ink = (pixels < 0.9).any(axis=2)
    assert 0.01 < is_ink.mean() < 0.6
    assert not is_ink[:, :20].any()
    assert not is_ink[:15].any()


def test_what_a_name_holds_is_drawn_and_not_interpreted() -> None:
    draw_png(CHARTS["one"], r"CPU in use: $\frac{1}{0}$ $x_{", RANGE)
    draw_png(CHARTS["one"], "CPU in use: \u732b\U0001f408", RANGE)
    (title, *_) = draw_figure(CHARTS["one"], "W" * 200, RANGE).texts
    assert title.get_window_extent().x1 <= WIDTH


@pytest.mark.parametrize("kind", ["guest", "node", "storage"])
def test_every_metric_can_be_drawn(kind: Kind) -> None:
    def draw(each: Metric) -> None:
        members = {curve.member: 0.5 for curve in each.curves} | {each.ceiling or "x": 1.0}
        chart = make_chart(each, [("it", measured(**members))], START, END)
        assert draw_figure(chart, each.words, RANGE).axes[0].get_ylabel().startswith(each.words)

    for each in METRICS[kind]:
        draw(each)
