"""Every way around the gate, at every level; the table in the documents is what was found.

`PVEOPS_WRITE_TABLE=1 pytest tests/attack` writes it anew.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

from tests.attack.attacks import ATTACKS, Attack
from tests.attack.levels import LEVELS, TARGET, make_level

PAGE = Path(__file__).parents[2] / "docs" / "explanation" / "safety-model.md"
BEGIN, END = "<!-- attacks: begin -->", "<!-- attacks: end -->"
OPEN = {
    ("G1", "drives one, and takes the marks of an agent away"),
    ("G1", "writes a consent of its own into the store"),
    ("G1", "takes the policy's rules away, and then does that"),
    ("G2", "takes the policy's rules away, and then does that"),
    ("G4", "takes the policy's rules away, and then does that"),
    ("G1", "signs a receipt with the plugin's key"),
    ("G1", "reads the token, and calls PVE itself"),
    ("G2", "writes a consent of its own into the store"),
    ("G2", "signs a receipt with the plugin's key"),
    ("G2", "reads the token, and calls PVE itself"),
    ("G4", "reads the token, and calls PVE itself"),
}
"""What a level does not stop. Everything else has to be stopped."""


@pytest.mark.parametrize("attack", ATTACKS, ids=lambda attack: attack.name)
@pytest.mark.parametrize("name", [name for name in LEVELS if name != "G3"])
def test_what_each_level_stops(name: str, attack: Attack, tmp_path: Path) -> None:
    level = make_level(name, tmp_path)
    assert not level.is_gone()
    attack.run(level)
    assert level.is_gone() is ((name, attack.name) in OPEN)


@pytest.mark.parametrize("name", ["G1", "G2"])
def test_the_person_s_way_works(name: str, tmp_path: Path) -> None:
    """The attacks are not stopped by nothing working."""
    level = make_level(name, tmp_path)
    if name == "G1":
        level.run(TARGET, stdin="web02\n", terminal=True)
    else:
        level.run(f"pve-apply {level.plan()} --code {level.newest_code()}")
    assert level.is_gone()


def test_the_table_in_the_documents_is_what_was_found() -> None:
    text = PAGE.read_text()
    table = render()
    if os.environ.get("PVEOPS_WRITE_TABLE"):
        PAGE.write_text(re.sub(f"{BEGIN}.*{END}", f"{BEGIN}\n{table}\n{END}", text, flags=re.S))
    assert f"{BEGIN}\n{table}\n{END}" in PAGE.read_text()


def render() -> str:
    """The table: a row an attack, a column a level."""
    head = "| who | does what | " + " | ".join(LEVELS) + " |"
    rows = [head, "|---|---|" + "---|" * len(LEVELS)]
    who = {"agent": "an agent in its shell", "program": "a program of the same account"}
    for attack in ATTACKS:
        cells = ["**not stopped**" if (n, attack.name) in OPEN else "stopped" for n in LEVELS]
        rows.append(f"| {who[attack.who]} | {attack.name} | {' | '.join(cells)} |")
    return "\n".join(rows)
