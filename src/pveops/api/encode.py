"""From Python's values to the text that PVE's parameters are.

PVE takes forms and queries, not JSON, on every version (pve-http-server AnyEvent.pm):
booleans are `1` and `0`, and an array is its name repeated. The transport percent-encodes
every name and value, because the server splits at a raw `;` and at every raw `=`.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from urllib.parse import quote

from pveops.api.port import Pairs
from pveops.errors import UsageError

Scalar = str | int | float | bool
Value = Scalar | Sequence[Scalar] | None

_DELETE = 0x7F
_FIRST_PRINTABLE = 0x20


def encode_params(params: Mapping[str, Value] | None) -> Pairs:
    """Parameters as they go out. None is left out.

    Raises UsageError for a name with control characters, a value of no PVE type, and an empty
    list: PVE cannot be sent one, and leaving the parameter out often means "all of them".
    """
    pairs: list[tuple[str, str]] = []
    for name, value in (params or {}).items():
        _check_name(name)
        if value is None:
            continue
        if isinstance(value, list | tuple):
            if not value:
                raise UsageError(
                    f"the list for {name!r} is empty",
                    hint="leave the parameter out if it should mean every one",
                )
            pairs.extend((name, _text(name, item)) for item in value)
        else:
            pairs.append((name, _text(name, value)))
    return tuple(pairs)


def encode_form(pairs: Iterable[tuple[str, str]]) -> str:
    """Pairs as a form's body or a query: everything percent-encoded, spaces as `%20`."""
    return "&".join(f"{quote(name, safe='')}={quote(value, safe='')}" for name, value in pairs)


def _check_name(name: str) -> None:
    if not name or any(ord(char) < _FIRST_PRINTABLE or ord(char) == _DELETE for char in name):
        raise UsageError(f"{name!r} is no parameter's name")


def _text(name: str, value: object) -> str:
    if isinstance(value, bool):
        return "1" if value else "0"
    if isinstance(value, str):
        return str(value)
    if isinstance(value, int):
        return str(int(value))
    if isinstance(value, float) and math.isfinite(value):
        return repr(value)
    raise UsageError(f"parameter {name!r} cannot be {type(value).__name__} {value!r}")
