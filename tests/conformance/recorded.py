"""Recorded answers of real PVE API daemons, and a transport that gives them again."""

from __future__ import annotations

import json
import lzma
import os
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import unquote

import pytest

from pveops.api.port import Request, Response

VERSIONS = ("9.2.11", "8.4.21")
SHARED = Path(os.environ.get("PVEOPS_SHARED", Path(__file__).parents[3] / "shared"))
API_ROOT = "/api2/json"
_OTHER_PROTOCOLS = (101, 301)
"""Answers to plain HTTP and to WebSockets, asked for at the same paths."""


class Exchange(NamedTuple):
    """One request of the recorded series with its answer."""

    name: str
    credentials: str | None
    request: Request
    url: str
    """The path as it was asked for, with its format."""
    answer: dict[str, Any]
    is_usual: bool
    """Whether the request had the form that the client gives to its own."""

    @property
    def body(self) -> Any:
        return self.answer.get("body")

    def response(self) -> Response:
        if self.body is not None:
            raw = json.dumps(self.body).encode()
        else:
            raw = (self.answer.get("raw") or "").encode()
        headers = {name.lower(): text for name, text in self.answer["headers"]}
        return Response(self.answer["status"], self.answer["reason"], headers, raw, "recorded")


@cache
def load(version: str) -> tuple[Exchange, ...]:
    """Every visible exchange that was answered; none where the recordings are not at hand."""
    path = SHARED / "data" / "exchanges" / f"pve-{version}.visible.jsonl.xz"
    if not path.is_file():
        return ()
    with lzma.open(path, "rt", encoding="utf-8") as lines:
        records = [json.loads(line) for line in lines]
    return tuple(
        _exchange(record)
        for record in records
        if record["response"] and record["response"]["status"] is not None
    )


def load_or_skip(version: str) -> tuple[Exchange, ...]:
    exchanges = load(version)
    if not exchanges:
        pytest.skip(f"the recorded exchanges are not in {SHARED}")
    return exchanges


class Replay:
    """Answers as the recorded server did to the same request with the same credentials.

    statuses: gives only answers of these; for credentials that were varied on purpose.
    """

    def __init__(
        self, version: str, credentials: str | None, statuses: frozenset[int] | None = None
    ) -> None:
        self._known = [
            each
            for each in load_or_skip(version)
            if each.credentials == credentials
            and each.is_usual
            and each.answer["status"] not in _OTHER_PROTOCOLS
            and (statuses is None or each.answer["status"] in statuses)
        ]

    def send(self, request: Request) -> Response:
        for each in self._known:
            if (
                each.url == API_ROOT + each.request.path
                and (each.request.method, unquote(each.request.path))
                == (request.method, unquote(request.path))
                and sorted(each.request.params) == sorted(request.params)
            ):
                return each.response()
        raise LookupError(f"{request} is not among the visible recorded exchanges")

    def close(self) -> None:
        pass


def _exchange(record: dict[str, Any]) -> Exchange:
    asked = record["request"]
    path = asked["path"]
    form = asked["form"] if isinstance(asked["form"], dict) else {}
    pairs = [*(asked["query"] or []), *form.items()]
    params = tuple((str(name), str(value)) for name, value in pairs)
    below = path.removeprefix(API_ROOT) if path.startswith(API_ROOT) else path
    return Exchange(
        record["name"],
        asked["auth"],
        Request(asked["method"], below, params),
        path,
        record["response"],
        asked["json"] is None
        and asked["raw_body"] is None
        and not (asked["method"] in ("GET", "DELETE") and form),
    )
