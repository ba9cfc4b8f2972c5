"""What a caller that may only look is held to, and a caller that asks the person itself."""

from __future__ import annotations

import pytest

from pveops.cli.reading import list_readings
from pveops.operations.catalog import list_changes


@pytest.mark.parametrize(
    "line",
    [
        "pve --look-only guest stop web01",
        "pve guest stop web01 --look-only",
        "pve --look-only guest start web02",
        "pve --look-only plan cancel pl_1",
        "pve --look-only policy freeze",
        "pve --look-only monitor run",
        "pve --look-only run resume run_1",
    ],
)
def test_whatever_does_more_than_look_is_refused_before_anything_is_sent(cli, line):
    outcome = cli.run(line)
    assert outcome.code == 2
    assert "only looking is allowed here" in outcome.out
    assert cli.run("pve plan list --json").json["data"]["items"] == []


@pytest.mark.parametrize(
    "line",
    ["pve --look-only guest list", "pve --look-only plan list", "pve --look-only policy show"],
)
def test_looking_is_let_through(cli, line):
    assert cli.run(line).code == 0


def test_no_change_of_the_catalogue_counts_as_looking():
    assert list_readings().isdisjoint(row.id for row in list_changes())


def test_no_code_goes_out_for_a_caller_that_asks_the_person_itself(cli):
    outcome = cli.run("pve --no-code guest stop web01 --json")
    assert outcome.code == 3
    assert outcome.json["plan"]["code"] == "withheld"
    assert cli.run("pve --no-code guest stop web01").lines[-1].startswith("no code was sent")


def test_a_report_that_is_sent_is_more_than_a_look(cli):
    assert cli.run("pve --look-only report --tell").code == 2


def test_a_file_is_more_than_a_look(cli, tmp_path):
    for words in (f"report --html {tmp_path}", f"graph guest web01 --out {tmp_path}"):
        outcome = cli.run(f"pve --look-only {words}")
        assert outcome.code == 2
        assert "a file is more than a look" in outcome.out
        assert not list(tmp_path.glob("*.html")) + list(tmp_path.glob("*.png"))
