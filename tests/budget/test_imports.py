"""Start-up is a feature: what each kind of call may import, in a fresh interpreter."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

HEAVY = {
    "asyncio",
    "concurrent.futures",
    "cryptography",
    "dataclasses",
    "difflib",
    "hypothesis",
    "logging",
    "matplotlib",
    "mcp",
    "msgspec",
    "multiprocessing",
    "prometheus_client",
    "pydoc",
    "random",
    "requests",
    "rich",
    "sqlite3",
    "tomllib",
    "unittest",
    "uuid",
    "yaml",
}
_PROBE = """
import json, sys
from pveops.cli.main import pve
sys.argv = ["pve", *json.loads(sys.argv[1])]
try:
    pve()
except SystemExit:
    pass
sys.stderr.write("\\nLOADED " + json.dumps(sorted(sys.modules)))
"""


def modules_of(words: list[str], home: Path) -> set[str]:
    """Every module that a call has loaded at its end."""
    environ = {"PATH": os.environ["PATH"], "PVE_HOME": str(home), "HOME": str(home)}
    done = subprocess.run(
        [sys.executable, "-c", _PROBE, json.dumps(words)],
        env=environ,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    loaded: list[str] = json.loads(done.stderr.rpartition("LOADED ")[2])
    return set(loaded)


@pytest.mark.parametrize(
    ("words", "allowed"),
    [
        (["--version"], set()),
        (["--help"], {"uuid"}),
        (["guest", "--help"], {"uuid"}),
        (["guest", "list", "--help"], {"uuid"}),
        (["graph", "guest", "--help"], {"uuid"}),
        (["report", "--help"], {"uuid"}),
        (["mcp", "--help"], {"uuid"}),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_help_and_version_load_nothing_heavy(
    words: list[str], allowed: set[str], tmp_path: Path
) -> None:
    """`uuid` comes with click."""
    assert (modules_of(words, tmp_path) & HEAVY) - allowed == set()


def test_the_version_is_told_before_click_is_loaded(tmp_path: Path) -> None:
    assert "click" not in modules_of(["--version"], tmp_path)


def test_no_call_loads_the_simulated_cluster(tmp_path: Path) -> None:
    loaded = modules_of(["guest", "list"], tmp_path)
    assert not [name for name in loaded if name.startswith("pveops.sim")]
