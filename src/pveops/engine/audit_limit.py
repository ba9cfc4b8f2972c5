"""How much goes into one record of the audit log. What is cut says so, with the hash of the whole.

A record has to be read again for the next one to be chained to it, and by people. Whoever may ask
for a change may put megabytes into its parameters.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

import msgspec

MAX_TEXT = 4096
"""Characters of one text."""
MAX_MEMBERS = 1000
"""Members of one list or object."""
MAX_RECORD_BYTES = 256 << 10


def cut_facts(facts: Mapping[str, Any]) -> dict[str, Any]:
    """The facts of a record, none longer than its bound. They hold no secret any more."""
    short = {str(key): _cut(value) for key, value in facts.items()}
    while len(msgspec.json.encode(short)) > MAX_RECORD_BYTES:
        longest = max(short, key=lambda key: len(msgspec.json.encode(short[key])))
        short[longest] = _mark(msgspec.json.encode(facts[longest]))
    return short


def _cut(value: Any) -> Any:
    if isinstance(value, str):
        if len(value) <= MAX_TEXT:
            return value
        mark = _mark(value.encode("utf-8", "surrogatepass"))
        return f"{value[:MAX_TEXT]}… [cut: {mark['cut_bytes']} bytes, sha256 {mark['sha256']}]"
    if isinstance(value, Mapping):
        kept = {_cut(key): _cut(item) for key, item in list(value.items())[:MAX_MEMBERS]}
        return kept if len(value) <= MAX_MEMBERS else {**kept, "…": _mark_of(value)}
    if isinstance(value, list | tuple):
        kept_items = [_cut(item) for item in value[:MAX_MEMBERS]]
        return kept_items if len(value) <= MAX_MEMBERS else [*kept_items, _mark_of(value)]
    return value


def _mark_of(value: Any) -> dict[str, Any]:
    return {"members": len(value), **_mark(msgspec.json.encode(value))}


def _mark(whole: bytes) -> dict[str, Any]:
    return {"cut_bytes": len(whole), "sha256": hashlib.sha256(whole).hexdigest()}
