"""Who is at the other end of a UNIX socket, as the kernel knows it."""

from __future__ import annotations

import pwd
import socket
import struct
from typing import NamedTuple

_CREDENTIALS = struct.Struct("3i")


class Peer(NamedTuple):
    """The process that connected, at the moment when it did (SO_PEERCRED)."""

    pid: int
    uid: int
    gid: int

    @property
    def name(self) -> str:
        """The account's name, or its number where it has none."""
        return account_name(self.uid)


def peer_of(connection: socket.socket) -> Peer:
    """Nothing that the peer says can change this. Raises OSError."""
    raw = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
    return Peer(*_CREDENTIALS.unpack(raw))


def account_name(uid: int) -> str:
    """The name of an account, or its number."""
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


def account_uid(word: str) -> int | None:
    """The number of an account that is named, or given as a number; None: there is none."""
    if word.isascii() and word.isdecimal():
        return int(word)
    try:
        return pwd.getpwnam(word).pw_uid
    except KeyError:
        return None
