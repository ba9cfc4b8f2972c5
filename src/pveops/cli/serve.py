"""A command line carried out for somebody else: what the broker and the MCP server do."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Mapping

from pveops.cli.broker_message import Asked, Told
from pveops.cli.call import Call, Served
from pveops.cli.process import run_call
from pveops.clock import SystemClock


def carry_out(asked: Asked, served: Served, environ: Mapping[str, str]) -> Told:
    """What the command came to. Nothing is read from, or written to, this process's streams.

    Only for a process that does nothing else: what is printed meanwhile counts as the answer, and
    a long change forks.
    """
    stdout, stderr = io.StringIO(), io.StringIO()
    call = Call(
        asked.program,
        asked.arguments,
        environ=environ,
        clock=SystemClock(),
        stdin=io.StringIO(asked.stdin),
        stdout=stdout,
        stderr=stderr,
        may_detach=True,
        served=served,
        has_envelope=asked.has_envelope,
    )
    with contextlib.redirect_stdout(stdout), contextlib.redirect_stderr(stderr):
        code = run_call(call)
    return Told(code, stdout.getvalue(), stderr.getvalue(), call.envelope)
