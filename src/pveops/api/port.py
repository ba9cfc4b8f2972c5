"""The transport port: one request out, one answer in.

`https`, `pvesh` and the simulated cluster implement it; the decorators (trace, failover,
retry, read-only, record) wrap one transport in another. A transport knows nothing of
tickets, envelopes or guests.

What a failure means is decided here, for every transport alike:

- not a byte was sent: `UnreachableError` with `details["sent"]` False. Any method may be
  tried elsewhere.
- sent, and no trustworthy answer, GET: `UnreachableError` with `details["sent"]` True. May
  be read again.
- sent, and no trustworthy answer, any other method: `OutcomeUnknownError`. Never sent again.
- the server is not the trusted one: `TlsError`. No credential was sent.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple, Protocol
from urllib.parse import quote

from pveops.api.upload import Upload

Pairs = tuple[tuple[str, str], ...]
"""Parameters as they go out: names may repeat (arrays); every value is text already."""


class Request(NamedTuple):
    """One request. GET and DELETE carry `params` in the query, POST and PUT as a form."""

    method: str
    path: str
    """Below the API's root and percent-encoded: `/nodes/pve1/status`. See `api_path`."""
    params: Pairs = ()
    headers: Pairs = ()
    read_timeout_s: float | None = None
    """None: the transport's own."""
    upload: Upload | None = None
    """A file that goes along; then the parameters are fields beside it."""

    @property
    def is_read(self) -> bool:
        """Whether this request cannot change anything."""
        return self.method == "GET"


class Response(NamedTuple):
    """One answer, as received: status line, headers with lower-case names, decoded body."""

    status: int
    reason: str
    headers: Mapping[str, str]
    body: bytes
    endpoint: str = ""
    """Which server answered."""


class Transport(Protocol):
    """The port."""

    def send(self, request: Request) -> Response:
        """Send once. Raises as the module says; an HTTP error status is an answer."""

    def close(self) -> None:
        """Let go of connections and processes."""


def api_path(*segments: str | int) -> str:
    """A path from its segments, each percent-encoded: nothing in a name can become a slash."""
    return "".join("/" + quote(str(segment), safe="") for segment in segments)
