"""What an agent has to read stays small, and the page that says how small tells the truth.

Ours is run anew, as `make characters` runs it: whole processes on a simulated cluster over TLS.
"""

from __future__ import annotations

import re
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "reference" / "characters.md"
STALE = "the page is stale: `make characters` writes it anew"
AGES = 16
"""Characters by which an age, or the name of an account, may change an answer."""


@pytest.fixture(scope="module")
def benchmarks() -> Any:
    """The modules of `benchmarks/`, and ours as measured now."""
    sys.path.insert(0, str(ROOT / "benchmarks"))
    try:
        import characters
        import client_pve
    finally:
        sys.path.remove(str(ROOT / "benchmarks"))
    return characters.BUDGETS, client_pve.measure()


def table() -> dict[str, list[str]]:
    """The figures of the page: by row, a cell for each client."""
    rows: dict[str, list[str]] = {}
    for line in PAGE.read_text(encoding="utf-8").splitlines():
        if line.startswith("| "):
            name, *cells = (cell.strip(" *") for cell in line.strip("|").split("|"))
            rows[name] = cells
    return rows


def number_in(cell: str) -> int:
    return int(cell.split(maxsplit=1)[0].replace(",", ""))


def test_ours_stays_within_its_budgets(benchmarks: Any) -> None:
    budgets, ours = benchmarks
    read = {"once": ours.once_characters}
    read |= {name: job.characters for name, job in ours.jobs.items()}
    assert read.keys() == budgets.keys()
    assert {name: count for name, count in read.items() if count > budgets[name]} == {}


def test_the_page_says_of_ours_what_a_run_says(benchmarks: Any) -> None:
    _, ours = benchmarks
    told = table()
    assert number_in(told["once"][0]) == ours.once_characters, STALE
    for name, job in ours.jobs.items():
        assert number_in(told[name][0]) == pytest.approx(job.characters, abs=AGES), STALE
        assert told[name][0].split(" in ")[1] == str(len(job.calls)), STALE


def test_ours_is_the_least_on_the_page() -> None:
    ours, *others = map(number_in, table()["in all"])
    assert len(others) == 4
    assert ours < min(others)


def test_the_page_adds_up() -> None:
    told = table()
    jobs = ("list", "slow", "stop", "snapshot", "evacuate", "audit")
    for column in range(5):
        answers = sum(number_in(told[name][column]) for name in jobs)
        assert answers == number_in(told["answers of the six"][column])
        assert answers + number_in(told["once"][column]) == number_in(told["in all"][column])


@pytest.mark.parametrize(
    ("package", "columns"), [("pmox", (1,)), ("proxmox-mcp-plus", (2, 3, 4)), ("pveops", (0,))]
)
def test_the_page_names_the_versions_that_were_measured(
    package: str, columns: tuple[int, ...]
) -> None:
    try:
        installed = version(package)
    except PackageNotFoundError:
        pytest.skip("the other clients are not installed here")
    head = table()[""]
    assert all(head[column].endswith(f" {installed}") for column in columns), STALE


def test_the_readme_says_in_thousands_what_the_page_says() -> None:
    words = (ROOT / "README.md").read_text(encoding="utf-8")
    told = [int(each.replace(",", "")) for each in re.findall(r"about ([\d,]+) characters", words)]
    whole = [round(number_in(cell), -3) for cell in table()["in all"]]
    assert told == [whole[0], whole[1], whole[2], whole[4]]
