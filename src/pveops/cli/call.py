"""One call of the command line: its words, its surroundings, its options, its clock."""

from __future__ import annotations

import io
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, TextIO

if TYPE_CHECKING:
    from pveops.cli.wiring import Connect, Wiring
    from pveops.clock import Clock
    from pveops.context import Actor
    from pveops.engine.tools import Progress

_MAX_TYPED = 500


class Options:
    """What was asked for before and after the command's own words."""

    def __init__(self) -> None:
        self.profile = ""
        self.as_json = False
        self.fields: tuple[str, ...] = ()
        self.limit: int | None = None
        self.is_full = False
        self.reason = ""
        self.is_unattended = False
        self.has_trace = False
        self.is_look_only = False
        """Whether anything but looking is refused."""
        self.no_code = False
        """Whether no consent code goes out: the caller asks the person in its own way."""
        self.wait_s: float | None = None

    def keep(self, name: str, value: Any) -> None:
        """Set one of them. A name that is none would be an option that does nothing."""
        if name not in vars(self):
            raise AttributeError(name)
        setattr(self, name, value)


class Served(NamedTuple):
    """Whom a process carries a call out for that is not its own caller's.

    Such a caller is never a person at a terminal, and none of our files are read for it.
    """

    by: Literal["broker", "mcp"]
    actor: Actor
    admit: Callable[[str], None]
    """Called with an operation's id before it is carried out. Raises PveopsError."""

    @property
    def no_files(self) -> str:
        """What is said to whoever names a file."""
        name = "the broker" if self.by == "broker" else "the MCP server"
        return f"{name} reads and writes no files of its callers"


class Call:
    """Made once a process, and handed to every command as click's `obj`.

    served: for whom it is carried out, where that is somebody else.
    has_envelope: whether the answer is wanted as the envelope of `--json`, too.
    may_detach: whether a long change may go on in another process; only a process that is ours
        alone may fork. connect: how to reach a cluster, where it is not by the configuration.
    """

    def __init__(
        self,
        program: str,
        arguments: Sequence[str],
        *,
        environ: Mapping[str, str],
        clock: Clock,
        stdin: TextIO,
        stdout: TextIO,
        stderr: TextIO,
        may_detach: bool = False,
        connect: Connect | None = None,
        served: Served | None = None,
        has_envelope: bool = False,
    ) -> None:
        self.program = program
        self.arguments = tuple(arguments)
        self.environ = environ
        self.clock = clock
        self.stdin = stdin
        self.stdout = stdout
        self.stderr = stderr
        self.may_detach = may_detach
        self.started = clock.monotonic()
        self.options = Options()
        self.operation = ""
        self.on_progress: Progress | None = None
        """Where a run tells how far it is, while somebody watches."""
        self.claimed_run = ""
        """The run that this call began, as soon as there is one."""
        self.served = served
        self.has_envelope = has_envelope
        self.envelope = ""
        """The answer as JSON, once it was written, where it is wanted."""
        self._actor = served.actor if served is not None else None
        self._connect = connect
        self._wiring: Wiring | None = None

    @classmethod
    def of_process(cls, program: str, arguments: Sequence[str]) -> Call:
        """The call that this process was started for."""
        import os

        from pveops.clock import SystemClock

        for stream in (sys.stdout, sys.stderr):
            if isinstance(stream, io.TextIOWrapper):
                # A name that the locale cannot write is no reason to write nothing.
                stream.reconfigure(errors="backslashreplace")
        return cls(
            program,
            arguments,
            environ=os.environ,
            clock=SystemClock(),
            stdin=sys.stdin,
            stdout=sys.stdout,
            stderr=sys.stderr,
            may_detach=True,
        )

    @property
    def actor(self) -> Actor:
        """Who asks."""
        if self._actor is None:
            from pveops.context import identify_actor

            self._actor = identify_actor(
                self.environ,
                has_terminal=_is_terminal(self.stdin) and _is_terminal(self.stdout),
                is_unattended=self.options.is_unattended,
            )
        if self.options.is_unattended and self._actor.kind == "agent":
            return self._actor._replace(kind="unattended")
        return self._actor

    @property
    def is_brokered(self) -> bool:
        """Whether the broker carries this out for somebody else."""
        return self.served is not None and self.served.by == "broker"

    @property
    def is_person(self) -> bool:
        """Whether a person sits at a terminal, as far as can be told."""
        return self.actor.kind == "person"

    @property
    def program_file(self) -> str:
        """The command `pve` by its whole path, for those who have a PATH of their own."""
        from pathlib import Path

        return str(Path(sys.argv[0]).absolute())

    @property
    def is_detaching(self) -> bool:
        """Whether changes are made by a worker that outlives this process."""
        return self.may_detach and not self.is_person

    @property
    def has_rich_view(self) -> bool:
        """Whether colour and tables are wanted: a terminal, and no agent behind it."""
        return (
            not self.options.as_json
            and _is_terminal(self.stdout)
            and self.environ.get("TERM") != "dumb"
            and self.is_person
        )

    @property
    def wiring(self) -> Wiring:
        """The way to the cluster and to what is kept on this machine; made when first asked."""
        if self._wiring is None:
            from pveops.cli.wiring import Wiring

            self._wiring = Wiring(self, self._connect)
        return self._wiring

    @property
    def is_wired(self) -> bool:
        """Whether anything was asked of the cluster or the configuration yet."""
        return self._wiring is not None

    @property
    def line(self) -> str:
        """The command as it was typed."""
        import shlex

        return shlex.join([self.program, *self.arguments])

    def ask(self, question: str) -> str:
        """What the person at the terminal types; nothing at the end of the input."""
        self.stderr.write(f"{question}: ")
        self.stderr.flush()
        return self.stdin.readline(_MAX_TYPED).strip()

    def elapsed_s(self) -> float:
        """Seconds since the call began."""
        return self.clock.monotonic() - self.started

    def close(self) -> None:
        """Let go of connections and files."""
        if self._wiring is not None:
            self._wiring.close()


def _is_terminal(stream: TextIO) -> bool:
    try:
        return stream.isatty()
    except (AttributeError, ValueError):
        return False
