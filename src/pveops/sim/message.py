"""A request and an answer as the simulated daemons see them, without sockets."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from pveops.sim.upload import UploadedFile


@dataclass(frozen=True, slots=True)
class RawRequest:
    """What came in. Header names are in lower case; `target` is path and query."""

    method: str
    target: str
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    uploaded: UploadedFile | None = None
    """What a large upload brought; its bytes were measured and let go of."""


@dataclass(slots=True)
class RawAnswer:
    """What goes out. `is_lost`: the connection ends without it; the effect, if any, stays."""

    status: int
    reason: str
    headers: list[tuple[str, str]] = field(default_factory=list)
    body: bytes = b""
    keeps_alive: bool = True
    is_lost: bool = False
    is_hanging: bool = False
    """The connection stays open and nothing comes."""


class TextAnswer(str):
    """What a handler returns to answer with plain text (downloads), not JSON."""

    __slots__ = ()


class ConnectionLostError(Exception):
    """In process: the connection ended. `sent` tells whether the request had gone out."""

    def __init__(self, *, sent: bool) -> None:
        super().__init__("the connection was lost")
        self.sent = sent


def encode_json(value: Any) -> bytes:
    """JSON as PVE writes it: UTF-8, no spaces."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode(
        "utf-8", "surrogatepass"
    )
