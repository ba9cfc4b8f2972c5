"""The transport over HTTPS: http.client's reader on our own verified, pooled connections.

What it keeps to is how pveproxy behaves (pve-http-server AnyEvent.pm): a connection serves 100
requests and is closed after 5 idle seconds; a request is refused rather than answered when it
is chunked, has a body on GET or DELETE, or waits for `100 Continue`.

The request is written by one call, so that it is known at each failure whether a byte may have
gone out. The environment's proxies, `.netrc`, cookies and redirects do not exist here.
"""

from __future__ import annotations

import select
import ssl
import threading
import zlib
from collections.abc import Iterable, Mapping
from http.client import HTTPException, HTTPResponse
from itertools import chain

from pveops.api.encode import encode_form
from pveops.api.endpoint import Endpoint
from pveops.api.port import Request, Response
from pveops.api.tls import CONNECT_TIMEOUT_S, Dialer
from pveops.api.upload import Body
from pveops.clock import Clock, SystemClock
from pveops.errors import OutcomeUnknownError, PveopsError, UnreachableError, UsageError
from pveops.sanitize import sanitize_text

API_ROOT = "/api2/json"
READ_TIMEOUT_S = 35.0
"""The server itself gives up on a slow handler after 30 s, and holds a 401 back for 3 s."""

_UPLOAD_ANSWER_S = 300.0
"""The node writes what came to its disk before it answers."""
_MAX_IDLE_S = 4.0
_MAX_REQUESTS = 100
_MAX_POOLED = 16
_MAX_BODY_BYTES = 256 * 1024 * 1024
_MAX_REASON = 200
_FORM_TYPE = "application/x-www-form-urlencoded"
_WITH_FORM = frozenset({"POST", "PUT"})
_ANY_COMPRESSION = zlib.MAX_WBITS | 32


class HttpsTransport:
    """One endpoint. Safe to share between threads; each request has a connection to itself."""

    def __init__(
        self,
        endpoint: Endpoint,
        *,
        clock: Clock | None = None,
        connect_timeout_s: float = CONNECT_TIMEOUT_S,
        read_timeout_s: float = READ_TIMEOUT_S,
        root: str = API_ROOT,
    ) -> None:
        """Take `root` for what a node serves beside its API: paths are below it."""
        self._root = root
        self._endpoint = endpoint
        self._clock = clock or SystemClock()
        self._read_timeout_s = read_timeout_s
        self._dialer = Dialer(endpoint, connect_timeout_s)
        self._idle: list[_Connection] = []
        self._lock = threading.Lock()

    def send(self, request: Request) -> Response:
        """Send once, but for a GET that finds its kept connection dead: that is read anew.

        Raises UnreachableError, TlsError, OutcomeUnknownError as `api.port` says, and
        UsageError for a request that is no HTTP.
        """
        if request.upload is not None:
            return self._upload(request, request.upload.body(request.params))
        payload = _write_request(request, self._endpoint, self._root)
        timeout_s = request.read_timeout_s or self._read_timeout_s
        kept = self._take(request)
        if kept is not None:
            try:
                return self._exchange(kept, request, payload, timeout_s)
            except UnreachableError as error:
                if kept.has_answered or isinstance(error.__cause__, TimeoutError):
                    raise
        fresh = _Connection(self._dialer.connect(), self._clock.monotonic())
        return self._exchange(fresh, request, payload, timeout_s)

    def _upload(self, request: Request, body: Body) -> Response:
        """A file, on a connection of its own. What was not sent whole is never executed."""
        head = _write_request(request, self._endpoint, self._root, body)
        connection = _Connection(self._dialer.connect(), self._clock.monotonic())
        try:
            connection.write(chain((head,), body.chunks()), self._read_timeout_s)
        except (OSError, EOFError) as error:
            connection.close()
            raise _cut_short(self._endpoint, error) from error
        try:
            response = connection.read(request.method, _UPLOAD_ANSWER_S)
        except (OSError, HTTPException, EOFError, zlib.error) as error:
            raise _lost(request, self._endpoint, error) from error
        finally:
            connection.close()
        return response._replace(endpoint=self._endpoint.authority)

    def close(self) -> None:
        """Close the kept connections."""
        with self._lock:
            idle, self._idle = self._idle, []
        for connection in idle:
            connection.close()

    def _exchange(
        self, connection: _Connection, request: Request, payload: bytes, timeout_s: float
    ) -> Response:
        try:
            response = connection.exchange(request.method, payload, timeout_s)
        except (OSError, HTTPException, EOFError, zlib.error) as error:
            connection.close()
            raise _lost(request, self._endpoint, error) from error
        except BaseException:
            connection.close()
            raise
        self._keep(connection)
        return response._replace(endpoint=self._endpoint.authority)

    def _take(self, request: Request) -> _Connection | None:
        """A kept connection that looks alive; for a write, one that nothing speaks against."""
        now = self._clock.monotonic()
        while True:
            with self._lock:
                if not self._idle:
                    return None
                connection = self._idle.pop()
            if connection.is_usable(now, for_write=not request.is_read):
                return connection
            connection.close()

    def _keep(self, connection: _Connection) -> None:
        connection.idle_since = self._clock.monotonic()
        if connection.is_reusable and connection.requests < _MAX_REQUESTS:
            with self._lock:
                if len(self._idle) < _MAX_POOLED:
                    self._idle.append(connection)
                    return
        connection.close()


