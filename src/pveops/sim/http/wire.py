"""HTTP/1.x on bytes: reading requests and writing answers, with pveproxy's limits and habits.

(pve-http-server AnyEvent.pm)
"""

from __future__ import annotations

import gzip
import re
import socket
import zlib
from collections.abc import Callable, Iterator
from typing import NamedTuple

from pveops.sim.message import RawAnswer, RawRequest
from pveops.sim.upload import UploadedFile, UploadError, find_boundary, take_stream

MAX_HEADER_LINES = 64
MAX_HEADER_BYTES = 8 * 1024
MAX_LINE_BYTES = 520 * 1024
MAX_BODY_BYTES = 64 << 20
_STREAMED_OVER_BYTES = 1 << 20
_HEAD_BYTES = 64 << 10
COMPRESS_OVER_BYTES = 1024

_REQUEST_LINE = re.compile(r"([A-Z]+) (\S+) HTTP/1\.([01])")


class WireError(Exception):
    """The request is no request; `answer` says so, None hangs up."""

    def __init__(self, answer: RawAnswer | None) -> None:
        super().__init__("no request")
        self.answer = answer


class Incoming(NamedTuple):
    """A request, and whether the client wants to keep the connection."""

    request: RawRequest
    wants_keep_alive: bool


class Reader:
    """Requests from a stream of bytes."""

    def __init__(self, receive: Callable[[int], bytes]) -> None:
        self._receive = receive
        self._buffer = b""

    def next_request(self) -> Incoming | None:
        """The next request, or None when the client is gone. Raises WireError."""
        first = self._line(MAX_LINE_BYTES)
        if first is None:
            return None
        match = _REQUEST_LINE.fullmatch(first)
        if match is None:
            raise WireError(bare(506, "http protocol version not supported"))
        headers = self._headers()
        method, target, minor = match[1], match[2], match[3]
        connection = headers.get("connection", "").lower()
        keeps = "close" not in connection if minor == "1" else "keep-alive" in connection
        if "transfer-encoding" in headers:
            raise WireError(bare(501, "chunked transfer encoding not supported"))
        length = headers.get("content-length", "0")
        boundary = find_boundary(headers.get("content-type", ""))
        size = int(length) if length.isdecimal() else 0
        if target.endswith("/upload") and boundary and size > _STREAMED_OVER_BYTES:
            uploaded = self._upload(boundary, size)
            return Incoming(RawRequest(method, target, headers, b"", uploaded), keeps)
        if not length.isdecimal() or int(length) > MAX_BODY_BYTES:
            raise WireError(bare(501, "for data too large"))
        body = self._exactly(int(length))
        return Incoming(RawRequest(method, target, headers, body), keeps)

    def _upload(self, boundary: str, length: int) -> UploadedFile:
        """A large body, measured while it comes."""
        first = self._exactly(_HEAD_BYTES)

        def more() -> Iterator[bytes]:
            missing = length - len(first)
            while missing:
                chunk = self._exactly(min(missing, 1 << 20))
                missing -= len(chunk)
                yield chunk

        try:
            return take_stream(boundary, first, more())
        except UploadError as error:
            raise WireError(bare(error.status, error.reason)) from error

    def _headers(self) -> dict[str, str]:
        headers: dict[str, str] = {}
        total = 0
        for _ in range(MAX_HEADER_LINES + 1):
            line = self._line(MAX_HEADER_BYTES)
            if line is None:
                raise WireError(None)
            if not line:
                return headers
            total += len(line)
            if total > MAX_HEADER_BYTES:
                break
            name, colon, value = line.partition(":")
            if not colon or not name.strip():
                raise WireError(bare(506, "unable to parse request header"))
            headers[name.strip().lower()] = value.strip()
        raise WireError(None)

    def _line(self, limit: int) -> str | None:
        while b"\n" not in self._buffer:
            if len(self._buffer) > limit:
                raise WireError(None)
            chunk = self._receive(65536)
            if not chunk:
                return None
            self._buffer += chunk
        line, _, self._buffer = self._buffer.partition(b"\n")
        return line.rstrip(b"\r").decode("latin-1")

    def _exactly(self, length: int) -> bytes:
        parts, missing = [self._buffer[:length]], length - len(self._buffer)
        self._buffer = self._buffer[length:]
        while missing > 0:
            chunk = self._receive(min(missing, 1 << 20))
            if not chunk:
                raise WireError(None)
            parts.append(chunk)
            missing -= len(chunk)
        return b"".join(parts)


def bare(status: int, reason: str) -> RawAnswer:
    """An answer that comes from the HTTP layer itself."""
    return RawAnswer(status, reason, [("Connection", "close")], reason.encode(), keeps_alive=False)


def encode_answer(answer: RawAnswer, accepts: str) -> bytes:
    """Head and body in one piece, so that they go out together.

    accepts: the request's Accept-Encoding.
    """
    body, encoding = _compressed(answer, accepts)
    reason = answer.reason.replace("\r", " ").replace("\n", " ")
    lines = [f"HTTP/1.1 {answer.status} {reason}"]
    lines += [f"{name}: {value}" for name, value in answer.headers]
    if encoding:
        lines.append(f"Content-Encoding: {encoding}")
    if body or answer.keeps_alive:
        lines.append(f"Content-Length: {len(body)}")
    head = "\r\n".join(lines) + "\r\n\r\n"
    return head.encode("latin-1", "replace") + body


def _compressed(answer: RawAnswer, accepts: str) -> tuple[bytes, str]:
    is_download = any(pair == ("Content-Type", "text/plain") for pair in answer.headers)
    if is_download and answer.status == 200:
        return gzip.compress(answer.body), "gzip"
    if len(answer.body) <= COMPRESS_OVER_BYTES:
        return answer.body, ""
    if "gzip" in accepts:
        return gzip.compress(answer.body, 6), "gzip"
    if "deflate" in accepts:
        return zlib.compress(answer.body, 6), "deflate"
    return answer.body, ""


def is_plain_text(connection: socket.socket) -> bool:
    """Whether the client speaks HTTP where TLS belongs, told by its first byte."""
    try:
        first = connection.recv(1, socket.MSG_PEEK)
    except OSError:
        return False
    return bool(first) and first != b"\x16"
