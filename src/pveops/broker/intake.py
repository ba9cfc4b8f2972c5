"""Requests on their way in. The listener reads them itself, so that nobody slow holds a process.

Who connects is known before a byte is read; a request is whole within one time limit, or dropped.
"""

from __future__ import annotations

import json
import socket
from collections.abc import Sequence

from pveops.broker.peer import Peer
from pveops.cli.broker_message import HEAD, MAX_BYTES
from pveops.clock import Clock
from pveops.errors import ProtocolError

READ_S = 10.0
"""For the whole request."""
UNREAD_PER_ACCOUNT = 8
"""Of requests that are not whole; the oldest gives way."""
_SHORT_BYTES = 4096
_CHUNK_BYTES = 1 << 16


class Incoming:
    """One connection whose request is not whole yet."""

    def __init__(self, connection: socket.socket, peer: Peer, clock: Clock) -> None:
        connection.setblocking(False)
        self.connection = connection
        self.peer = peer
        self._clock = clock
        self._ends = clock.monotonic() + READ_S
        self._content = bytearray()

    def fileno(self) -> int:
        """For `select`."""
        return self.connection.fileno()

    @property
    def is_late(self) -> bool:
        """Whether it had its time."""
        return self._clock.monotonic() >= self._ends

    @property
    def is_empty(self) -> bool:
        """Whether nothing came: somebody looked whether the broker listens."""
        return not self._content

    def read(self) -> bytes | None:
        """The request when it is whole; takes what is there, and never waits.

        Raises OSError, and ProtocolError when the peer has gone, or wants to send too much.
        """
        wanted = HEAD.size
        while True:
            if len(self._content) >= HEAD.size:
                (length,) = HEAD.unpack_from(self._content)
                if length > MAX_BYTES:
                    raise ProtocolError(f"a message of {length} bytes")
                wanted = HEAD.size + length
            if len(self._content) >= wanted > HEAD.size:
                return bytes(self._content[HEAD.size : wanted])
            try:
                left = max(1, wanted - len(self._content))
                chunk = self.connection.recv(min(_CHUNK_BYTES, left))
            except BlockingIOError:
                return None
            if not chunk:
                raise ProtocolError("the connection ended in the middle of a message")
            self._content += chunk


def make_room(waiting: Sequence[Incoming], uid: int) -> Incoming | None:
    """The connection that gives way to a new one of an account; None: there is room."""
    own = [each for each in waiting if each.peer.uid == uid]
    return own[0] if len(own) >= UNREAD_PER_ACCOUNT else None


def is_freeze(content: bytes) -> bool:
    """Whether a request is `pve policy freeze`, for which there is always a process."""
    if len(content) > _SHORT_BYTES:
        return False
    try:
        value = json.loads(content)
    except (ValueError, RecursionError):
        return False
    if not isinstance(value, dict) or value.get("program") != "pve":
        return False
    arguments = value.get("arguments")
    return isinstance(arguments, list) and arguments[:2] == ["policy", "freeze"]
