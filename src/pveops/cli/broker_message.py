"""A command line for another process, and its reply: each a length and a JSON object.

This is what goes over the broker's socket, and to the processes of the MCP server.
"""

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
    face: str = ""
    has_envelope: bool = False
    """Whether the answer is wanted as JSON, too."""


class Told(NamedTuple):
    """What the command came to."""

    code: int
    stdout: str
    stderr: str = ""
    envelope: str = ""


def send_message(connection: socket.socket, value: dict[str, Any]) -> None:
    """Raises OSError."""
    connection.sendall(encode_message(value))


def encode_message(value: dict[str, Any]) -> bytes:
    """The bytes of a message."""
    content = json.dumps(value).encode()
    return HEAD.pack(len(content)) + content


def receive_message(connection: socket.socket) -> dict[str, Any]:
    """Raises OSError, and ProtocolError for what is no message."""
    (length,) = HEAD.unpack(_exactly(connection, HEAD.size))
    if length > MAX_BYTES:
        raise ProtocolError(f"a message of {length} bytes")
    return decode_body(_exactly(connection, length))


def decode_message(content: bytes) -> dict[str, Any]:
    """A message that has come whole. Raises ProtocolError for what is none."""
    body = content[HEAD.size :]
    if len(content) < HEAD.size or len(body) < HEAD.unpack_from(content)[0]:
        raise ProtocolError("a message that is cut off")
    return decode_body(body)


def decode_body(content: bytes) -> dict[str, Any]:
    """What stands behind the length. Raises ProtocolError for what is no object."""
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
        face="mcp" if value.get("face") == "mcp" else "",
        has_envelope=value.get("has_envelope") is True,
    )


def unpack_told(value: dict[str, Any]) -> Told:
    """A reply as it came in. Raises ProtocolError."""
    code = value.get("code")
    texts = (value.get("stdout"), value.get("stderr", ""), value.get("envelope", ""))
    kept = [text for text in texts if isinstance(text, str)]
    if not isinstance(code, int) or len(kept) < len(texts):
        raise ProtocolError("a reply that does not fit")
    return Told(code, *kept)
