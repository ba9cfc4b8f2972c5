"""The simulated cluster without sockets: the same pipeline behind a function call.

`InProcess` has the shape of the product's transport port; nothing of the product is imported.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple, Protocol
from urllib.parse import urlencode

from pveops.sim.message import ConnectionLostError, RawAnswer, RawRequest
from pveops.sim.model import Cluster
from pveops.sim.pipeline import handle

Pairs = tuple[tuple[str, str], ...]
_FORM = "application/x-www-form-urlencoded"


class PortRequest(Protocol):
    """What a request has to have."""

    @property
    def method(self) -> str:
        """GET, POST, PUT, DELETE."""

    @property
    def path(self) -> str:
        """Below /api2/json."""

    @property
    def params(self) -> Pairs:
        """Names may repeat."""

    @property
    def headers(self) -> Pairs:
        """Credentials and the like."""


class Reply(NamedTuple):
    """One answer, with lower-case header names."""

    status: int
    reason: str
    headers: Mapping[str, str]
    body: bytes
    endpoint: str


class InProcess:
    """One node's API, called directly."""

    def __init__(self, cluster: Cluster, node: str) -> None:
        self._cluster = cluster
        self._node = cluster.nodes[node]

    def send(self, request: PortRequest) -> Reply:
        """Answer one request. Raises ConnectionLostError where a socket would have failed."""
        if not self._node.is_online:
            raise ConnectionLostError(sent=False)
        answer = handle(self._cluster, self._node, _raw(request))
        if answer.is_lost or answer.is_hanging:
            raise ConnectionLostError(sent=True)
        return _reply(answer, self._node.name)

    def close(self) -> None:
        """Nothing is held."""


def _raw(request: PortRequest) -> RawRequest:
    headers = {name.lower(): value for name, value in request.headers}
    encoded = urlencode(request.params)
    target = f"/api2/json{request.path}"
    if request.method in {"GET", "DELETE"}:
        target += f"?{encoded}" if encoded else ""
        return RawRequest(request.method, target, headers)
    upload = getattr(request, "upload", None)
    if upload is not None:
        body = upload.body(request.params)
        headers["content-type"] = body.content_type
        return RawRequest(request.method, target, headers, b"".join(body.chunks()))
    headers["content-type"] = _FORM
    return RawRequest(request.method, target, headers, encoded.encode())


def _reply(answer: RawAnswer, endpoint: str) -> Reply:
    headers: dict[str, str] = {}
    for name, value in answer.headers:
        headers[name.lower()] = value
    return Reply(answer.status, answer.reason, headers, answer.body, endpoint)
