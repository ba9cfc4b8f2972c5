"""What is wrapped around a transport: trace, failover, repeated reads, no writes, a record.

Each is a transport itself. The usual order, from the outside in: ReadOnly, Recording,
RetryReads, Authenticated, Trace, Failover, HttpsTransport.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import NamedTuple

from pveops.api.port import Request, Response, Transport
from pveops.clock import Clock
from pveops.errors import (
    OutcomeUnknownError,
    PveopsError,
    TlsError,
    UnreachableError,
    WriteNotAllowedError,
)

_NODE_UNREACHABLE = 595
_PASSING = frozenset({502, 503, 504, 596, 597, 598, 599})
"""Statuses of a proxy that lost its way; the next read may find it."""
_BACKOFF_MAX_S = 60.0
_RETRY_FIRST_S = 0.2
_RETRY_MAX_S = 2.0
_CREDENTIALS = frozenset({"authorization", "cookie", "csrfpreventiontoken"})


class ReadOnly:
    """Lets reads through and refuses everything else before it is sent."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def send(self, request: Request) -> Response:
        """Raises WriteNotAllowedError for anything but GET."""
        if not request.is_read:
            raise WriteNotAllowedError(
                f"{request.method} {request.path} was asked of a connection that only reads"
            )
        return self._transport.send(request)

    def close(self) -> None:
        """Let go of connections."""
        self._transport.close()


class Trace:
    """Tells each request in a line: method, path, parameters' names, status, time, size, server.

    Values and headers are not told: secrets travel in them.
    """

    def __init__(self, transport: Transport, clock: Clock, emit: Callable[[str], None]) -> None:
        self._transport = transport
        self._clock = clock
        self._emit = emit

    def send(self, request: Request) -> Response:
        """Send, and tell it."""
        names = ",".join(sorted({name for name, _ in request.params}))
        line = f"{request.method} {request.path}{f' ({names})' if names else ''}"
        began = self._clock.monotonic()
        try:
            response = self._transport.send(request)
        except PveopsError as error:
            self._emit(f"{line}: {error.code} after {self._since(began)} ms: {error.message}")
            raise
        self._emit(
            f"{line}: {response.status}, {self._since(began)} ms, {len(response.body)} B,"
            f" {response.endpoint}"
        )
        return response

    def close(self) -> None:
        """Let go of connections."""
        self._transport.close()

    def _since(self, began: float) -> int:
        return round(1000 * (self._clock.monotonic() - began))


class Exchange(NamedTuple):
    """One request, without credentials, and what came of it."""

    request: Request
    outcome: Response | PveopsError


class Recording:
    """Keeps every exchange, in order."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport
        self._lock = threading.Lock()
        self.exchanges: list[Exchange] = []

    @property
    def count(self) -> int:
        """How many requests went out."""
        return len(self.exchanges)

    @property
    def writes(self) -> list[Request]:
        """The requests that were no reads."""
        return [each.request for each in self.exchanges if not each.request.is_read]

    def send(self, request: Request) -> Response:
        """Send, and keep it."""
        try:
            response = self._transport.send(request)
        except PveopsError as error:
            self._add(request, error)
            raise
        self._add(request, response)
        return response

    def close(self) -> None:
        """Let go of connections; what was kept stays."""
        self._transport.close()

    def _add(self, request: Request, outcome: Response | PveopsError) -> None:
        headers = tuple(pair for pair in request.headers if pair[0].lower() not in _CREDENTIALS)
        with self._lock:
            self.exchanges.append(Exchange(request._replace(headers=headers), outcome))


class RetryReads:
    """Repeats a GET that found nobody, or only a proxy, until a budget of time is used up."""

    def __init__(
        self,
        transport: Transport,
        clock: Clock,
        random: Callable[[], float],
        budget_s: float = 4.0,
    ) -> None:
        """Take the source of jitter as an argument: `random()` gives numbers from 0 up to 1."""
        self._transport = transport
        self._clock = clock
        self._random = random
        self._budget_s = budget_s

    def send(self, request: Request) -> Response:
        """Send; anything but a GET exactly once."""
        if not request.is_read:
            return self._transport.send(request)
        ends = self._clock.monotonic() + self._budget_s
        attempt = 0
        while True:
            pause = self._pause(attempt)
            try:
                response = self._transport.send(request)
            except UnreachableError:
                if self._clock.monotonic() + pause > ends:
                    raise
            else:
                if response.status not in _PASSING or self._clock.monotonic() + pause > ends:
                    return response
            self._clock.sleep(pause)
            attempt += 1

    def close(self) -> None:
        """Let go of connections."""
        self._transport.close()

    def _pause(self, attempt: int) -> float:
        """Twice as long each time, and then anything from half of that to all of it."""
        longest = min(_RETRY_MAX_S, _RETRY_FIRST_S * float(2**attempt))
        return longest * (0.5 + 0.5 * self._random())


class _Candidate:
    """One endpoint's transport and its recent luck."""

    def __init__(self, name: str, transport: Transport) -> None:
        self.name = name
        self.transport = transport
        self.failures = 0
        self.rests_until = 0.0


