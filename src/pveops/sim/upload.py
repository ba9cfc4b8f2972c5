"""The multipart body of an upload, taken apart as pveproxy does.

pve-http-server reads it with regular expressions over the raw bytes (AnyEvent.pm,
file_upload_multipart), so order and layout of the parts matter: `content`,
`checksum-algorithm`, `checksum`, then the file, whose part must begin with its
Content-Disposition.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from pveops.sim.model import Node

_NEWLINE = rb"\r?\n"
_ORIGIN = "at /usr/share/perl5/PVE/APIServer/AnyEvent.pm line"
_FAILED_LINE = 1370
_FIELD_LINE = 1325


class UploadedFile(NamedTuple):
    """What an upload brought: its size and checksums, and the bytes themselves nowhere."""

    params: dict[str, str]
    """`content`, `filename` and the checksum, as far as they were found."""
    size_bytes: int
    digest: Callable[[str], str]
    """The checksum by the name of its algorithm."""


class UploadError(Exception):
    """The body is not laid out as the server wants it.

    status, reason: of the answer. text: its body, plain; None: no body at all.
    """

    def __init__(self, status: int, reason: str, text: str | None) -> None:
        super().__init__(reason)
        self.status = status
        self.reason = reason
        self.text = text


def find_boundary(content_type: str) -> str | None:
    """The boundary as the server reads it: quotes, if there are any, belong to it."""
    for part in content_type.split(";")[1:]:
        match = re.fullmatch(r"\s*boundary\s*=\s*(\S+?)\s*", part)
        if match:
            return match[1]
    return None


def parse_upload(boundary: str, body: bytes) -> UploadedFile:
    """Fields and file of a multipart body that is there whole; raises `UploadError`."""
    params, rest = parse_head(boundary, body)
    data = re.match(rb"(.*?)" + closing(boundary), rest, re.S)
    if data is None:
        raise _failed()
    content = data[1]
    return UploadedFile(params, len(content), lambda name: hashlib.new(name, content).hexdigest())


def take_stream(boundary: str, first: bytes, more: Iterator[bytes]) -> UploadedFile:
    """As `parse_upload`, for a body of any size: its data is measured and let go of.

    first: at least all up to the beginning of the file.
    """
    params, rest = parse_head(boundary, first)
    keep = len(closing(boundary)) + 8
    name = params.get("checksum-algorithm") or "sha256"
    hasher, size = hashlib.new(name), 0
    for chunk in more:
        rest += chunk
        if len(rest) > keep:
            hasher.update(rest[:-keep])
            size += len(rest) - keep
            rest = rest[-keep:]
    end = re.search(closing(boundary), rest, re.S)
    if end is None:
        raise _failed()
    hasher.update(rest[: end.start()])
    size += end.start()
    found = hasher.hexdigest()
    return UploadedFile(params, size, lambda asked: found if asked == name else "")


def parse_head(boundary: str, body: bytes) -> tuple[dict[str, str], bytes]:
    """The fields, and what follows the head of the file's part; raises `UploadError`."""
    delimiter = b"--" + re.escape(boundary.encode("latin-1", "replace")) + _NEWLINE
    start = re.search(delimiter, body)
    if start is None:
        raise _failed()
    rest = body[start.start() :]
    params: dict[str, str] = {}
    for name in ("content", "checksum-algorithm", "checksum"):
        rest = _take_field(rest, name, delimiter, params)
    head = re.match(
        delimiter + rb'Content-Disposition: (.*?); name="(.*?)"; filename="([^"]+)"', rest, re.S
    )
    if head is None:
        raise _failed()
    _check_disposition(head[1])
    if head[2] != b"filename":
        name = head[2].decode("latin-1")
        raise _died(
            f"wrong field name '{name}' for file upload, expected 'filename' "
            f"{_ORIGIN} {_FIELD_LINE}."
        )
    params["filename"] = head[3].decode("latin-1").strip()
    return params, _after_headers(rest[head.end() :])


def closing(boundary: str) -> bytes:
    """A pattern for the end of the file and of the body."""
    return rb"(?:\r?\n)?--" + re.escape(boundary.encode("latin-1", "replace")) + rb"--"


def _take_field(rest: bytes, name: str, delimiter: bytes, params: dict[str, str]) -> bytes:
    """Cut out a plain field that some other part follows."""
    pattern = (
        delimiter
        + rb'.*?Content-Disposition: (.*?); name="'
        + name.encode()
        + rb'"(.*?'
        + delimiter
        + rb")"
    )
    match = re.match(pattern, rest, re.S)
    if match is None:
        return rest
    _check_disposition(match[1])
    rest = _after_headers(rest[match.start(2) :])
    value = re.match(rb"(.*?)" + delimiter, rest, re.S)
    if value is None:
        return rest
    params[name] = value[1].decode("latin-1").strip()
    return rest[value.end(1) :]


def _after_headers(rest: bytes) -> bytes:
    """Without what is left of the part's header lines."""
    return re.sub(rb"^.*?(?:\r?\n){2}", b"", rest, count=1, flags=re.S)


def _check_disposition(found: bytes) -> None:
    """Several parts taken for one end in a bare 400; observed when the checksum comes first."""
    if found != b"form-data":
        raise UploadError(400, "Bad Request", None)


def _failed() -> UploadError:
    return _died(f"upload failed {_ORIGIN} {_FAILED_LINE}.")


def _died(text: str) -> UploadError:
    return UploadError(500, text, text + "\n")


def spool_upload(node: Node, uploaded: UploadedFile) -> dict[str, str]:
    """Keep the data in /var/tmp of the node that received it; the parameters of the method."""
    path = f"/var/tmp/pveupload-{node.cluster.random.getrandbits(128):032x}"  # noqa: S108
    node.temporary_files[path] = uploaded
    return uploaded.params | {"tmpfilename": path}
