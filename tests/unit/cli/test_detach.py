"""A change goes on when its caller has gone; the caller is answered in time. Real processes."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = """
import sys, os, json
from pveops.cli.answer import Answer
from pveops.cli.call import Call
from pveops.cli.detach import carry
from pveops.cli.emit import emit
from pveops.cli.failure import Terminated, answer_of
from pveops.cli.process import _terminate
import signal
signal.signal(signal.SIGTERM, _terminate)
# Ignored where the tests themselves run in the background.
signal.signal(signal.SIGINT, signal.default_int_handler)
call = Call.of_process("pve", ["guest", "stop", "web01"])
call.options.wait_s = float(os.environ["WAIT_S"])
gate = os.environ.get("GATE")
def work(claimed):
    if os.environ.get("FAIL"):
        raise eval(os.environ["FAIL"])
    if os.environ.get("STALL_BEFORE"):
        open(gate).read()
    claimed("run_1")
    call.stderr.write("GET /version: 200\\n")
    if os.environ.get("DIE"):
        os._exit(9)
    if gate:
        open(gate).read()
    with open(os.environ["DONE"], "w") as file:
        file.write(json.dumps({"session": os.getsid(0) == os.getpid()}))
    return Answer("done: web01", changed=True)
try:
    code = emit(call, carry(call, work))
except BaseException as problem:
    code = emit(call, answer_of(call, problem))
sys.stdout.flush()
os._exit(code)
"""


class Caller:
    """Starts the program above and lets its work go on by opening a named pipe."""

    def __init__(self, folder: Path) -> None:
        self.done = folder / "done"
        self.gate = folder / "gate"
        self.process: subprocess.Popen[str] | None = None

    def start(self, *, wait_s: float, gated: bool = False, **more: str) -> subprocess.Popen[str]:
        environ = {**os.environ, "WAIT_S": str(wait_s), "DONE": str(self.done), **more}
        if gated:
            os.mkfifo(self.gate)
            environ["GATE"] = str(self.gate)
        self.process = subprocess.Popen(
            [sys.executable, "-c", PROGRAM],
            env=environ,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        return self.process

    def open_gate(self) -> None:
        """Let the work go on, and return once it is over: the worker's end of a pipe closes."""
        with self.gate.open("w"):
            pass


@pytest.fixture
def caller(tmp_path):
    caller = Caller(tmp_path)
    yield caller
    if caller.process is not None:
        caller.process.kill()
        caller.process.communicate()


def wait_for(path: Path, attempts: int = 400) -> str:
    """The file's text once it is whole. Polls an event of another process, with a bound."""
    import select

    for _ in range(attempts):
        if path.exists() and (text := path.read_text()):
            return text
        select.select([], [], [], 0.02)
    raise AssertionError(f"{path} never came")


def test_work_that_is_quick_is_answered_whole(caller):
    out, err = caller.start(wait_s=30).communicate(timeout=60)
    assert out == "done: web01\n"
    assert err == "GET /version: 200\n"
    assert caller.process.returncode == 0


def test_the_worker_has_a_session_of_its_own(caller):
    caller.start(wait_s=30).communicate(timeout=60)
    assert json.loads(caller.done.read_text())["session"] is True


def test_work_that_takes_longer_is_pending_and_goes_on(caller):
    """The caller's pipes are closed while the worker still works: `communicate` returns."""
    out, _ = caller.start(wait_s=0, gated=True).communicate(timeout=60)
    assert caller.process.returncode == 8
    assert out.splitlines()[0] == "pending: run_1 goes on in the background"
    assert out.splitlines()[-1] == "next: pve run wait run_1"
    assert not caller.done.exists()
    caller.open_gate()
    assert wait_for(caller.done)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGKILL])
def test_killing_the_caller_does_not_stop_what_has_begun(caller, number):
    process = caller.start(wait_s=60, gated=True)
    with caller.gate.open("w"):  # opens once the worker stands at the gate, after its claim
        process.send_signal(number)
        out, _ = process.communicate(timeout=60)
    assert wait_for(caller.done)
    if number != signal.SIGKILL:
        assert process.returncode == {signal.SIGTERM: 143, signal.SIGINT: 130}[number]
        assert "run_1" in out


def test_a_caller_that_leaves_before_anything_began_takes_its_worker_along(caller):
    process = caller.start(wait_s=60, gated=True, STALL_BEFORE="1")
    with caller.gate.open("w"):
        process.send_signal(signal.SIGTERM)
        out, _ = process.communicate(timeout=60)
    assert process.returncode == 143
    assert "run_1" not in out
    assert not caller.done.exists()


def test_an_error_of_the_worker_is_the_callers_answer(caller):
    failing = "__import__('pveops.errors').errors.FrozenError('all changes are frozen')"
    out, _ = caller.start(wait_s=30, FAIL=failing).communicate(timeout=60)
    assert caller.process.returncode == 4
    assert out.startswith("error E_FROZEN: all changes are frozen\n")


def test_a_worker_that_dies_after_its_claim_leaves_an_unknown_outcome(caller):
    out, _ = caller.start(wait_s=30, DIE="1").communicate(timeout=60)
    assert caller.process.returncode == 13
    assert "next: pve run resume run_1" in out
