"""A process for each call, forked by one that has no threads and holds none of our streams.

The server itself has threads and the protocol's streams, so it never forks. What it asks for is
carried out by children of a process that was forked before all that: a child can print, hang,
fork a worker that outlives it, or be ended, as a command of a shell can.
"""

from __future__ import annotations

import contextlib
import importlib
import os
import signal
import socket
import struct
from collections.abc import Mapping
from typing import Any, NamedTuple, NoReturn

from pveops.cli.broker_message import (
    MAX_BYTES,
    Told,
    encode_message,
    receive_message,
    unpack_asked,
)
from pveops.cli.call import Served
from pveops.cli.failure import Terminated
from pveops.errors import InternalError, ProtocolError
from pveops.mcp.admission import admit_with

_ORDER = struct.Struct("!BI")
_BEGIN, _STOP = 1, 2
_READ_S = 10.0
_WRITE_S = 30.0
_WARM = (
    "pveops.cli.app",
    "pveops.cli.changing",
    "pveops.cli.connection",
    "pveops.cli.emit",
    "pveops.cli.jsonout",
    "pveops.cli.serve",
    "pveops.cli.text",
    "pveops.cli.verbs",
    "pveops.domain.inventory",
    "pveops.engine.audit",
    "pveops.engine.change",
    "pveops.engine.store",
)
"""What nearly every call needs is loaded once."""


class Begun(NamedTuple):
    """A process that waits for its request, and answers on the same socket."""

    number: int
    connection: socket.socket


class Processes:
    """The server's end. Not for several threads at once."""

    def __init__(self, control: socket.socket) -> None:
        self._control = control
        self._last = 0

    @classmethod
    def fork(cls, environ: Mapping[str, str]) -> Processes:
        """Before there are threads, or anything that a child should not hold."""
        ours, theirs = socket.socketpair()
        if os.fork() == 0:
            ours.close()
            _serve_and_leave(theirs, environ)
        theirs.close()
        return cls(ours)

    def begin(self) -> Begun:
        """Another process. Raises InternalError when the one that forks them is gone."""
        ours, theirs = socket.socketpair()
        self._last += 1
        try:
            socket.send_fds(self._control, [_ORDER.pack(_BEGIN, self._last)], [theirs.fileno()])
        except OSError as error:
            ours.close()
            raise InternalError(
                f"the server cannot start a process any more: {error.strerror or error}",
                hint="start the MCP server again",
            ) from error
        finally:
            theirs.close()
        return Begun(self._last, ours)

    def stop(self, number: int) -> None:
        """As the end of a shell's command: what has begun goes on, what has not does not."""
        with contextlib.suppress(OSError):
            self._control.sendall(_ORDER.pack(_STOP, number))

    def close(self) -> None:
        """Stop them all."""
        self._control.close()


def _serve_and_leave(control: socket.socket, environ: Mapping[str, str]) -> NoReturn:
    """The whole life of the process that forks. It never returns into its parent's stack."""
    code = 1
    try:
        nothing = os.open(os.devnull, os.O_RDWR)
        for descriptor in (0, 1):
            os.dup2(nothing, descriptor)
        os.close(nothing)
        for number in (signal.SIGTERM, signal.SIGINT):
            # It ends when the server does, after its children were told.
            signal.signal(number, _stay)
        for name in _WARM:
            importlib.import_module(name)
        _serve(control, environ)
        code = 0
    finally:
        os._exit(code)


def _serve(control: socket.socket, environ: Mapping[str, str]) -> None:
    children: dict[int, int] = {}
    while True:
        order, descriptors, _, _ = socket.recv_fds(control, _ORDER.size, 1, socket.MSG_WAITALL)
        for number, pid in list(children.items()):
            if os.waitpid(pid, os.WNOHANG)[0]:
                del children[number]
        if len(order) < _ORDER.size:
            break
        kind, number = _ORDER.unpack(order)
        if kind == _BEGIN and descriptors:
            children[number] = _fork(control, socket.socket(fileno=descriptors[0]), environ)
        elif kind == _STOP and number in children:
            os.kill(children[number], signal.SIGTERM)
    for pid in children.values():
        os.kill(pid, signal.SIGTERM)


def _fork(control: socket.socket, connection: socket.socket, environ: Mapping[str, str]) -> int:
    """Its pid. It can be told to stop from its first moment on."""
    with connection:
        before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
        pid = os.fork()
        if pid == 0:
            control.close()
            _answer_and_leave(connection, environ, before)
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
    return pid


def _answer_and_leave(
    connection: socket.socket, environ: Mapping[str, str], mask: set[signal.Signals | int]
) -> NoReturn:
    """The whole life of a call's process."""
    code = 1
    try:
        signal.signal(signal.SIGTERM, _terminate)
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        connection.settimeout(_READ_S)
        told = carry_out_for_client(receive_message(connection), environ)
        connection.settimeout(_WRITE_S)
        connection.sendall(_encode(told))
        # A worker that goes on may hold the socket; the server is not to wait for it.
        connection.shutdown(socket.SHUT_RDWR)
        code = 0
    except (OSError, ProtocolError, Terminated):
        # Nobody listens any more.
        code = 1
    finally:
        os._exit(code)


def carry_out_for_client(message: dict[str, Any], environ: Mapping[str, str]) -> Told:
    """What a call's process does: a packed request with the name of the tool."""
    from pveops.cli.serve import carry_out
    from pveops.context import identify_actor

    asked = unpack_asked(message)
    actor = identify_actor(environ, has_terminal=False)
    actor = actor._replace(face="mcp", asserted={**actor.asserted, **asked.asserted})
    tool = str(message.get("tool"))
    return carry_out(asked, Served("mcp", actor, admit_with(tool)), environ)


def _encode(told: Told) -> bytes:
    content = encode_message(told._asdict())
    if len(content) <= MAX_BYTES:
        return content
    text = "error E_USAGE: the answer is too large\nnext: ask for less: --limit N, --fields a,b\n"
    return encode_message(Told(2, text)._asdict())


def _stay(_number: int, _frame: object) -> None:
    """Nothing."""


def _terminate(_number: int, _frame: object) -> NoReturn:
    raise Terminated
