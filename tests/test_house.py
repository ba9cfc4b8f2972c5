"""The rules of the house that can be counted."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
SOURCES = sorted((ROOT / "src").rglob("*.py"))
MAX_MODULE_LINES = 500
MAX_FUNCTION_LINES = 60


def functions(path: Path) -> Iterator[tuple[str, int]]:
    """Each function's name and length, its docstring left out."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            first = node.body[0]
            has_docstring = isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant)
            prose = (first.end_lineno or 0) - first.lineno + 1 if has_docstring else 0
            yield node.name, (node.end_lineno or 0) - node.lineno + 1 - prose


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_modules_and_functions_stay_small(path: Path) -> None:
    assert len(path.read_text().splitlines()) <= MAX_MODULE_LINES
    too_long = {name: size for name, size in functions(path) if size > MAX_FUNCTION_LINES}
    assert too_long == {}


def test_only_the_clock_sleeps() -> None:
    sleepers = [
        str(path.relative_to(ROOT))
        for path in SOURCES
        if "time.sleep(" in path.read_text() and path.name != "clock.py"
    ]
    assert sleepers == []


def test_only_the_executor_is_given_the_writer() -> None:
    """`Client.write` is called where the executor calls it, and where a task is cancelled.

    And where a token is rotated: the answer is a secret, which no plan or journal may hold, and
    the client is a person's login and not the session's writer.
    """
    allowed = {
        "src/pveops/engine/executor.py",
        "src/pveops/engine/token_calls.py",
        "src/pveops/api/tasks.py",
    }
    callers = {
        str(path.relative_to(ROOT))
        for path in SOURCES
        if "pveops/sim/" not in str(path)
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and node.func.attr == "write"
        and isinstance(node.func.value, ast.Attribute | ast.Name)
        and ast.unparse(node.func.value).endswith(("writer", "client"))
    }
    assert callers <= allowed


def test_the_imports_run_downwards() -> None:
    done = subprocess.run(
        [str(Path(sys.executable).with_name("lint-imports"))],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout


def test_the_generated_pages_are_current() -> None:
    done = subprocess.run(
        [sys.executable, str(ROOT / "docs" / "generate.py"), "--check"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
