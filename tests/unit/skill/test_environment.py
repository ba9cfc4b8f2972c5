"""The skill declares every environment variable that the product reads, and no other."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

from pveops.skill.folder import read_files, split_front
from pveops.skill.scanner import POSIX, env_reads

ROOT = Path(__file__).resolve().parents[3]
_NAME = re.compile(r"[A-Z][A-Z0-9_]{2,}")
_OTHER = re.compile(r"E_[A-Z_]+|NO_REPLY")
"""Codes of errors, and OpenClaw's word for silence."""
_DOORS = frozenset({"environ", "_environ", "getenv", "environb"})


def touches_environment(tree: ast.AST) -> bool:
    return any(
        getattr(node, kind, None) in _DOORS
        for node in ast.walk(tree)
        for kind in ("attr", "id", "arg")
    )


def names_in(source: str) -> Iterator[str]:
    """Every text that looks like a variable's name, in a module that touches the environment.

    Keys of dictionaries are left out: they are given to other programs, not read.
    """
    tree = ast.parse(source)
    if not touches_environment(tree):
        return
    keys = {id(key) for node in ast.walk(tree) if isinstance(node, ast.Dict) for key in node.keys}
    for node in ast.walk(tree):
        text = node.value if isinstance(node, ast.Constant) and id(node) not in keys else None
        if isinstance(text, str) and _NAME.fullmatch(text) and not _OTHER.fullmatch(text):
            yield text


def names_read() -> set[str]:
    product = {
        name
        for path in (ROOT / "src" / "pveops").rglob("*.py")
        if "sim" not in path.parts
        for name in names_in(path.read_text())
    }
    skill = ROOT / "skills" / "proxmox"
    scripts = {
        name for file in read_files(skill) if file.kind == "code" for name in env_reads(file.text)
    }
    return (product | scripts) - POSIX


def test_what_is_read_is_declared_and_what_is_declared_is_read() -> None:
    front, _ = split_front((ROOT / "skills" / "proxmox" / "SKILL.md").read_text())
    assert set(front.declared) == names_read()
    assert all(front.declared.values()), "each says what it is for"


def test_every_way_of_reading_would_be_found() -> None:
    ways = (
        'os.environ["SOME_NAME"]',
        'os.environ.get("SOME_NAME")',
        'os.getenv("SOME_NAME")',
        'getenv("SOME_NAME")',
        'f(environ, "SOME_NAME")',
        'NAMES = ("SOME_NAME",)\n[environ[name] for name in NAMES]',
        '"SOME_NAME" in call.environ',
    )
    for way in ways:
        assert list(names_in(way)) == ["SOME_NAME"], way
    assert list(names_in('run(env={"SOME_NAME": os.environ["OTHER"]})')) == ["OTHER"]
