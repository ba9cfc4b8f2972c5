"""Programs of others: what they said, or why they said nothing."""

from __future__ import annotations

import sys

import pytest

from pveops.config.programs import ask_program
from pveops.errors import ConfigError


def test_what_it_said_is_given_whatever_its_exit_code() -> None:
    script = "import sys; print(sys.stdin.read() or 'none'); sys.stderr.write('no'); sys.exit(3)"
    done = ask_program([sys.executable, "-c", script], timeout_s=30, hint="x")
    assert (done.returncode, done.stdout, done.stderr) == (3, "none\n", "no")


def test_bytes_that_are_no_text_end_nothing() -> None:
    script = "import sys; sys.stdout.buffer.write(bytes([255, 65]))"
    assert "A" in ask_program([sys.executable, "-c", script], timeout_s=30, hint="x").stdout


def test_one_that_does_not_end_in_time_is_ended() -> None:
    script = "import signal; signal.pause()"
    with pytest.raises(ConfigError, match="gave no answer") as raised:
        ask_program([sys.executable, "-c", script], timeout_s=0.5, hint="look at it")
    assert raised.value.hint == "look at it"


def test_one_that_is_not_there_is_named() -> None:
    with pytest.raises(ConfigError, match="/nowhere/openclaw cannot be run"):
        ask_program(["/nowhere/openclaw"], timeout_s=5, hint="x")
