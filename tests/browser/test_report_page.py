"""The page of `pve report` in a real, headless Chromium: seen, readable, quiet, on each screen.

`.ci/run` installs Chromium and sets PVEOPS_NEEDS_BROWSER, with which its absence fails.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib import image

from tests.browser.chromium import PROGRAM, Chromium, browser
from tests.commandline import run_line
from tests.large import make_large_world
from tests.scenario.test_report import hostile_page
from tests.world import make_world

_NEEDED = bool(os.environ.get("PVEOPS_NEEDS_BROWSER"))
pytestmark = pytest.mark.skipif(
    not PROGRAM and not _NEEDED,
    reason="there is no Chromium: apt-get install chromium; PVEOPS_NEEDS_BROWSER=1 fails then",
)
PHONE, DESK = 390, 1200
_CONTRAST = """
(() => {
  const parse = (text) => (text.match(/[\\d.]+/g) || []).map(Number);
  const ground = (node) => {
    for (let at = node; at; at = at.parentElement) {
      const colour = parse(getComputedStyle(at).backgroundColor);
      if (colour.length === 3 || colour[3] > 0) return colour;
    }
    return [255, 255, 255];
  };
  const light = (colour) => {
    const [r, g, b] = colour.slice(0, 3).map((value) => {
      const share = value / 255;
      return share <= 0.03928 ? share / 12.92 : ((share + 0.055) / 1.055) ** 2.4;
    });
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const poor = [];
  for (const node of document.querySelectorAll("body *")) {
    const own = [...node.childNodes].some((n) => n.nodeType === 3 && n.textContent.trim());
    if (!own || !node.getClientRects().length) continue;
    const [a, b] = [light(parse(getComputedStyle(node).color)), light(ground(node))];
    const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
    if (ratio < 4.5) poor.push(`${node.textContent.trim()} ${ratio.toFixed(2)}`);
  }
  return poor;
})()
"""
"""Texts with less contrast than WCAG 2 asks of small text (1.4.3)."""
_SPILLS = """
[...document.querySelectorAll("body *")]
  .filter((node) => node.getClientRects().length && !node.closest("svg"))
  .filter((node) => node.getBoundingClientRect().right > innerWidth + 0.5)
  .map((node) => node.outerHTML.slice(0, 120))
"""
_CUT = """
[...document.querySelectorAll("th, td, p, li, h1")]
  .filter((node) => node.getClientRects().length && node.scrollWidth > node.clientWidth + 1)
  .map((node) => node.outerHTML.slice(0, 120))
"""


@pytest.fixture(scope="module")
def chromium() -> Iterator[Chromium]:
    assert PROGRAM, "PVEOPS_NEEDS_BROWSER is set, and there is no Chromium"
    with browser() as page:
        yield page


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A week of the homelab, with changes and alerts in it."""
    folder = tmp_path_factory.mktemp("page")
    world = make_world(folder)
    for _ in range(2):
        world.cluster.timeline.advance(3600)
        run_line(world, folder, "pve monitor run")
    run_line(world, folder, 'pve guest start 901 --reason "the lab is needed for the course"')
    run_line(world, folder, "pve snapshot create 121 --snapname before --reason 'an update'")
    outcome = run_line(world, folder, f"pve report --since 7d --html {folder}/page.html")
    assert outcome.code == 0, outcome.out
    return folder / "page.html"


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("hostile")
    hostile_page(make_world(folder), folder)
    return folder / "page.html"


def pixels_of(chromium: Chromium, folder: Path) -> Any:
    return image.imread(chromium.screenshot(folder / "shot.png"))[..., :3]


def test_what_is_shown_are_the_facts(chromium: Chromium, page: Path) -> None:
    chromium.open(page, width=DESK)
    seen = chromium.evaluate("document.body.innerText")
    for fact in (
        "homelab",
        "Something is broken",
        "mail01 stands still: io-error",
        "full in about",
        "24 of 32",
        "guest.start",
        "the lab is needed for the course",
        "root@pam",
        "gitlab",
        "Times are UTC",
    ):
        assert fact in seen, fact
    assert chromium.evaluate("document.title") == "homelab: the last 7d"


@pytest.mark.parametrize("name", ["page", "hostile"])
def test_the_page_is_quiet_and_asks_for_itself_alone(
    name: str, chromium: Chromium, request: pytest.FixtureRequest
) -> None:
    """No message of the console, no broken policy, no request but the file's own."""
    path: Path = request.getfixturevalue(name)
    chromium.logged.clear()
    chromium.requested.clear()
    chromium.open(path, width=DESK)
    assert chromium.evaluate("document.readyState") == "complete"
    assert chromium.logged == []
    assert chromium.requested == [path.as_uri()]


def test_what_names_hold_is_seen_as_text_and_makes_nothing(
    chromium: Chromium, hostile: Path
) -> None:
    chromium.open(hostile, width=DESK)
    assert "<img src=//evil.example" in chromium.evaluate("document.body.innerText")
    assert chromium.evaluate("document.querySelectorAll('img, a, script, iframe').length") == 0


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [PHONE, DESK])
def test_it_is_readable_by_light_and_in_the_dark_on_a_phone_and_at_a_desk(
    scheme: str, width: int, chromium: Chromium, page: Path, tmp_path: Path
) -> None:
    chromium.open(page, width=width, scheme=scheme)
    assert chromium.evaluate(_CONTRAST) == []
    pixels = pixels_of(chromium, tmp_path)
    assert pixels.shape[1] == width
    ground = np.median(pixels.reshape(-1, 3), axis=0)
    assert (ground > 0.9).all() if scheme == "light" else (ground < 0.15).all()
    is_drawn = (np.abs(pixels - ground) > 0.2).any(axis=2)
    assert 0.01 < is_drawn.mean() < 0.5
    bands = np.array_split(is_drawn, 10)
    assert all(band.any() for band in bands), "a tenth of the page is blank"


