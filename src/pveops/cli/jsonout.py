"""The JSON envelope.

    {"ok", "operation", "changed", "data" | "plan" | "receipt", "findings", "error", "next",
     "truncated", "meta"}

One line, compact. `ok`, `operation`, `changed` and `meta` are always there; any other member is
left out when it has nothing to say. `error` is {"code", "message", "hint", "retry", "details"}.
The data of a list is {"total", "items"}, with what there is to say of all of them beside. Text
that others wrote stands under `untrusted` only.
"""

from __future__ import annotations

from typing import Any

import msgspec

from pveops.cli.answer import Answer, limit_listing
from pveops.redact import redact, redact_value

_MAX_CHARS = 12_000
_MAX_FULL_CHARS = 400_000


def render_json(answer: Answer) -> str:
    """The envelope on one line."""
    members = _envelope(answer)
    text = msgspec.json.encode(members).decode()
    if redact(text) != text:
        # Only now the slow way, member by member: cutting in the encoded text could break it.
        text = msgspec.json.encode(_clean_texts(msgspec.to_builtins(members))).decode()
    return text + "\n"


def render_short_json(answer: Answer, *, is_full: bool) -> str:
    """The envelope with no more rows of its list than fit; `truncated` tells how many there are.

    For callers that are given it unasked. Whoever asks for the full answer gets far more.
    """
    limit = _MAX_FULL_CHARS if is_full else _MAX_CHARS
    text, shown = render_json(answer), answer.listing
    while len(text) > limit and shown is not None and shown.rows and answer.data is None:
        answer = limit_listing(answer, len(shown.rows) * limit // len(text) * 9 // 10)
        text, shown = render_json(answer), answer.listing
    return text


def _envelope(answer: Answer) -> dict[str, Any]:
    members: dict[str, Any] = {
        "ok": answer.ok,
        "operation": answer.operation,
        "changed": answer.changed,
    }
    optional = {
        "data": _data(answer),
        "plan": answer.plan,
        "receipt": answer.receipt,
        "findings": list(answer.findings),
        "error": answer.error,
        "next": list(answer.next),
        "truncated": _truncated(answer),
    }
    members |= {
        name: value for name, value in optional.items() if value is not None and value != []
    }
    members["meta"] = {**answer.meta, "exit_code": answer.code}
    return members


def _data(answer: Answer) -> Any:
    """Items of a list were cleaned by who made them, where PVE chose their names."""
    listing = answer.listing
    if answer.data is None and listing is not None:
        items = [listing.to_item(row) for row in listing.rows]
        return {"total": listing.size, "items": items, **clean_data(dict(answer.beside))}
    return clean_data(msgspec.to_builtins(answer.data, str_keys=True))


def _truncated(answer: Answer) -> Any:
    listing = answer.listing
    if listing is None or len(listing.rows) >= listing.size:
        return None
    return {"shown": len(listing.rows), "total": listing.size}


def clean_data(data: Any) -> Any:
    """What PVE said, without secrets. In a row of `key` and `value` the key is the name."""
    if isinstance(data, dict) and isinstance(data.get("key"), str):
        return {name: redact_value(item, data["key"]) for name, item in data.items()}
    if isinstance(data, dict):
        return {
            name: clean_data(item) if isinstance(item, dict | list) else redact_value(item, name)
            for name, item in data.items()
        }
    return [clean_data(item) for item in data] if isinstance(data, list) else redact_value(data)


def _clean_texts(value: Any) -> Any:
    """Our own members: their names are ours, so only texts may hold a secret."""
    if isinstance(value, dict):
        return {name: _clean_texts(item) for name, item in value.items()}
    if isinstance(value, list):
        return [_clean_texts(item) for item in value]
    return redact(value) if isinstance(value, str) else value
