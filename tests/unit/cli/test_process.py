"""The executables as processes: start, signals, pipes."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from pveops import __version__

ENTER = "import sys; from pveops.cli.main import {}; sys.exit({}())"


def run(program: str, *arguments: str, home: str = "/nonexistent", **more: object):
    code = ENTER.format(program, program)
    return subprocess.run(
        [sys.executable, "-c", code, *arguments],
        env={**os.environ, "PVE_HOME": home, "HOME": home},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        **more,
    )


@pytest.mark.parametrize(("program", "name"), [("pve", "pve"), ("pve_apply", "pve-apply")])
def test_the_version_is_told_before_anything_heavy_is_imported(program, name):
    code = (
        f"import sys; sys.argv[1:] = ['--version']; from pveops.cli.main import {program} as go; "
        "go(); heavy = {'click', 'msgspec', 'ssl', 'json', 're', 'typing'}; "
        "sys.exit(','.join(sorted(heavy & set(sys.modules))) or 0)"
    )
    # -S: what the environment's own .pth files import is not ours.
    path = os.pathsep.join(sys.path)
    done = subprocess.run(
        [sys.executable, "-S", "-c", code],
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.stdout == f"{name} {__version__}\n"
    assert done.stderr == ""


def test_no_configuration_is_one_clear_error(tmp_path):
    done = run("pve", "guest", "list", home=str(tmp_path))
    assert done.returncode == 7, done.stdout
    assert done.stdout.startswith("error E_CONFIG: ")
    assert "pve init" in done.stdout.splitlines()[-1]
    assert "Traceback" not in done.stdout + done.stderr


def test_a_reader_that_has_seen_enough_is_not_an_error():
    reading, writing = os.pipe()
    os.close(reading)
    code = ENTER.format("pve", "pve")
    with os.fdopen(writing, "w") as pipe:
        done = subprocess.run(
            [sys.executable, "-c", code, "--help"],
            stdout=pipe,
            stderr=subprocess.PIPE,
            text=True,
            timeout=60,
            check=False,
        )
    assert done.stderr == ""


def test_help_needs_no_configuration():
    done = run("pve", "--help")
    assert done.returncode == 0
    assert "Exit codes" in done.stdout
    assert run("pve").stdout == done.stdout
    assert run("pve-apply".replace("-", "_"), "--help").returncode == 0


def test_a_name_that_the_locale_cannot_write_is_still_written():
    code = (
        "import sys, os; from pveops.cli.call import Call; call = Call.of_process('pve', []); "
        "call.stdout.write('caf\\u00e9\\u2603\\n')"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONIOENCODING": "ascii"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.stdout == "caf\\xe9\\u2603\n"


@pytest.mark.parametrize("command", ["pve --help", "pve guest list"])
def test_an_answer_that_cannot_be_written_is_told_on_stderr(command, tmp_path):
    """A full disk behind stdout: no traceback, and never the exit code of success."""
    program, *arguments = command.split()
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [sys.executable, "-c", ENTER.format(program, program), *arguments],
            env={**os.environ, "PVE_HOME": str(tmp_path), "HOME": str(tmp_path)},
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            timeout=60,
            check=False,
        )
    assert done.returncode != 0
    assert "Traceback" not in done.stderr
    assert "could not be written" in done.stderr


def test_a_closed_stdout_is_told_on_stderr(tmp_path):
    code = f"import os; os.close(1); {ENTER.format('pve', 'pve')}"
    done = subprocess.run(
        [sys.executable, "-c", code, "guest", "list"],
        env={**os.environ, "PVE_HOME": str(tmp_path), "HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 7
    assert "Traceback" not in done.stderr
    assert done.stderr.startswith("error E_OUTPUT: ")
