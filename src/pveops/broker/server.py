"""The broker at work: a socket, and a process for each request.

A request is a command line. It runs here as the broker's account, with none of the caller's
surroundings: no terminal, no files, no environment. Who asks is what the kernel says.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import socket
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import NoReturn

from pveops.broker.intake import Incoming, is_freeze, make_room
from pveops.broker.peer import Peer, peer_of
from pveops.broker.settings import Settings
from pveops.cli.broker_message import (
    Asked,
    Told,
    decode_body,
    send_message,
    unpack_asked,
)
from pveops.cli.call import Served
from pveops.cli.forward import check_brokered
from pveops.clock import SystemClock
from pveops.context import Actor
from pveops.errors import (
    BusyError,
    ConfigError,
    PolicyRefusedError,
    ProtocolError,
    PveopsError,
    UsageError,
)

_WRITE_S = 30.0
_BACKLOG = 64
_POLL_S = 1.0
_KEPT_TO_FREEZE = 4
"""Processes that are had for `pve policy freeze` alone, when all others are at work."""
_MODE = 0o666
"""Who may ask is decided by the peer's account, not by the mode of a file."""


class Broker:
    """Listens until it is told to stop (SIGTERM, SIGINT); what runs goes on to its end."""

    def __init__(self, path: Path, settings: Settings, environ: Mapping[str, str]) -> None:
        self._path = path
        self._settings = settings
        self._environ = dict(environ)
        self._children: dict[int, int] = {}
        """Process -> the account that it works for."""
        self._incoming: list[Incoming] = []
        self._is_stopping = False
        self._clock = SystemClock()

    def serve(self) -> None:
        """Raises ConfigError when the socket cannot be had."""
        self._listener = listener = _listen(self._path)
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._stop)
        _say(f"listening at {self._path}")
        try:
            while not self._is_stopping:
                sources: list[socket.socket | Incoming] = [listener, *self._incoming]
                ready, _, _ = select.select(sources, [], [], _POLL_S)
                self._reap()
                for each in ready:
                    if isinstance(each, Incoming):
                        self._read(each)
                if listener in ready:
                    self._take()
                for each in [each for each in self._incoming if each.is_late]:
                    self._drop(each, "it was not whole in time")
        finally:
            listener.close()
            with contextlib.suppress(OSError):
                self._path.unlink()

    def _stop(self, _number: int, _frame: object) -> None:
        self._is_stopping = True

    def _take(self) -> None:
        """Whoever is no client is sent away before anything of it is read."""
        try:
            connection, _ = self._listener.accept()
        except OSError as error:
            _say(f"a connection was not taken: {error}")
            if self._incoming:
                self._drop(self._incoming[0], "there is no room")
            return
        try:
            peer = peer_of(connection)
        except OSError:
            connection.close()
            return
        if peer.uid not in self._settings.clients and peer.uid != 0:
            _say(f"refused: {peer.name} (uid {peer.uid}) is no client")
            text = f"the broker does not know the account {peer.name}"
            hint = "its owner lists clients in broker.yaml"
            _refuse(connection, PolicyRefusedError(text, hint=hint))
            return
        oldest = make_room(self._incoming, peer.uid)
        if oldest is not None:
            self._drop(oldest, "its account has too many at once")
        self._incoming.append(Incoming(connection, peer, self._clock))

    def _read(self, incoming: Incoming) -> None:
        try:
            content = incoming.read()
        except (OSError, ProtocolError) as error:
            self._drop(incoming, str(error))
            return
        if content is not None:
            self._incoming.remove(incoming)
            self._begin(incoming.connection, incoming.peer, content)

    def _drop(self, incoming: Incoming, why: str) -> None:
        self._incoming.remove(incoming)
        incoming.connection.close()
        if not incoming.is_empty:
            _say(f"a request of {incoming.peer.name} was dropped: {why}")

    def _begin(self, connection: socket.socket, peer: Peer, content: bytes) -> None:
        """A process for a request that is whole, if there may be one more."""
        if not self._has_room(peer.uid) and not self._has_room_to_freeze(content):
            _refuse(connection, BusyError("the broker has too much to do at once"))
            return
        try:
            pid = os.fork()
        except OSError as error:
            _say(f"no process could be begun: {error}")
            _refuse(connection, BusyError(f"the broker cannot begin a process: {error.strerror}"))
            return
        if pid == 0:
            self._listener.close()
            for other in self._incoming:
                other.connection.close()
            _answer_and_leave(connection, peer, content, self._environ)
        connection.close()
        self._children[pid] = peer.uid

    def _has_room(self, uid: int) -> bool:
        """No account takes all of it where there are several."""
        most = self._settings.max_at_once
        own = list(self._children.values()).count(uid)
        share = most if len(self._settings.clients) == 1 else max(1, most * 3 // 4)
        return len(self._children) < most and own < share

    def _has_room_to_freeze(self, content: bytes) -> bool:
        return len(self._children) < self._settings.max_at_once + _KEPT_TO_FREEZE and is_freeze(
            content
        )

    def _reap(self) -> None:
        for pid in list(self._children):
            done, _ = os.waitpid(pid, os.WNOHANG)
            if done:
                del self._children[pid]


def _listen(path: Path) -> socket.socket:
    """The socket, in place of one that a broker left behind which is gone."""
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        if path.is_socket():
            with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
                if probe.connect_ex(str(path)) == 0:
                    raise ConfigError(f"another broker listens at {path}")
            path.unlink()
        listener.bind(str(path))
        path.chmod(_MODE)
        listener.listen(_BACKLOG)
        listener.setblocking(False)
    except OSError as error:
        listener.close()
        raise ConfigError(
            f"the broker cannot listen at {path}: {error.strerror or error}",
            hint="pve-broker serve --socket PATH, in a folder that the broker's account may write",
        ) from error
    return listener


def _answer_and_leave(
    connection: socket.socket, peer: Peer, content: bytes, environ: Mapping[str, str]
) -> NoReturn:
    """The whole life of a request's process. It never returns into the listener's stack."""
    code = 1
    try:
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, signal.SIG_DFL)
        told = _carry_out(content, peer, environ)
        connection.settimeout(_WRITE_S)
        with contextlib.suppress(OSError):
            send_message(connection, told._asdict())
            # A worker that goes on may hold the socket; the caller is not to wait for it.
            connection.shutdown(socket.SHUT_RDWR)
        connection.close()
        _outlive_workers()
        code = 0
    except OSError as error:
        _say(f"a request was dropped: {error}")
    finally:
        os._exit(code)


