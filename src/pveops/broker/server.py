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

from pveops.broker.peer import Peer, peer_of
from pveops.broker.settings import Settings
from pveops.cli.broker_message import (
    Asked,
    NoMessageError,
    Told,
    receive_message,
    send_message,
    unpack_asked,
)
from pveops.cli.call import Served
from pveops.cli.forward import check_brokered
from pveops.context import Actor
from pveops.errors import ConfigError, ConflictError, PolicyRefusedError, ProtocolError

_READ_S = 10.0
_WRITE_S = 30.0
_BACKLOG = 64
_POLL_S = 1.0
_MODE = 0o666
"""Who may ask is decided by the peer's account, not by the mode of a file."""


class Broker:
    """Listens until it is told to stop (SIGTERM, SIGINT); what runs goes on to its end."""

    def __init__(self, path: Path, settings: Settings, environ: Mapping[str, str]) -> None:
        self._path = path
        self._settings = settings
        self._environ = dict(environ)
        self._children: set[int] = set()
        self._is_stopping = False

    def serve(self) -> None:
        """Raises ConfigError when the socket cannot be had."""
        listener = _listen(self._path)
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._stop)
        _say(f"listening at {self._path}")
        try:
            while not self._is_stopping:
                ready, _, _ = select.select([listener], [], [], _POLL_S)
                self._reap()
                if ready:
                    self._take(listener)
        finally:
            listener.close()
            with contextlib.suppress(OSError):
                self._path.unlink()

    def _stop(self, _number: int, _frame: object) -> None:
        self._is_stopping = True

    def _take(self, listener: socket.socket) -> None:
        connection, _ = listener.accept()
        with connection:
            if len(self._children) >= self._settings.max_at_once:
                _refuse(connection, ConflictError("the broker has too much to do at once"))
                return
            pid = os.fork()
            if pid == 0:
                listener.close()
                _answer_and_leave(connection, self._settings, self._environ)
            self._children.add(pid)

    def _reap(self) -> None:
        for pid in list(self._children):
            done, _ = os.waitpid(pid, os.WNOHANG)
            if done:
                self._children.discard(pid)


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
    except OSError as error:
        listener.close()
        raise ConfigError(
            f"the broker cannot listen at {path}: {error.strerror or error}",
            hint="pve-broker serve --socket PATH, in a folder that the broker's account may write",
        ) from error
    return listener


def _answer_and_leave(
    connection: socket.socket, settings: Settings, environ: Mapping[str, str]
) -> NoReturn:
    """The whole life of a request's process. It never returns into the listener's stack."""
    code = 1
    try:
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, signal.SIG_DFL)
        connection.settimeout(_READ_S)
        told = _carry_out(connection, settings, environ)
        connection.settimeout(_WRITE_S)
        with contextlib.suppress(OSError):
            send_message(connection, told._asdict())
            # A worker that goes on may hold the socket; the caller is not to wait for it.
            connection.shutdown(socket.SHUT_RDWR)
        code = 0
    except NoMessageError:
        code = 0
    except (OSError, ProtocolError) as error:
        _say(f"a request was dropped: {error}")
    finally:
        os._exit(code)


def _carry_out(connection: socket.socket, settings: Settings, environ: Mapping[str, str]) -> Told:
    peer = peer_of(connection)
    # Read in any case: a peer that is refused while it still writes would see no answer.
    message = receive_message(connection)
    if peer.uid not in settings.clients and peer.uid != 0:
        _say(f"refused: {peer.name} (uid {peer.uid}) is no client")
        error = PolicyRefusedError(
            f"the broker does not know the account {peer.name}",
            hint="its owner lists clients in broker.yaml",
        )
        return _told(error)
    return run_asked(unpack_asked(message), peer, environ)


def run_asked(asked: Asked, peer: Peer, environ: Mapping[str, str]) -> Told:
    """Carry out one command line for a peer."""
    from pveops.cli.serve import carry_out

    return carry_out(asked, Served("broker", actor_of(peer, asked), check_brokered), environ)


def actor_of(peer: Peer, asked: Asked) -> Actor:
    """An agent, whatever the caller says, and root no less: consent comes by the code alone."""
    return Actor("agent", peer.name, asked.asserted, asked.has_read_free_text, asked.face)


def _told(error: ConflictError | PolicyRefusedError) -> Told:
    text = f"error {error.code}: {error.message}\n" + (
        f"next: {error.hint}\n" if error.hint else ""
    )
    return Told(error.exit_code, text)


def _refuse(connection: socket.socket, error: ConflictError) -> None:
    connection.settimeout(_WRITE_S)
    with contextlib.suppress(OSError):
        send_message(connection, _told(error)._asdict())


def _say(text: str) -> None:
    """For the journal of the service."""
    sys.stderr.write(f"pve-broker: {text}\n")
    sys.stderr.flush()
