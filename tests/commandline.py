"""Command lines, run in this process on a simulated cluster."""

from __future__ import annotations

import io
import json
import shlex
from pathlib import Path
from typing import Any, NamedTuple, TextIO

from pveops.api.auth import Authenticated, Secret, TokenAuth
from pveops.cli.call import Call
from pveops.cli.process import run_call
from pveops.cli.wiring import Connection
from pveops.sim.inprocess import InProcess
from tests.secrets_scan import leak_in
from tests.world import SimTransport, World


class Outcome(NamedTuple):
    """What a command line came to."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> dict[str, Any]:
        """The envelope of `--json`."""
        value: dict[str, Any] = json.loads(self.out)
        return value


def run_line(
    world: World, folder: Path, line: str, *, node: str = "pve1", **connection: Any
) -> Outcome:
    """`line` as an agent runs it, without a terminal. connection: members of `Connection`."""
    program, *words = shlex.split(line)
    return run_words(world, folder, program, words, node=node, **connection)


def run_words(
    world: World,
    folder: Path,
    program: str,
    words: list[str],
    *,
    node: str = "pve1",
    **connection: Any,
) -> Outcome:
    """As `run_line`, of words as they are: no shell's rules, which take long over long ones."""
    stdout, stderr = io.StringIO(), io.StringIO()
    call = call_of(world, folder, program, node=node, stdout=stdout, stderr=stderr, **connection)
    call.arguments = tuple(words)
    outcome = Outcome(run_call(call), stdout.getvalue(), stderr.getvalue())
    assert not leak_in((outcome.out + outcome.err).encode()), "a secret was shown"
    return outcome


def call_of(
    world: World,
    folder: Path,
    line: str = "pve status",
    *,
    node: str = "pve1",
    stdout: TextIO | None = None,
    stderr: TextIO | None = None,
    **connection: Any,
) -> Call:
    """A call that was not carried out yet."""
    program, *arguments = shlex.split(line)
    seed = world.seed
    transport = Authenticated(
        SimTransport(InProcess(world.cluster, node), node),
        TokenAuth(seed.token_id, Secret(seed.token_secret)),
    )
    return Call(
        program,
        arguments,
        environ={"PVE_HOME": str(folder), "HOME": str(folder)},
        clock=world.cluster.timeline,
        stdin=io.StringIO(),
        stdout=stdout or io.StringIO(),
        stderr=stderr or io.StringIO(),
        connect=lambda _call, _wiring: Connection(
            "sim", "sim", seed.token_id, transport, **connection
        ),
    )