def _outlive_workers() -> None:
    """A change that goes on counts among what is done at once, until it has ended."""
    with contextlib.suppress(ChildProcessError):
        while True:
            os.waitpid(-1, 0)


def _carry_out(content: bytes, peer: Peer, environ: Mapping[str, str]) -> Told:
    try:
        asked = unpack_asked(decode_body(content))
    except ProtocolError as error:
        _say(f"refused: {error.message}, of {peer.name}")
        return _told(UsageError(f"the broker does not understand it: {error.message}"))
    return run_asked(asked, peer, environ)


def run_asked(asked: Asked, peer: Peer, environ: Mapping[str, str]) -> Told:
    """Carry out one command line for a peer."""
    from pveops.cli.serve import carry_out

    return carry_out(asked, Served("broker", actor_of(peer, asked), check_brokered), environ)


def actor_of(peer: Peer, asked: Asked) -> Actor:
    """An agent, whatever the caller says, and root no less: consent comes by the code alone."""
    return Actor("agent", peer.name, asked.asserted, asked.has_read_free_text, asked.face)


def _told(error: PveopsError) -> Told:
    text = f"error {error.code}: {error.message}\n" + (
        f"next: {error.hint}\n" if error.hint else ""
    )
    return Told(error.exit_code, text)


def _refuse(connection: socket.socket, error: PveopsError) -> None:
    """Say why, without waiting for anybody: a reply as short as this has room in the socket."""
    with connection, contextlib.suppress(OSError):
        connection.setblocking(False)
        send_message(connection, _told(error)._asdict())


def _say(text: str) -> None:
    """For the journal of the service."""
    sys.stderr.write(f"pve-broker: {text}\n")
    sys.stderr.flush()
