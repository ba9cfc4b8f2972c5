"""What a picture shows, and how it looks as blocks: units, ticks, gaps."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pveops.domain.rrd import Measured, measured_of
from pveops.monitor.blocks import draw_blocks
from pveops.monitor.chart import (
    Chart,
    format_number,
    format_range,
    list_ticks,
    make_chart,
    round_up,
    scale_of,
    tell_numbers,
)
from pveops.monitor.measures import METRICS, Kind, Metric, find_metric
from pveops.units import DAY_S, HOUR_S

GIB = 1 << 30
END = 1_795_451_280
START = END - DAY_S
KINDS: tuple[Kind, ...] = ("guest", "node", "storage")


def metric(kind: Kind, name: str) -> Metric:
    found = find_metric(kind, name)
    assert found is not None
    return found


def measured(*, off: tuple[int, int] = (0, 0), step: int = 1800, **members: float) -> Measured:
    """A day of one value each, with nothing measured within `off`."""
    return measured_of(
        {"time": at, **({} if off[0] <= at < off[1] else members)}
        for at in range(START, END, step)
    )


def chart_of(name: str, found: Measured, kind: Kind = "guest") -> Chart:
    return make_chart(metric(kind, name), [("web01", found)], START, END)


@pytest.mark.parametrize(
    ("name", "members", "unit", "value"),
    [
        ("cpu", {"cpu": 0.25}, "%", 25),
        ("memory", {"mem": 3 * GIB, "maxmem": 4 * GIB}, "GiB", 3),
        ("net-in", {"netin": 5 * 1024 * 1024}, "MiB/s", 5),
        ("pressure-io", {"pressureiosome": 12.5, "pressureiofull": 1}, "%", 12.5),
    ],
)
def test_numbers_come_in_a_unit_that_people_read(
    name: str, members: dict[str, float], unit: str, value: float
) -> None:
    chart = chart_of(name, measured(**members))
    assert chart.unit == unit
    assert chart.axis.endswith(f"({unit})")
    assert chart.lines[0].known[0] == pytest.approx(value)


def test_the_ceiling_is_what_there_is_in_all() -> None:
    chart = chart_of("memory", measured(mem=GIB, maxmem=4 * GIB))
    assert chart.ceiling == 4
    assert chart.top == 4


def test_of_several_with_different_ceilings_none_is_shown() -> None:
    pairs = [(str(size), measured(mem=GIB, maxmem=size * GIB)) for size in (2, 4)]
    chart = make_chart(metric("guest", "memory"), pairs, START, END)
    assert chart.ceiling is None
    assert [line.label for line in chart.lines] == ["2", "4"]


def test_what_was_not_measured_is_a_gap_and_no_zero() -> None:
    off = (END - 8 * HOUR_S, END - 4 * HOUR_S)
    chart = chart_of("cpu", measured(off=off, cpu=0.5))
    assert chart.gaps == (off,)
    assert tell_numbers(chart, chart.lines[0])[0] == "min 50%"
    assert "·" in "".join(draw_blocks(chart))
    assert draw_blocks(chart)[-1] == "· not measured"


def test_of_what_is_off_now_the_last_number_is_not_told_as_current() -> None:
    chart = chart_of("cpu", measured(off=(END - 8 * HOUR_S, END), cpu=0.5))
    assert tell_numbers(chart, chart.lines[0])[-1] == "now not measured"


def test_rows_that_are_not_there_are_a_gap_too() -> None:
    rows = [{"time": at, "cpu": 0.5} for at in range(START + 6 * HOUR_S, END, 1800)]
    chart = chart_of("cpu", measured_of(rows))
    assert chart.gaps == ((START, START + 6 * HOUR_S),)


def test_without_gaps_none_is_told() -> None:
    chart = chart_of("cpu", measured(cpu=0.5))
    assert chart.gaps == ()
    assert "not measured" not in "".join(draw_blocks(chart))


def test_blocks_have_an_axis_units_and_the_four_numbers() -> None:
    lines = draw_blocks(chart_of("cpu", measured(cpu=0.5)))
    assert lines[0].startswith("60% ┤")
    assert any(line.startswith(" 0% └") for line in lines)
    assert lines[-1] == "min 50%  avg 50%  max 50%  last 50%"
    assert any(line.endswith("UTC") for line in lines)
    assert max(map(len, lines)) <= 64


@pytest.mark.parametrize("kind", KINDS)
def test_every_metric_has_a_chart_and_a_name_of_its_own(kind: Kind) -> None:
    for each in METRICS[kind]:
        members = {curve.member: 0.5 for curve in each.curves} | {each.ceiling or "x": 1.0}
        chart = make_chart(each, [("it", measured(**members))], START, END)
        assert not chart.is_empty
        assert draw_blocks(chart)
        assert find_metric(kind, each.name) is each
    names = [each.name for each in METRICS[kind]]
    assert len(set(names)) == len(names)


def test_a_flat_zero_is_drawn_on_the_ground() -> None:
    chart = chart_of("cpu", measured(cpu=0.0))
    assert chart.top > 0
    assert draw_blocks(chart)


@given(st.integers(0, 2_000_000_000), st.integers(300, 400 * DAY_S))
def test_ticks_are_few_in_order_and_inside(start: int, span: int) -> None:
    ticks = list_ticks(start, start + span)
    moments = [at for at, _ in ticks]
    assert 1 <= len(ticks) <= 6 or span < 600
    assert moments == sorted(moments)
    assert all(start <= at <= start + span for at in moments)


@given(st.floats(1e-6, 1e15))
def test_the_top_is_round_and_near(value: float) -> None:
    assert value <= round_up(value) * 1.0001
    assert round_up(value) <= value * 2.0001


@given(st.floats(0, 1e18))
def test_bytes_are_scaled_below_1024(most: float) -> None:
    factor, unit = scale_of("bytes", most)
    assert most * factor < 1024 or unit == "PiB"


@pytest.mark.parametrize(
    ("value", "words"), [(0, "0"), (0.044, "0.044"), (7.3, "7.3"), (73.26, "73.3"), (730.4, "730")]
)
def test_three_digits_are_told(value: float, words: str) -> None:
    assert format_number(value) == words


def test_a_range_names_the_year_once_and_the_zone() -> None:
    assert format_range(1_795_364_880, END) == "22 Nov 2026 16:28 to 23 Nov 16:28 UTC"
