"""The broker when it is pressed: slow callers, strangers, too many requests, no more processes."""

from __future__ import annotations

import os
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import textwrap
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from pveops.cli.broker_message import Asked, Told
from pveops.cli.forward import ask_broker
from tests.integration.accounts import NEEDS_ROOT, STRANGER

Ask = Callable[..., Told]


@contextmanager
def broker(folder: Path, before: str = "", max_at_once: int = 2) -> Iterator[Ask]:
    """A broker whose only client is this account. before: what its process does first."""
    path = folder / "run" / "socket"
    path.parent.mkdir(parents=True)
    code = textwrap.dedent(
        f"""
        import os, subprocess, sys
        from pathlib import Path
        from pveops.broker.server import Broker
        from pveops.broker.settings import Settings
        environ = {{"PVE_HOME": {str(folder)!r}, "HOME": {str(folder)!r}}}
        settings = Settings(frozenset({{{os.geteuid()}}}), {max_at_once})
        broker = Broker(Path({str(path)!r}), settings, environ)
        """
    ) + textwrap.dedent(before)
    with subprocess.Popen(
        [sys.executable, "-c", f"{code}\nbroker.serve()\n"],
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as process:
        try:
            assert process.stderr is not None
            assert "listening" in process.stderr.readline()
            yield lambda *words: ask_broker(str(path), Asked("pve", words))
        finally:
            os.killpg(process.pid, signal.SIGTERM)


def connect(folder: Path) -> socket.socket:
    connection = socket.socket(socket.AF_UNIX)
    connection.connect(str(folder / "run" / "socket"))
    return connection


BUSY = """
for _ in range({}):
    process = subprocess.Popen(["sleep", "60"])
    broker._children[process.pid] = os.geteuid()
"""


def test_callers_that_never_end_their_request_hold_nobody_up(tmp_path: Path) -> None:
    with broker(tmp_path) as ask, ExitStack() as stack:
        for _ in range(40):
            slow = stack.enter_context(connect(tmp_path))
            slow.sendall(struct.pack("!I", 4 << 20) + b"{")
        assert ask("policy", "freeze").code == 0
        assert (tmp_path / "freeze").exists() or list(tmp_path.rglob("freeze*"))


@NEEDS_ROOT
def test_a_stranger_is_sent_away_before_it_has_said_anything() -> None:
    with tempfile.TemporaryDirectory() as name, broker(Path(name)) as ask:
        Path(name).chmod(0o755)
        stranger = textwrap.dedent(
            f"""
            import socket
            held = []
            for _ in range(80):
                each = socket.socket(socket.AF_UNIX)
                each.connect({f"{name}/run/socket"!r})
                held.append(each)
            print(held[-1].recv(4096)[4:].decode())
            """
        )
        done = subprocess.run(
            ["/usr/bin/python3", "-c", stranger],
            user=STRANGER,
            group=STRANGER,
            extra_groups=[],
            cwd="/",
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )
        assert "the broker does not know the account" in done.stdout, done.stderr
        assert ask("policy", "freeze").code == 0


def test_too_many_at_once_is_a_refusal_with_a_reason_and_freezing_still_works(
    tmp_path: Path,
) -> None:
    with broker(tmp_path, BUSY.format(2)) as ask:
        refused = ask("guest", "stop", "web02", "--reason", "x" * 60_000)
        assert refused.code == 9
        assert "E_BUSY: the broker has too much to do at once" in refused.stdout
        assert ask("policy", "freeze").code == 0


def test_a_broker_that_gets_no_more_processes_lives_on(tmp_path: Path) -> None:
    failing = """
    fork, left = os.fork, [1]
    def once():
        if left:
            left.pop()
            raise BlockingIOError(11, "Resource temporarily unavailable")
        return fork()
    os.fork = once
    """
    with broker(tmp_path, failing) as ask:
        refused = ask("plan", "list")
        assert refused.code == 9
        assert "cannot begin a process: Resource temporarily unavailable" in refused.stdout
        assert ask("policy", "freeze").code == 0


def test_a_change_that_goes_on_counts_among_what_is_done_at_once(tmp_path: Path) -> None:
    """Its worker outlives the request's own process no more."""
    worker = """
    import pveops.broker.server as server
    from pveops.cli.broker_message import Told
    def run_asked(asked, peer, environ):
        subprocess.Popen(["sleep", "60"], stdin=subprocess.DEVNULL)
        return Told(8, "pending")
    server.run_asked = run_asked
    """
    with broker(tmp_path, worker, max_at_once=1) as ask:
        assert ask("guest", "stop", "web02").code == 8
        assert ask("guest", "stop", "web01").code == 9


@pytest.mark.parametrize("words", [("plan", "show", "\ud800"), ("plan", "x\0y")])
def test_words_that_are_no_text_are_a_mistake_of_the_caller(
    words: tuple[str, ...], tmp_path: Path
) -> None:
    with broker(tmp_path) as ask:
        refused = ask(*words)
        assert refused.code == 2
        assert "E_USAGE" in refused.stdout
    assert not list(tmp_path.rglob("crash*"))


def test_a_request_that_was_not_taken_was_not_begun(tmp_path: Path) -> None:
    """More than a request may hold: the broker closes while the caller still writes."""
    from pveops.errors import ConfigError

    with broker(tmp_path) as ask, pytest.raises(ConfigError, match="nothing was begun"):
        ask("plan", "list", *["x" * 60_000] * 100)
