"""A skill folder that breaks a rule is told which, and where."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from pveops.skill.checks import MAX_CHARS, MAX_LINES, find_problems
from pveops.skill.folder import SkillFile, read_files, split_front
from pveops.skill.scanner import scan

SKILL = Path(__file__).resolve().parents[3] / "skills" / "proxmox"
FILES = read_files(SKILL)
Change = Callable[[str], str]


def changed(path: str, change: Change) -> tuple[SkillFile, ...]:
    """The skill's files with one of them changed."""
    assert path in {file.path for file in FILES}
    made = tuple(
        SkillFile(file.path, change(file.text).encode()) if file.path == path else file
        for file in FILES
    )
    assert made != FILES
    return made


def swap(old: str, new: str) -> Change:
    def change(text: str) -> str:
        assert old in text
        return text.replace(old, new, 1)

    return change


def rules_broken(files: tuple[SkillFile, ...], name: str = "proxmox") -> set[str]:
    return {problem.rule for problem in find_problems(name, files)}


def test_the_skill_is_in_order() -> None:
    assert find_problems("proxmox", FILES) == ()
    front, _ = split_front((SKILL / "SKILL.md").read_text())
    assert list(scan(FILES, front)) == []


def test_the_reference_validator_takes_it() -> None:
    """`skills-ref`, the specification's own."""
    program = Path(sys.executable).with_name("agentskills")
    done = subprocess.run(
        [program, "validate", SKILL], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(
    "change",
    [
        swap("name: proxmox", "name: pve"),
        swap("---\n", "--\n"),
        swap("description: Look", "description: >\n  Look"),
        swap("description: Look", "description: <b>Look"),
        swap("description: Look at", "description: " + "Look at " * 20),
        swap("license: MIT-0", "license: MIT-0\nhomepage: https://pve.example.org"),
        swap("    os:\n    - linux\n    - darwin", "    os: [linux, darwin]"),
        swap("    emoji:", "\temoji:"),
        swap("    emoji:", "    always: true\n    emoji:"),
        swap("license: MIT-0", "license: MIT"),
        swap("      bins:\n      - sh", "      bins: &bins\n      - sh"),
    ],
    ids=range(11),
)
def test_front_matter_that_not_every_agent_takes_is_found(change: Change) -> None:
    assert rules_broken(changed("SKILL.md", change)) == {"front-matter"}


def test_budgets_hold() -> None:
    text = (SKILL / "SKILL.md").read_text()
    spare = MAX_CHARS - len(text)
    assert spare >= 0
    # 1,200 tokens: 4,125 characters of it were 1,190 tokens of o200k_base.
    assert len(text) <= 4_150
    longer = changed("SKILL.md", lambda text: text + "x" * (spare + 1))
    assert "budget" in rules_broken(longer)
    lines = "\n" * (MAX_LINES + 1 - text.count("\n"))
    assert "budget" in rules_broken(changed("SKILL.md", lambda text: text + lines))


def test_links_lead_somewhere_and_pages_are_linked() -> None:
    lost = changed("references/setup.md", swap("# Setting up", "# Setting up\n[x](none.md)"))
    assert [str(problem) for problem in find_problems("proxmox", lost)] == [
        "references/setup.md:2: none.md does not exist [link]"
    ]
    alone = (*FILES, SkillFile("references/alone.md", b"# Alone\n"))
    assert rules_broken(alone) == {"link"}
    deep = (*FILES, SkillFile("references/a/b.md", b"# Deep\n"))
    assert "layout" in rules_broken(deep)


def test_sizes_are_what_registries_look_at() -> None:
    assert rules_broken((*FILES, SkillFile("assets/big.bin", b"x" * (256 * 1024 + 1)))) == {"size"}
    many = tuple(SkillFile(f"assets/{index}.txt", b"") for index in range(40))
    assert rules_broken((*FILES, *many)) == {"size"}


def test_the_licence_is_the_registrys() -> None:
    assert rules_broken(tuple(f for f in FILES if f.path != "LICENSE.txt")) == {"license"}


def test_thin_and_templated_skills_are_found() -> None:
    def thin(text: str) -> str:
        front, _, _ = text.partition("# Proxmox VE")
        return front + "# Proxmox VE\n\nExpert guidance for clusters.\n"

    broken = find_problems("proxmox", changed("SKILL.md", thin))
    assert [p.message for p in broken if p.rule == "quality"] == [
        "6 words, 1 headings, 0 bullets; at least 80, 2, 3",
        "a phrase of templates: 'expert guidance for'",
    ]


def test_a_folder_without_skill_md_is_none() -> None:
    assert rules_broken(()) == {"layout"}
