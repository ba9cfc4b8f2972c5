"""The levels of consent, each set up for real, as an attacker with an agent's shell finds them."""

from __future__ import annotations

import io
import re
import shlex
import sqlite3
import subprocess
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

from pveops.api.auth import Authenticated, Secret, TokenAuth
from pveops.api.client import Client
from pveops.cli.broker_message import Asked
from pveops.cli.call import Call, Served
from pveops.cli.process import run_call
from pveops.cli.wiring import Connection
from pveops.config.profiles import ConsentConfig
from pveops.context import Actor
from pveops.errors import PveopsError, UsageError
from pveops.mcp.admission import admit_with
from pveops.mcp.request import make_asked
from pveops.sim.inprocess import InProcess
from pveops.sim.seeds.accounts import AGENT, READER, READER_NAME
from tests.world import SimTransport, World, make_world

LEVELS = ("G0", "G1", "G2", "G3", "G4")
TARGET = "pve snapshot delete web02 old"
"""Of tier 3: what is deleted comes back by nothing."""


class Terminal(io.StringIO):
    """A stream that says it is a terminal, as a pseudo-terminal does."""

    def isatty(self) -> bool:
        return True


@dataclass
class Level:
    """One level: how an agent runs commands at it, and what its own account can do beside."""

    name: str
    folder: Path
    """What an agent's account has; the plans and the policy lie here, but at G3."""
    run: Callable[..., tuple[int, str]]
    """(line, stdin, environ, is_terminal) -> exit code and output."""
    is_gone: Callable[[], bool]
    """Whether the attack has reached what it was for."""
    change_directly: Callable[[], bool]
    """Call PVE with whatever token the account can read; whether PVE did it."""
    kept: Path
    """Where plans, consents, policy and audit log lie."""
    may_write: Callable[[Path], bool]
    """Whether the account can write a file there."""
    inbox: Path
    over_mcp: Callable[..., tuple[int, str]]
    """(tool, arguments) -> the same, for a call of a tool of the MCP server."""
    notes: dict[str, str] = field(default_factory=dict)

    def newest_code(self) -> str:
        """What only the person has seen."""
        return re.findall(r"code: (\S+)", self.inbox.read_text())[-1]

    def plan(self, line: str = TARGET) -> str:
        """A plan that waits; empty when none was made."""
        found = re.findall(r"pl_[0-9a-f]+", self.run(line)[1])
        return found[0] if found else ""

    @property
    def store(self) -> Path:
        return self.kept / "store.sqlite3"

    def edit_store(self, statement: str, *values: object) -> None:
        """As a program of the account does that knows the tables. Raises what it meets."""
        if not self.may_write(self.store):
            raise PermissionError(self.store)
        with closing(sqlite3.connect(self.store)) as db, db:
            db.execute(statement, values)


def make_level(name: str, folder: Path) -> Level:
    """G0, G1, G2 or G4, in this process."""
    world = make_world(folder)
    guest = world.cluster.guests[102]
    guest.snapshots["old"] = {**guest.config, "snaptime": int(world.cluster.timeline.now())}
    inbox = folder / "inbox.txt"
    inbox.touch()
    consent = ConsentConfig()
    if name in {"G2", "G4"}:
        consent = ConsentConfig(sender=("sh", "-c", f"cat >> {shlex.quote(str(inbox))}"))
    if name == "G4":
        key = folder / "person"
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(key)], check=True)
        signers = folder / "allowed_signers"
        signers.write_text(f"anna {key.with_suffix('.pub').read_text()}")
        rules = f"allowed_signers: {signers}, min_level: {{tier3: G4}}"
        (folder / "policy.yaml").write_text(f"consent: {{{rules}}}\n")
    token = token_of(world, is_reader=name == "G0")

    def run(
        line: str, stdin: str = "", environ: dict[str, str] | None = None, terminal: bool = False
    ) -> tuple[int, str]:
        program, *words = shlex.split(line)
        asked = Asked(program, tuple(words), stdin)
        return _run(world, folder, token, consent, asked, environ or {}, terminal)

    def over_mcp(tool: str, **arguments: object) -> tuple[int, str]:
        try:
            asked = make_asked(tool, arguments)
        except UsageError as error:
            return error.exit_code, error.message
        served = Served("mcp", Actor("agent", "x", {}, face="mcp"), admit_with(tool))
        return _run(world, folder, token, consent, asked, {}, False, served)

    def change_directly() -> bool:
        try:
            _client(world, token).write("DELETE", "/nodes/pve1/qemu/102/snapshot/old")
        except PveopsError:
            return False
        world.cluster.timeline.advance(60)
        return "old" not in guest.snapshots

    return Level(
        name=name,
        folder=folder,
        run=run,
        is_gone=lambda: "old" not in guest.snapshots,
        change_directly=change_directly,
        kept=folder,
        may_write=lambda _path: True,
        inbox=inbox,
        over_mcp=over_mcp,
    )


def token_of(world: World, *, is_reader: bool) -> tuple[str, str]:
    """(id, secret) of what the agent's account holds."""
    if is_reader:
        return READER, world.cluster.access.users[AGENT].tokens[READER_NAME].secret
    return world.seed.token_id, world.seed.token_secret


def _transport(world: World, token: tuple[str, str]) -> Authenticated:
    inner = SimTransport(InProcess(world.cluster, "pve1"), "pve1")
    return Authenticated(inner, TokenAuth(token[0], Secret(token[1])))


def _client(world: World, token: tuple[str, str]) -> Client:
    return Client(_transport(world, token), world.cluster.timeline)


def _run(
    world: World,
    folder: Path,
    token: tuple[str, str],
    consent: ConsentConfig,
    asked: Asked,
    environ: dict[str, str],
    terminal: bool,
    served: Served | None = None,
) -> tuple[int, str]:
    stream = Terminal if terminal else io.StringIO
    stdout, stderr = stream(), io.StringIO()
    call = Call(
        asked.program,
        asked.arguments,
        environ={"PVE_HOME": str(folder), "HOME": str(folder), "TERM": "dumb", **environ},
        clock=world.cluster.timeline,
        stdin=stream(asked.stdin),
        stdout=stdout,
        stderr=stderr,
        connect=lambda _call, _wiring: Connection(
            "sim", "sim", token[0], _transport(world, token), consent
        ),
        served=served,
    )
    code = run_call(call)
    return code, stdout.getvalue() + stderr.getvalue()
