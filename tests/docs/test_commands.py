"""Every command that a document or a hint names exists, with the options it is given."""

from __future__ import annotations

import ast
import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from pveops.cli.app import root
from pveops.cli.commands import Group

ROOT = Path(__file__).resolve().parents[2]
PAGES = [
    ROOT / "README.md",
    *sorted((ROOT / "docs").rglob("*.md")),
    *sorted((ROOT / "skills").rglob("*.md")),
]
SOURCES = sorted((ROOT / "src" / "pveops").rglob("*.py"))
_INLINE = re.compile(r"`(pve [^`]+)`")
_BLOCK = re.compile(r"^(?: {4}|\$ )(pve .+)$", re.MULTILINE)
_STARTS = re.compile(r"(?<![\w/.-])pve (?=[a-z])")
_ENDS = re.compile(r"[`;|,)]|   #|\\$| \\\n|: | and | then | or |\n")
_HELD = "PLACE"
"""What stands in an f-string for a value."""


def commands_of_page(text: str) -> Iterator[str]:
    """Commands in code, inline or in blocks; a line that goes on is read up to its end."""
    joined = re.sub(r" \\\n\s+", " ", text)
    yield from _INLINE.findall(joined)
    yield from _BLOCK.findall(joined)


def commands_of_source(path: Path) -> Iterator[str]:
    """Commands in string literals: hints, remedies, examples. Docstrings are prose."""
    tree = ast.parse(path.read_text())
    docstrings = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    inner = {
        id(part)
        for node in ast.walk(tree)
        if isinstance(node, ast.JoinedStr)
        for part in node.values
    }
    for node in ast.walk(tree):
        if id(node) in docstrings or id(node) in inner:
            continue
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield from _cut(node.value)
        elif isinstance(node, ast.JoinedStr):
            parts = [p.value if isinstance(p, ast.Constant) else _HELD for p in node.values]
            yield from _cut("".join(str(part) for part in parts))


def _cut(text: str) -> Iterator[str]:
    for found in _STARTS.finditer(text):
        rest = text[found.start() :]
        end = _ENDS.search(rest)
        yield rest[: end.start()] if end else rest


def problem_with(line: str) -> str:
    """What is wrong with a command; empty: it exists, and so do its options."""
    text = re.split(r" #|\|", line, maxsplit=1)[0].strip().rstrip(".")
    try:
        words = shlex.split(text)[1:]
    except ValueError:
        return ""
    command: click.Command = root
    context = click.Context(root, info_name="pve")
    while words and isinstance(command, Group) and not words[0].startswith("-"):
        if not re.fullmatch(r"[a-z][a-z-]*", words[0]):
            return ""
        found = command.get_command(context, words[0])
        if found is None:
            return f"{context.command_path} has no {words[0]!r}"
        context = click.Context(found, parent=context, info_name=words[0])
        command, words = found, words[1:]
    flags = {flag for param in (*command.params, *root.params) for flag in param.opts}
    flags.add("--help")
    before_end = words[: words.index("--")] if "--" in words else words
    given = [word.split("=")[0] for word in before_end if re.match(r"--[a-z]", word)]
    unknown = [flag for flag in given if flag not in flags and _HELD not in flag]
    return f"{context.command_path} has no {', '.join(unknown)}" if unknown else ""


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_pages_name_commands_that_exist(page: Path) -> None:
    problems = {line: problem_with(line) for line in commands_of_page(page.read_text())}
    assert {line: problem for line, problem in problems.items() if problem} == {}


def test_hints_and_examples_name_commands_that_exist() -> None:
    problems: dict[str, str] = {}
    count = 0
    for path in SOURCES:
        if "sim" in path.parts:
            continue
        for line in commands_of_source(path):
            count += 1
            if problem := problem_with(line):
                problems[f"{path.name}: {line}"] = problem
    assert count > 200
    assert problems == {}


def test_a_command_that_does_not_exist_would_be_found() -> None:
    assert problem_with("pve guest explode web01") == "pve guest has no 'explode'"
    assert problem_with("pve guest stop web01 --hard") == "pve guest stop has no --hard"
    assert problem_with("pve guest exec web01 -- ls --hard") == ""
