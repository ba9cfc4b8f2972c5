"""The API as two verbs: read, and write.

A client gives PVE's data as plain values, sanitised, or raises the error that an answer is.
It knows parameters and envelopes; what the data means is the domain's.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from pveops.api.classify import Answer, decode
from pveops.api.encode import Value, encode_params
from pveops.api.httpdate import parse_http_date
from pveops.api.port import Request, Response, Transport
from pveops.api.upload import Upload
from pveops.clock import Clock
from pveops.errors import ProtocolError, UsageError
from pveops.sanitize import JsonValue

Params = Mapping[str, Value]

_WRITES = frozenset({"POST", "PUT", "DELETE"})


class Version(NamedTuple):
    """What a server says that it is: `9.2.11` is major 9, minor 2."""

    text: str
    release: str
    major: int
    minor: int


class Client:
    """One transport, spoken to in PVE's terms. Safe to share between threads."""

    def __init__(self, transport: Transport, clock: Clock) -> None:
        self._transport = transport
        self._clock = clock
        self._server_date: tuple[str, float] | None = None
        self._version: Version | None = None

    @property
    def clock(self) -> Clock:
        """The clock that this client waits on."""
        return self._clock

    def get(self, path: str, params: Params | None = None) -> JsonValue:
        """The data at a path. Raises as `classify.decode` and the transport do."""
        return self.get_answer(path, params).data

    def get_answer(self, path: str, params: Params | None = None) -> Answer:
        """As `get`, with what PVE sends beside the data."""
        return self._send(Request("GET", path, encode_params(params)))

    def write(
        self,
        method: str,
        path: str,
        params: Params | None = None,
        upload: Upload | None = None,
    ) -> JsonValue:
        """Send a change, once. For the executor alone: every other path has a read-only transport.

        Raises OutcomeUnknownError when nobody can say whether it happened; any other error
        means that PVE refused.
        """
        if method not in _WRITES:
            raise UsageError(f"{method!r} is no method that changes anything")
        return self._send(Request(method, path, encode_params(params), upload=upload)).data

    def version(self) -> Version:
        """The version of the server that answers first, asked once."""
        if self._version is None:
            self._version = parse_version(self.get("/version"))
        return self._version

    def server_time(self) -> float:
        """Seconds since the epoch by the server that answered last; ours, if none told."""
        if self._server_date is None:
            return self._clock.now()
        text, when = self._server_date
        at = parse_http_date(text)
        return self._clock.now() if at is None else at + (self._clock.monotonic() - when)

    def close(self) -> None:
        """Let go of connections and processes."""
        self._transport.close()

    def _send(self, request: Request) -> Answer:
        response = self._transport.send(request)
        self._note_date(response)
        return decode(request, response)

    def _note_date(self, response: Response) -> None:
        date = response.headers.get("date")
        if date:
            self._server_date = (date, self._clock.monotonic())


def parse_version(data: JsonValue) -> Version:
    """The answer of `/version` as a value. Raises ProtocolError for anything else."""
    if isinstance(data, dict):
        text = str(data.get("version", ""))
        numbers = text.replace("-", ".").split(".")
        if len(numbers) > 1 and numbers[0].isdecimal() and numbers[1].isdecimal():
            release = str(data.get("release", ""))
            return Version(text, release, int(numbers[0]), int(numbers[1]))
    raise ProtocolError("the server does not tell its version as PVE does")
