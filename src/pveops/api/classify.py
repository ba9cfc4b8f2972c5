"""An answer of PVE becomes data, or the error that it is. Pure.

PVE's words are in the reason phrase (all that there is before pve-http-server 5.2.0, and for
everything refused before a handler runs), in the body's `message` since, or in an answer of
200 with `success: 0` (extjs). All three are read here; see pve-http-server AnyEvent.pm and
Formatter/Standard.pm.

What is said is told apart by the status first, then by the phrases of `api.phrases`. An
answer that is no answer of PVE's is a ProtocolError to a read and an unknown outcome to a
write: the write may have been executed before something else answered.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any, NamedTuple

from pveops.api.phrases import find_meaning
from pveops.api.port import Request, Response
from pveops.errors import (
    AuthenticationError,
    BusyError,
    ExistsError,
    NodeUnreachableError,
    NotFoundError,
    NotImplementedByServerError,
    OutcomeUnknownError,
    ParameterError,
    PermissionDeniedError,
    ProtocolError,
    PveopsError,
    RejectedError,
    RootOnlyError,
    UnreachableError,
)
from pveops.sanitize import MARKER_STARTS, JsonValue, sanitize_value

_PERMISSION = r"Permission check failed \((?P<path>/[^,]*), (?P<privileges>[\w.|, ]+)\)"
_CONNECT_FAILED = 595
_PROXY_LOST = frozenset({596, 597, 598, 599})
_GATEWAY_LOST = frozenset({502, 503, 504})
_EXCERPT_CHARS = 200
_SUSPICIOUS = ("\\", "\x7f", *MARKER_STARTS)
"""Escapes of JSON, and what markers of chat templates begin with."""


class Answer(NamedTuple):
    """What a call gave."""

    data: JsonValue
    total: int | None = None
    """How many rows there are in all, where PVE pages (tasks, logs)."""
    changes: str | None = None
    """The difference that is not applied yet (network configuration)."""


class _Refusal(NamedTuple):
    """An error as PVE told it, whichever way it told it."""

    status: int
    text: str
    errors: Mapping[str, str]


def decode(request: Request, response: Response) -> Answer:
    """The data of an answer, sanitised.

    Raises the error that the answer is, its `details` holding `status`, `request`, `server`
    (PVE's whole text), `errors` by parameter, and what could be read out of the text.
    """
    body = _parse(response.body)
    if response.status == 200:
        if not isinstance(body, dict):
            raise _foreign(request, response)
        if body.get("success") in (0, "0", False):
            raise _judge(request, response, _refusal(_status_of(body), "", body))
        if "data" not in body:
            raise _foreign(request, response)
        return _answer(body)
    if response.status == 500 and response.body.lstrip().startswith(b"<"):
        raise _foreign(request, response)
    reason = str(sanitize_value(response.reason))
    raise _judge(request, response, _refusal(response.status, reason, body))


def _parse(body: bytes) -> Any:
    """The body as JSON, sanitised, or None. PVE sends UTF-8; a broken byte must not hide data.

    `json` and not msgspec: a small answer, import included, costs a process 7 ms instead of
    40, and 10,000 guests 50 ms instead of 20, so only many large answers would gain.
    """
    if not body:
        return None
    text = body.decode("utf-8", "replace")
    try:
        value = json.loads(text)
        return value if is_harmless_json(text) else sanitize_value(value)
    except (ValueError, RecursionError):
        return None


def is_harmless_json(text: str) -> bool:
    """Whether no string in valid JSON can be one that `sanitize` changes, told by the whole text.

    What it removes is not ASCII, or is written with a backslash, or begins with one of a few
    characters. Most answers have none of it; looking at 10,000 guests one by one takes 70 ms.
    """
    return text.isascii() and not any(mark in text for mark in _SUSPICIOUS)


def _answer(body: Mapping[str, Any]) -> Answer:
    total, changes = body.get("total"), body.get("changes")
    return Answer(
        body["data"],
        int(total) if isinstance(total, int | str) and str(total).isdecimal() else None,
        changes if isinstance(changes, str) else None,
    )


def _status_of(body: Mapping[str, Any]) -> int:
    """The status within an extjs answer; it comes as a number and as text."""
    status = str(body.get("status", ""))
    return int(status) if status.isdecimal() else 500


def _refusal(status: int, reason: str, body: Any) -> _Refusal:
    members = body if isinstance(body, Mapping) else {}
    errors = members.get("errors")
    message = members.get("message")
    return _Refusal(
        status,
        (message.strip() if isinstance(message, str) else "") or reason.strip(),
        {name: str(text).strip() for name, text in errors.items()}
        if isinstance(errors, Mapping)
        else {},
    )


def _judge(request: Request, response: Response, refusal: _Refusal) -> PveopsError:
    details = _details(request, response, refusal)
    status, text = refusal.status, refusal.text
    if status == 400:
        return _bad_request(request, refusal, details)
    if status == 401:
        return AuthenticationError(f"not logged in: {text or 'no reason given'}", details=details)
    if status == 403:
        return _forbidden(request, text, details)
    if status == 404:
        return NotFoundError(text or "not found", details=details)
    if status in (501, 506):
        hint = "this version has no such method; `pve api ls` and `pve api usage` show what it has"
        return NotImplementedByServerError(text or "not implemented", hint=hint, details=details)
    if status == _CONNECT_FAILED or status in _PROXY_LOST or status in _GATEWAY_LOST:
        return _lost(request, refusal, details)
    if status == 500:
        return _handler_error(request, text, details)
    if 400 <= status < 500:
        return RejectedError(f"{status} {text}".strip(), details=details)
    return _foreign(request, response)


def _details(request: Request, response: Response, refusal: _Refusal) -> dict[str, Any]:
    details: dict[str, Any] = {
        "status": refusal.status,
        "request": f"{request.method} {request.path}",
        "server": refusal.text,
    }
    if response.endpoint:
        details["endpoint"] = response.endpoint
    if refusal.errors:
        details["errors"] = dict(refusal.errors)
    return details


def _bad_request(request: Request, refusal: _Refusal, details: dict[str, Any]) -> PveopsError:
    """400: parameters, and a few states of the world that PVE reports as one parameter's."""
    if not refusal.errors:
        return _handler_error(request, refusal.text or "400 Bad Request", details)
    message = "; ".join(f"{name}: {text}" for name, text in sorted(refusal.errors.items()))
    if len(refusal.errors) == 1:
        (text,) = refusal.errors.values()
        meaning = find_meaning(text)
        if meaning is not None and meaning.error in (RootOnlyError, ExistsError):
            return meaning.error(message, hint=meaning.hint, details=details)
        if text in ("no such task", "no such job", "interface does not exist"):
            return NotFoundError(message, details=details)
    return ParameterError(message, details=details)


def _forbidden(request: Request, text: str, details: dict[str, Any]) -> PveopsError:
    if "user != root@pam" in text:
        return RootOnlyError(text, details=details)
    if "need proper ticket" in text:
        hint = "PVE takes a ticket for this, never a token: log in as a user"
        return PermissionDeniedError(text, hint=hint, details=details)
    match = re.search(_PERMISSION, text)
    if match is None:
        return _bare_denial(request, text or "permission denied", details)
    privileges = [name.strip() for name in re.split(r"[|,]", match["privileges"])]
    details |= {"path": match["path"], "privileges": privileges}
    return PermissionDeniedError(
        f"no permission: {' or '.join(privileges)} on {match['path']} is missing", details=details
    )


def _bare_denial(request: Request, text: str, details: dict[str, Any]) -> PermissionDeniedError:
    """A 403 that names nothing: the facts of the API know what the method asks for."""
    from pveops.api.denial import describe_need

    need = describe_need(request)
    if not need:
        return PermissionDeniedError(text, details=details)
    return PermissionDeniedError(
        f"{text}; PVE asks for {need}", details={**details, "requires": need}
    )


def _lost(request: Request, refusal: _Refusal, details: dict[str, Any]) -> PveopsError:
    """59x of the proxy between nodes: 595 never reached the node, the others may have."""
    what = f"{refusal.status} {refusal.text or 'no answer'}"
    if refusal.status == _CONNECT_FAILED:
        node = _node_of(request.path)
        details |= {"executed": False} | ({"node": node} if node else {})
        subject = f"node {node}" if node else "the node"
        return NodeUnreachableError(f"{subject} does not answer ({what})", details=details)
    if not request.is_read:
        return OutcomeUnknownError(
            f"the answer was lost between the nodes ({what})", details=details
        )
    error = NodeUnreachableError if refusal.status in _PROXY_LOST else UnreachableError
    return error(f"no answer from behind the server ({what})", details=details)


def _node_of(path: str) -> str:
    parts = path.split("/")
    return parts[2] if len(parts) > 2 and parts[1] == "nodes" else ""


def _handler_error(request: Request, text: str, details: dict[str, Any]) -> PveopsError:
    """500: a handler died with a sentence."""
    first_line = text.split("\n", 1)[0].strip() or f"{details['status']} without a reason"
    meaning = find_meaning(text)
    if meaning is None:
        return RejectedError(first_line, details=details)
    error = meaning.error
    if error is OutcomeUnknownError and request.is_read:
        error = BusyError
    return error(first_line, hint=meaning.hint, details=details | meaning.details)


def _foreign(request: Request, response: Response) -> PveopsError:
    """Something that PVE does not send: HTML, truncated JSON, a redirect, nothing at all."""
    excerpt = str(sanitize_value(response.body[:_EXCERPT_CHARS].decode("utf-8", "replace")))
    details = {
        "status": response.status,
        "request": f"{request.method} {request.path}",
        "server": excerpt or str(sanitize_value(response.reason)),
        "content_type": response.headers.get("content-type", ""),
    }
    what = (
        f"{response.status} with {'an empty body' if not response.body else 'no PVE data in it'}"
    )
    if 300 <= response.status < 400:
        return ProtocolError(
            f"the server redirects ({response.status}); pveops does not follow",
            hint="the endpoint has to be PVE's own https address, port 8006",
            details=details,
        )
    if request.is_read:
        return ProtocolError(f"no answer of a PVE API: {what}", details=details)
    return OutcomeUnknownError(f"no trustworthy answer: {what}", details=details)
