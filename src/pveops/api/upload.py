"""A file on its way out, in the one layout that PVE parses.

pveproxy reads a multipart body with regular expressions (pve-http-server AnyEvent.pm,
file_upload_multipart): the fields `content`, `checksum-algorithm` and `checksum` in this order,
then the file as `filename`, with Content-Disposition as the first header of each part, and a
boundary without quotes. The file is read while it is sent, so memory stays flat.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator
from typing import NamedTuple

from pveops.errors import UsageError

_FIELDS = ("content", "checksum-algorithm", "checksum")
_CHUNK_BYTES = 1 << 20


class Upload(NamedTuple):
    """A local file that a request carries. Fields beside it are the request's parameters."""

    path: str
    size_bytes: int
    on_bytes: Callable[[int], None] | None = None
    """Told how much has been sent, now and then."""

    def body(self, params: tuple[tuple[str, str], ...]) -> Body:
        """The body of one request. Raises UsageError for a name that would break its lines."""
        fields = dict(params)
        name = fields.get("filename", "")
        if not name or any(not " " <= char <= "~" or char in '"\\' for char in name):
            raise UsageError(f"{name!r} is no name for a file on a storage")
        boundary = f"pveops{secrets.token_hex(16)}"
        head = "".join(
            f'--{boundary}\r\nContent-Disposition: form-data; name="{key}"\r\n\r\n'
            f"{fields[key]}\r\n"
            for key in _FIELDS
            if fields.get(key)
        )
        head += (
            f'--{boundary}\r\nContent-Disposition: form-data; name="filename"; '
            f'filename="{name}"\r\nContent-Type: application/octet-stream\r\n\r\n'
        )
        return Body(self, boundary, head.encode("latin-1"), f"\r\n--{boundary}--\r\n".encode())


class Body(NamedTuple):
    """One multipart body."""

    upload: Upload
    boundary: str
    head: bytes
    tail: bytes

    @property
    def content_type(self) -> str:
        """For the request's header."""
        return f"multipart/form-data; boundary={self.boundary}"

    @property
    def length(self) -> int:
        """In bytes, known before anything is read: PVE takes no chunked bodies."""
        return len(self.head) + self.upload.size_bytes + len(self.tail)

    def chunks(self) -> Iterator[bytes]:
        """The body, piece by piece. Raises OSError, EOFError when the file is not as it was."""
        yield self.head
        sent = 0
        with open(self.upload.path, "rb") as file:  # noqa: PTH123 - the path is the plan's
            while sent < self.upload.size_bytes:
                chunk = file.read(min(_CHUNK_BYTES, self.upload.size_bytes - sent))
                if not chunk:
                    raise EOFError(f"{self.upload.path} became shorter")
                yield chunk
                sent += len(chunk)
                if self.upload.on_bytes is not None:
                    self.upload.on_bytes(sent)
        yield self.tail