class _Connection:
    """One socket and what is known of it."""

    def __init__(self, sock: ssl.SSLSocket, now: float) -> None:
        self._sock = sock
        self.idle_since = now
        self.requests = 0
        self.is_reusable = True
        self.has_answered = False
        """Whether a byte of an answer to the last request came."""
        self._is_doubtful = False

    def is_usable(self, now: float, *, for_write: bool) -> bool:
        """Whether the server should still listen on it.

        Proxied answers of PVE say both `Connection: close` and `Keep-Alive`; a read may find
        out which holds, a write may not.
        """
        if now - self.idle_since > _MAX_IDLE_S or (for_write and self._is_doubtful):
            return False
        return not self._has_input()

    def exchange(self, method: str, payload: bytes, timeout_s: float) -> Response:
        """Write, then read. Raises OSError, HTTPException, EOFError, zlib.error."""
        self.write((payload,), timeout_s)
        return self.read(method, timeout_s)

    def write(self, pieces: Iterable[bytes], timeout_s: float) -> None:
        """One request. Raises OSError; no piece may be blocked for longer than the timeout."""
        self.requests += 1
        self.has_answered = False
        self._sock.settimeout(timeout_s)
        for piece in pieces:
            self._sock.sendall(piece)

    def read(self, method: str, timeout_s: float) -> Response:
        """One answer. Raises OSError, HTTPException, EOFError, zlib.error."""
        self._sock.settimeout(timeout_s)
        response = HTTPResponse(self._sock, method=method)
        try:
            response.begin()
            self.has_answered = True
            body = _read_body(response)
            fields = response.headers.get_all("connection") or []
        finally:
            response.close()
        headers = _headers(response)
        tokens = {token.strip().lower() for field in fields for token in field.split(",")}
        is_delimited = response.chunked or "content-length" in headers
        self.is_reusable = is_delimited and ("keep-alive" in tokens or "close" not in tokens)
        self._is_doubtful = "close" in tokens
        return Response(response.status, response.reason, headers, body)

    def close(self) -> None:
        self._sock.close()

    def _has_input(self) -> bool:
        """Input without a request is the server's farewell."""
        poll = select.poll()
        poll.register(self._sock, select.POLLIN)
        return bool(poll.poll(0)) or self._sock.pending() > 0


def _write_request(
    request: Request, endpoint: Endpoint, root: str, upload: Body | None = None
) -> bytes:
    """The request as bytes, without the body of an upload.

    Raises UsageError when something in it would break HTTP's lines.
    """
    form = encode_form(request.params)
    target, body = root + request.path, b""
    headers = [("Host", endpoint.authority), ("User-Agent", "pveops"), ("Accept", "*/*")]
    if not endpoint.is_loopback:
        headers.append(("Accept-Encoding", "gzip"))
    headers += request.headers
    if upload is not None:
        headers += [("Content-Type", upload.content_type), ("Content-Length", str(upload.length))]
    elif request.method in _WITH_FORM:
        body = form.encode("ascii")
        headers += [("Content-Type", _FORM_TYPE), ("Content-Length", str(len(body)))]
    elif form:
        target = f"{target}?{form}"
    if not request.path.startswith("/") or any(not "!" <= char <= "~" for char in target):
        raise UsageError(f"{request.path!r} is no path: its segments have to be percent-encoded")
    lines = [f"{request.method} {target} HTTP/1.1", *(f"{name}: {text}" for name, text in headers)]
    if any("\r" in line or "\n" in line or "\0" in line for line in lines):
        raise UsageError("a header would break the request's lines")
    return "\r\n".join([*lines, "", ""]).encode("latin-1") + body


def _read_body(response: HTTPResponse) -> bytes:
    """The whole body, inflated. PVE compresses some answers even when not asked to."""
    if (response.length or 0) > _MAX_BODY_BYTES:
        raise HTTPException(f"an answer of {response.length} bytes")
    body = response.read()
    if not body or response.headers.get("content-encoding") not in ("gzip", "deflate"):
        return body
    inflater = zlib.decompressobj(_ANY_COMPRESSION)
    inflated = inflater.decompress(body, _MAX_BODY_BYTES)
    if not inflater.eof:
        raise EOFError("the compressed answer ends early")
    return inflated


def _headers(response: HTTPResponse) -> Mapping[str, str]:
    headers: dict[str, str] = {}
    for name, text in response.headers.items():
        key = name.lower()
        headers[key] = f"{headers[key]}, {text}" if key in headers else text
    return headers


def _cut_short(endpoint: Endpoint, error: Exception) -> PveopsError:
    """Pveproxy executes a request only when all of its body has come."""
    said = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return UnreachableError(
        f"the upload to {endpoint.authority} was cut short, and nothing came of it: "
        f"{sanitize_text(said, _MAX_REASON)}",
        details={"endpoint": endpoint.authority, "sent": True},
    )


def _lost(request: Request, endpoint: Endpoint, error: Exception) -> PveopsError:
    """The request went out, and no trustworthy answer came. The reason may quote the server."""
    said = getattr(error, "strerror", None) or str(error) or type(error).__name__
    reason = sanitize_text(said, _MAX_REASON)
    details = {
        "endpoint": endpoint.authority,
        "request": f"{request.method} {request.path}",
        "sent": True,
    }
    if request.is_read:
        return UnreachableError(
            f"{endpoint.authority} did not answer {request.path}: {reason}", details=details
        )
    return OutcomeUnknownError(
        f"{endpoint.authority} was sent {request.method} {request.path} and did not answer:"
        f" {reason}",
        details=details,
    )