class Failover:
    """Several endpoints of one cluster as one transport.

    The last good one is asked first, those that failed lately last. As long as no byte was
    sent, any method moves on to the next; after that only GET does. A 595 (the server could not
    reach the node, nothing was executed) is tried at one other endpoint.
    """

    def __init__(
        self,
        transports: Sequence[tuple[str, Transport]],
        clock: Clock,
        *,
        last_good: str = "",
        remember: Callable[[str], None] | None = None,
    ) -> None:
        """Take transports by name; `remember` is told the name when another one answers."""
        self._candidates = [_Candidate(name, transport) for name, transport in transports]
        self._clock = clock
        self._last_good = last_good
        self._remember = remember
        self._lock = threading.Lock()

    def send(self, request: Request) -> Response:
        """Send to the first endpoint that takes it.

        Raises the TlsError of an endpoint that is not trusted when no other answered, else
        UnreachableError; OutcomeUnknownError as it comes.
        """
        failures: list[PveopsError] = []
        refused: Response | None = None
        for candidate in self._in_order():
            try:
                response = candidate.transport.send(request)
            except (UnreachableError, TlsError) as error:
                self._note_failure(candidate)
                failures.append(error)
                if error.details.get("sent", False) and not request.is_read:
                    raise
                continue
            except OutcomeUnknownError:
                self._note_failure(candidate)
                raise
            self._note_success(candidate)
            if response.status != _NODE_UNREACHABLE or refused is not None:
                return response
            refused = response
        if refused is not None:
            return refused
        raise _summarize(failures)

    def close(self) -> None:
        """Let go of every endpoint's connections."""
        for candidate in self._candidates:
            candidate.transport.close()

    def _in_order(self) -> list[_Candidate]:
        with self._lock:
            now = self._clock.monotonic()
            return sorted(
                self._candidates,
                key=lambda each: (max(0.0, each.rests_until - now), each.name != self._last_good),
            )

    def _note_failure(self, candidate: _Candidate) -> None:
        with self._lock:
            pause = min(_BACKOFF_MAX_S, float(2**candidate.failures))
            candidate.failures += 1
            candidate.rests_until = self._clock.monotonic() + pause

    def _note_success(self, candidate: _Candidate) -> None:
        with self._lock:
            candidate.failures, candidate.rests_until = 0, 0.0
            is_news = candidate.name != self._last_good
            self._last_good = candidate.name
        if is_news and self._remember is not None:
            self._remember(candidate.name)


def _summarize(failures: Sequence[PveopsError]) -> PveopsError:
    """One error for a cluster that does not answer: distrust is the most important of them."""
    for error in failures:
        if isinstance(error, TlsError):
            return error
    if len(failures) == 1:
        return failures[0]
    return UnreachableError(
        "no endpoint answered: " + "; ".join(error.message for error in failures),
        hint="`pve doctor` tries each endpoint on its own",
        details={
            "sent": any(error.details.get("sent", False) for error in failures),
            "endpoints": [error.details.get("endpoint", "") for error in failures],
        },
    )
