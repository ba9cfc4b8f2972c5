"""The JSON envelope.

    {"ok", "operation", "changed", "data" | "plan" | "receipt", "findings", "error", "next",
     "truncated", "meta"}

One line, compact. `ok`, `operation`, `changed` and `meta` are always there; any other member is
left out when it has nothing to say. `error` is {"code", "message", "hint", "retry", "details"}.
The data of a list is {"total", "items"}, with what there is to say of all of them beside. Text
that others wrote stands under `untrusted` only.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import msgspec

from pveops.cli.answer import Answer, limit_listing
from pveops.redact import redact, redact_value

_MAX_CHARS = 12_000
_MAX_FULL_CHARS = 400_000
_FEWER = (200, 60, 20, 6, 2)
"""So many of each list, one after the other, until it fits."""
_LETTERS = 100
_NOTHING: Mapping[str, Any] = MappingProxyType({})


def render_json(answer: Answer, cut: Mapping[str, Any] = _NOTHING) -> str:
    """The envelope on one line. cut: what was left out of `data` before."""
    members = _envelope(answer, cut)
    text = msgspec.json.encode(members).decode()
    if redact(text) != text:
        # Only now the slow way, member by member: cutting in the encoded text could break it.
        text = msgspec.json.encode(_clean_texts(msgspec.to_builtins(members))).decode()
    return text + "\n"


def render_short_json(answer: Answer, *, is_full: bool) -> str:
    """The envelope with as much of its lists as fits; `truncated` tells how much there is.

    For callers that are given it unasked. Whoever asks for the full answer gets far more.
    """
    limit = _MAX_FULL_CHARS if is_full else _MAX_CHARS
    text, shown = render_json(answer), answer.listing
    while len(text) > limit and shown is not None and shown.rows and answer.data is None:
        answer = limit_listing(answer, len(shown.rows) * limit // len(text) * 9 // 10)
        text, shown = render_json(answer), answer.listing
    if answer.data is not None:
        whole = msgspec.to_builtins(answer.data, str_keys=True)
        for most in _FEWER:
            if len(text) <= limit:
                break
            cut: dict[str, Any] = {}
            text = render_json(answer._replace(data=_shorten(whole, most, "", cut)), cut)
        if len(text) > limit:
            nothing = {"data": {"shown": 0, "total": len(text)}}
            text = render_json(answer._replace(data=None, blocks=()), nothing)
    return text


def _shorten(value: Any, most: int, path: str, cut: dict[str, Any]) -> Any:
    """The first `most` of each list, and of a text so many characters for each.

    cut: by path what was left out, `lines.points` for every `points` in `lines`.
    """
    if isinstance(value, dict):
        return {
            key: _shorten(item, most, f"{path}.{key}".lstrip("."), cut)
            for key, item in value.items()
        }
    if isinstance(value, str) and len(value) > most * _LETTERS:
        _note_cut(cut, path, most * _LETTERS, len(value))
        return value[: most * _LETTERS] + "…"
    if not isinstance(value, list):
        return value
    if len(value) > most:
        _note_cut(cut, path, most, len(value))
    return [_shorten(item, most, path, cut) for item in value[:most]]


def _note_cut(cut: dict[str, Any], path: str, shown: int, total: int) -> None:
    """Of several under one path, that of which the most was left out."""
    if path not in cut or cut[path]["total"] < total:
        cut[path] = {"shown": shown, "total": total}


def _envelope(answer: Answer, cut: Mapping[str, Any] = _NOTHING) -> dict[str, Any]:
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
        "truncated": dict(cut) or _truncated(answer),
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
