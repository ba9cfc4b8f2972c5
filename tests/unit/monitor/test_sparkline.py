"""Small pictures in a page, and the order of names in it."""

from __future__ import annotations

import re
from xml.etree import ElementTree

import pytest

from pveops.monitor.digest import natural_key
from pveops.monitor.sparkline import draw_bar, draw_sparkline


def points(*values: float | None) -> list[tuple[int, float | None]]:
    return [(60 * index, value) for index, value in enumerate(values)]


def test_a_gap_breaks_the_course() -> None:
    picture = draw_sparkline(points(0.1, 0.2, None, 0.4, 0.5), "CPU of pve1")
    assert picture.count("<polyline") == 2
    assert "CPU of pve1: 10% to 50%" in picture


def test_nothing_measured_is_said_and_not_drawn() -> None:
    assert "not measured" in draw_sparkline(points(None, None), "CPU")
    assert "<svg" not in draw_sparkline([], "CPU")


def test_one_moment_is_a_dot() -> None:
    assert "<circle" in draw_sparkline(points(None, 0.5, None), "CPU")


@pytest.mark.parametrize("values", [(0.0, 0.0), (1.0, 1.0), (0.2, 7.0), tuple([0.5] * 1440)])
def test_every_point_lies_within_the_picture_and_the_file_stays_small(
    values: tuple[float, ...],
) -> None:
    picture = draw_sparkline(points(*values), "it")
    root = ElementTree.fromstring(picture)
    width, height = (float(root.attrib[name]) for name in ("width", "height"))
    line = re.search(r'class="line" points="([^"]+)"', picture)
    assert line
    for pair in line[1].split():
        x, y = map(float, pair.split(","))
        assert 0 <= x <= width
        assert 0 <= y <= height
    assert len(picture) < 2500
    assert "style=" not in picture


@pytest.mark.parametrize(
    ("share", "kind"), [(0.5, "fine"), (0.9, "nearly"), (0.97, "full"), (1.7, "full")]
)
def test_a_bar_shows_how_full_it_is_and_never_more(share: float, kind: str) -> None:
    picture = draw_bar(share, "use")
    found = re.search(rf'class="{kind}" width="([\d.]+)"', picture)
    assert found
    assert float(found[1]) <= 110


def test_names_are_sorted_as_people_do() -> None:
    names = ["pve10", "pve2", "pve1", "backup", "7", "pve2a", ""]
    assert sorted(names, key=natural_key) == ["", "7", "backup", "pve1", "pve2", "pve2a", "pve10"]