@pytest.mark.parametrize("name", ["page", "hostile"])
@pytest.mark.parametrize("width", [PHONE, 768, DESK])
def test_nothing_sticks_out_or_is_cut_off(
    name: str, width: int, chromium: Chromium, request: pytest.FixtureRequest
) -> None:
    chromium.open(request.getfixturevalue(name), width=width)
    assert chromium.evaluate("document.documentElement.scrollWidth") == width
    assert chromium.evaluate(_SPILLS) == []
    assert chromium.evaluate(_CUT) == []


def test_it_can_be_read_aloud(chromium: Chromium, page: Path) -> None:
    """A language, one first heading, tables with captions and heads, pictures with words."""
    chromium.open(page, width=DESK)
    assert chromium.evaluate("document.documentElement.lang") == "en"
    assert chromium.evaluate("document.querySelectorAll('h1').length") == 1
    tables = "[...document.querySelectorAll('table')]"
    assert chromium.evaluate(f"{tables}.length") >= 5
    assert chromium.evaluate(f"{tables}.every((t) => t.caption && t.caption.innerText)")
    assert chromium.evaluate(
        f"{tables}.every((t) => [...t.tHead.rows[0].cells].every((c) => c.scope === 'col'))"
    )
    assert chromium.evaluate(
        f"{tables}.every((t) => [...t.tBodies[0].rows].every((r) => r.cells[0].scope === 'row'))"
    )
    pictures = "[...document.querySelectorAll('svg')]"
    assert chromium.evaluate(f"{pictures}.length") >= 14
    assert chromium.evaluate(f"{pictures}.every((s) => s.getAttribute('aria-label'))")
    names = chromium.evaluate(
        "[...document.querySelectorAll('section')].map((s) => "
        "document.getElementById(s.getAttribute('aria-labelledby')).innerText)"
    )
    assert names[:4] == ["Health", "Nodes", "Storages", "Backups"]


def test_courses_are_drawn_within_their_pictures(chromium: Chromium, page: Path) -> None:
    chromium.open(page, width=DESK)
    outside = chromium.evaluate(
        "[...document.querySelectorAll('svg')].filter((s) => { const b = s.getBBox();"
        "const v = s.viewBox.baseVal; return b.x < -1 || b.y < -1 || b.x + b.width > v.width + 1 "
        "|| b.y + b.height > v.height + 1 || b.width < 2; }).map((s) => s.outerHTML)"
    )
    assert outside == []


def test_on_paper_it_is_dark_on_white_whatever_the_reader_prefers(
    chromium: Chromium, page: Path, tmp_path: Path
) -> None:
    chromium.open(page, width=DESK, scheme="dark")
    chromium.prefer("dark", media="print")
    assert (np.median(pixels_of(chromium, tmp_path).reshape(-1, 3), axis=0) > 0.95).all()
    assert chromium.evaluate(_CONTRAST) == []
    chromium.prefer("light")


def test_a_page_of_fifty_nodes_is_as_quiet_and_as_narrow(
    chromium: Chromium, tmp_path: Path
) -> None:
    world = make_large_world(tmp_path)
    path = tmp_path / "page.html"
    assert run_line(world, tmp_path, f"pve report --html {path}").code == 0
    chromium.logged.clear()
    chromium.open(path, width=PHONE)
    assert chromium.evaluate("document.documentElement.scrollWidth") == PHONE
    assert chromium.logged == []
    assert "26 more are not shown" in chromium.evaluate("document.body.innerText")
