"""Metrics over HTTP, on loopback: one look serves every scrape for a while."""

from __future__ import annotations

import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from ipaddress import ip_address
from typing import TYPE_CHECKING, NamedTuple

from pveops.clock import Clock
from pveops.errors import ConfigError, UsageError
from pveops.monitor.metrics import Sample, make_registry

if TYPE_CHECKING:
    from pveops.monitor.book import Page

_PORTS = 65_536
_PROXY = "listen on loopback, and put a reverse proxy with TLS and a login before it"
_TIMEOUT_S = 10.0
_MOST_FORMATS = 4
_ONLY = b"metrics are at /metrics\n"


class Address(NamedTuple):
    """Where to listen."""

    host: str
    port: int


def parse_listen(text: str) -> Address:
    """`127.0.0.1:9221`, `[::1]:9221`, `localhost:0`. Raises UsageError for what others reach."""
    host, colon, port = text.rpartition(":")
    if not colon or not port.isascii() or not port.isdecimal() or int(port) >= _PORTS:
        raise UsageError(f"{text!r} is no address with a port", hint="--listen 127.0.0.1:9221")
    bare = host.removeprefix("[").removesuffix("]")
    if not _is_loopback(bare):
        raise UsageError(f"{host or 'every address'} can be reached by others", hint=_PROXY)
    return Address(bare, int(port))


def _is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False


def _host_of(header: str) -> str:
    """Without the port: `[::1]:9221` is `::1`."""
    bracketed = header.rpartition("]")[0]
    return bracketed.removeprefix("[") if bracketed else header.partition(":")[0]


class SharedLook:
    """A look that many scrapes share: taken again only when it is older than `least_s`.

    One that failed counts as a look, so that a cluster that is down is not asked more often.
    """

    def __init__(self, take: Callable[[], Sample], clock: Clock, least_s: float) -> None:
        self._take = take
        self._clock = clock
        self._least_s = least_s
        self._lock = threading.Lock()
        self._newest: tuple[float, Sample] | None = None

    def get(self) -> Sample:
        """The newest look, or a new one; whoever comes meanwhile waits for it."""
        with self._lock:
            if self._newest is None or self._is_old(self._newest[0]):
                sample = self._take()
                self._newest = (self._clock.monotonic(), sample)
            return self._newest[1]

    def _is_old(self, taken: float) -> bool:
        return self._clock.monotonic() - taken >= self._least_s


class _Encoder:
    """Encodes a look once for each format: ten thousand guests take more than a second."""

    def __init__(self, look: SharedLook, read_page: Callable[[], Page]) -> None:
        self._look = look
        self._read_page = read_page
        self._written: dict[str, tuple[Sample, Page, bytes]] = {}
        self._lock = threading.Lock()

    def encode(self, accept: str) -> tuple[str, bytes]:
        """(content type, metrics) for whoever accepts that."""
        from prometheus_client.exposition import choose_encoder

        encode, kind = choose_encoder(accept)
        sample, page = self._look.get(), self._read_page()
        with self._lock:
            known = self._written.get(kind)
            if known is None or known[0] is not sample or known[1] != page:
                known = sample, page, encode(make_registry(sample, page))
                if len(self._written) >= _MOST_FORMATS:
                    self._written.clear()
                self._written[kind] = known
            return kind, known[2]


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: object, client_address: object) -> None:
        """A scraper that hangs up is no matter for stderr."""


class _Server6(_Server):
    import socket

    address_family = socket.AF_INET6


class MetricsServer:
    """Answers GET /metrics as long as it is open. Raises ConfigError when it cannot listen."""

    def __init__(self, address: Address, look: SharedLook, read_page: Callable[[], Page]) -> None:
        kind = _Server6 if ":" in address.host else _Server
        try:
            self._server = kind(address, _make_handler(_Encoder(look, read_page)))
        except OSError as error:
            raise ConfigError(
                f"{address.host}:{address.port} cannot be listened on: {error.strerror}",
                hint="another port: --listen 127.0.0.1:9222",
            ) from error

    @property
    def url(self) -> str:
        """Where it answers."""
        host, port = self._server.server_address[:2]
        name = f"[{host!s}]" if ":" in str(host) else str(host)
        return f"http://{name}:{port}/metrics"

    def serve(self) -> None:
        """Answer until `close` is called from another thread."""
        self._server.serve_forever(poll_interval=0.2)

    def close(self) -> None:
        """Stop answering."""
        self._server.shutdown()
        self._server.server_close()


def _make_handler(encoder: _Encoder) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        timeout = _TIMEOUT_S
        server_version = "pveops"
        sys_version = ""

        def do_GET(self) -> None:
            # A page in somebody's browser may have a name of its own that leads to loopback.
            if not _is_loopback(_host_of(self.headers.get("Host") or "localhost")):
                self._send(403, "text/plain", b"send Host: localhost\n")
            elif self.path.partition("?")[0] != "/metrics":
                self._send(404, "text/plain", _ONLY)
            else:
                kind, body = encoder.encode(self.headers.get("Accept") or "")
                self._send(200, kind, body)

        def _send(self, status: int, kind: str, body: bytes) -> None:
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *arguments: object) -> None:  # noqa: A002
            """Scrapes are not logged."""

    return Handler
