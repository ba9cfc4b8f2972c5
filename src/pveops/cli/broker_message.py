"""What goes over the broker's socket: one request, one reply, each a length and a JSON object."""

from __future__ import annotations

import json
import socket
import struct
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

from pveops.errors import ProtocolError

VERSION = 1
MAX_BYTES = 4 << 20
HEAD = struct.Struct("!I")
"""The length, in bytes, of what follows."""


class Asked(NamedTuple):
    """A command line, with all that comes with it. What the caller says of itself is recorded."""

    program: str
    arguments: tuple[str, ...]
    stdin: str = ""
    asserted: Mapping[str, str] = MappingProxyType({})
    has_read_free_text: bool = False


class Told(NamedTuple):
    """What the command came to."""

    code: int
    stdout: str
    stderr: str = ""


def send_message(connection: socket.socket, value: dict[str, Any]) -> None:
    """Raises OSError."""
    content = json.dumps(value).encode()
    connection.sendall(HEAD.pack(len(content)) + content)


def receive_message(connection: socket.socket) -> dict[str, Any]:
    """Raises OSError, and ProtocolError for what is no message."""
    (length,) = HEAD.unpack(_exactly(connection, HEAD.size))
    if length > MAX_BYTES:
        raise ProtocolError(f"a message of {length} bytes")
    return decode_message(_exactly(connection, length))


def decode_message(content: bytes) -> dict[str, Any]:
    """What a message says. Raises ProtocolError for what is none."""
    try:
        value = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise ProtocolError("a message that is no JSON") from error
    if not isinstance(value, dict):
        raise ProtocolError("a message that is no object")
    return value


def _exactly(connection: socket.socket, length: int) -> bytes:
    parts: list[bytes] = []
    while length:
        chunk = connection.recv(min(length, 1 << 16))
        if not chunk:
            raise ProtocolError("the connection ended in the middle of a message")
        parts.append(chunk)
        length -= len(chunk)
    return b"".join(parts)


def pack_asked(asked: Asked) -> dict[str, Any]:
    """A request as it goes out."""
    plain = {"arguments": list(asked.arguments), "asserted": dict(asked.asserted)}
    return {"version": VERSION, **asked._asdict(), **plain}


def unpack_asked(value: dict[str, Any]) -> Asked:
    """A request as it came in. Raises ProtocolError for members that do not fit."""
    arguments, asserted = value.get("arguments"), value.get("asserted") or {}
    if (
        value.get("version") != VERSION
        or value.get("program") not in {"pve", "pve-apply"}
        or not isinstance(arguments, list)
        or not all(isinstance(word, str) and "\0" not in word for word in arguments)
        or not isinstance(asserted, dict)
        or not isinstance(value.get("stdin", ""), str)
    ):
        raise ProtocolError("a request that does not fit")
    return Asked(
        program=value["program"],
        arguments=tuple(arguments),
        stdin=value.get("stdin", ""),
        asserted={str(key)[:60]: str(text)[:200] for key, text in list(asserted.items())[:8]},
        has_read_free_text=value.get("has_read_free_text") is True,
    )


def unpack_told(value: dict[str, Any]) -> Told:
    """A reply as it came in. Raises ProtocolError."""
    code, stdout, stderr = value.get("code"), value.get("stdout"), value.get("stderr", "")
    if not isinstance(code, int) or not isinstance(stdout, str) or not isinstance(stderr, str):
        raise ProtocolError("a reply that does not fit")
    return Told(code, stdout, stderr)
