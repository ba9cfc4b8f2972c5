"""Checking parameters as PVE does (pve-common JSONSchema.pm), in PVE's own words."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from pveops.schema.facts import Method, Schema, version_key

UNKNOWN = "property is not defined in schema and the schema does not allow additional properties"
MISSING = "property is missing and it is not optional"

_INDEXED = r"([a-z]+)(0|[1-9][0-9]{0,8})"
_INTEGER = r"[+-]?\d+"
_NUMBER = r"[+-]?(?:\d+\.\d+|\d+\.|\.\d+|\d+)(?:[eE][+-]?\d+)?"
_TRUTHS = frozenset({"0", "1"})
_INNER_TRUTHS = frozenset({"0", "1", "on", "off", "yes", "no", "true", "false"})
"""Inside a property string the words are taken, too (parse_boolean)."""
_REWORDED = (9, 1)
"""Since this release an absent property that another one requires is told in other words."""

_HIGHEST: dict[str, int] = {
    "net": 31,
    "scsi": 30,
    "virtio": 15,
    "sata": 5,
    "ide": 3,
    "usb": 13,
    "hostpci": 15,
    "serial": 3,
    "parallel": 2,
    "numa": 7,
    "ipconfig": 31,
    "unused": 255,
    "mp": 255,
    "dev": 255,
    "virtiofs": 9,
    "link": 7,
    "acmedomain": 5,
}
"""The schema dump lost the highest index of `net[n]` and the like; these are in the sources
(PVE/QemuServer/*.pm, PVE/LXC/Config.pm)."""
_NO_LIMIT = 255


class _Errors(dict[str, str]):
    """Texts by name; several about one name are joined as PVE joins them."""

    def add(self, name: str, text: str) -> None:
        # Perl's single quotes: what joins them is a backslash and an n (add_error).
        self[name] = f"{self[name]}\\n{text}" if name in self else text


def check_parameters(
    method: Method, params: Mapping[str, Any], release: str = "9.2"
) -> dict[str, str]:
    """What is wrong with the parameters, by name; empty: nothing that the schema can tell.

    params: path and request parameters together, as text, numbers, booleans or lists; None is
    a parameter that was not given.
    release: which PVE words the answer; some texts changed in 9.1.
    """
    given = {name: value for name, value in params.items() if value is not None}
    errors = _Errors()
    for name, value in given.items():
        schema = find_parameter(method, name)
        if schema is not None:
            schema = _variant(schema, given)
        if schema is not None:
            _check(schema, value, name, errors)
        elif not method.has_more_parameters:
            errors.add(name, UNKNOWN)
    for name, schema in method.parameters.items():
        if name not in given and not _is_optional(schema, given) and "[" not in name:
            errors.add(name, MISSING)
    _check_requires(method, given, release, errors)
    return dict(errors)


def find_parameter(method: Method, name: str) -> Schema | None:
    """The schema of a parameter; `net3` is found as `net[n]`."""
    if name in method.parameters:
        return method.parameters[name]
    match = re.fullmatch(_INDEXED, name)
    if match is None:
        return None
    schema = method.parameters.get(f"{match[1]}[n]")
    return schema if int(match[2]) <= _HIGHEST.get(match[1], _NO_LIMIT) else None


def did_you_mean(name: str, method: Method) -> str | None:
    """The parameter that an unknown name was probably meant to be; `nett1`: `net1`."""
    import difflib

    digits = re.search(r"[0-9]{0,9}$", name)
    number = int(digits[0]) if digits and digits[0] else 0
    known = {key.replace("[n]", str(number)): key for key in method.parameters}
    flat = _flat(name)
    same = next((key for key in known if _flat(key) == flat), None)
    meant = same or next(iter(difflib.get_close_matches(name, known, n=1)), None)
    return _numbered(known[meant], number) if meant else None


def _flat(name: str) -> str:
    return name.replace("_", "-").lower()


def _numbered(key: str, number: int) -> str:
    """`net[n]` as the parameter with that number, or the last one that there is."""
    if not key.endswith("[n]"):
        return key
    base = key.removesuffix("[n]")
    return f"{base}{min(number, _HIGHEST.get(base, _NO_LIMIT))}"


def _instance_type(schema: Schema, given: Mapping[str, Any]) -> str | None:
    """What a parameter that belongs to some types of an object is judged by (since 9.0)."""
    name = schema.get("type-property")
    return _as_text(given[name]) if isinstance(name, str) and name in given else None


def _variant(schema: Schema, given: Mapping[str, Any]) -> Schema | None:
    """The alternative of `oneOf` for the type at hand; None: that type has no such parameter."""
    alternatives = schema.get("oneOf")
    if not isinstance(alternatives, list):
        return schema
    wanted = _instance_type(schema, given)
    fitting = (each for each in alternatives if wanted in each.get("instance-types", [wanted]))
    return next(fitting, None)


def _is_optional(schema: Schema, given: Mapping[str, Any]) -> bool:
    if schema.get("optional") or "alias" in schema:
        return True
    wanted = _instance_type(schema, given)
    if "oneOf" in schema:
        chosen = _variant(schema, given)
        return wanted is None or chosen is None or bool(chosen.get("optional"))
    return wanted is not None and wanted not in schema.get("instance-types", [wanted])


def _check_requires(
    method: Method, given: Mapping[str, Any], release: str, errors: _Errors
) -> None:
    for name in given:
        needed = (find_parameter(method, name) or {}).get("requires")
        if not isinstance(needed, str) or needed in given:
            continue
        if version_key(release) >= _REWORDED:
            errors.add(needed, f"missing property required by '{name}'")
        else:
            errors.add(needed, f"missing property - '{name}' requires this property")


def _check(
    schema: Schema, value: Any, path: str, errors: _Errors, *, is_inner: bool = False
) -> None:
    """Add what is wrong with one value: the first thing, in the order in which PVE looks."""
    value = _normalise(schema, value)
    text = _check_type(schema, value, is_inner=is_inner)
    if text is None and isinstance(value, list):
        items = schema.get("items")
        for position, item in enumerate(value if isinstance(items, dict) else ()):
            _check(items, item, f"{path}[{position}]", errors)  # type: ignore[arg-type]
    elif text is None and not isinstance(value, dict):
        text = _check_scalar(schema, _as_text(value), path)
    if text is not None:
        errors.add(path, text)


def _check_scalar(schema: Schema, text: str, path: str) -> str | None:
    return (
        _check_text_format(schema, text, path)
        or _check_shape(schema, text)
        or _check_range(schema, text)
        or _check_enum(schema, text)
    )


def _normalise(schema: Schema, value: Any) -> Any:
    """A list for a string that lists, and one value for an array, are taken (PVE 8.0 and later).

    RESTHandler.pm does so for values that Perl holds true only.
    """
    kind = schema.get("type")
    if isinstance(value, list | tuple):
        lists = kind == "string" and str(schema.get("format", "")).endswith("-list")
        return ",".join(map(_as_text, value)) if lists else list(value)
    is_true = not isinstance(value, dict) and _as_text(value) not in {"", "0"}
    return [value] if kind == "array" and is_true else value


def _as_text(value: Any) -> str:
    if isinstance(value, bool):
        return "1" if value else "0"
    return str(value)


def _check_type(schema: Schema, value: Any, *, is_inner: bool) -> str | None:
    kind = schema.get("type", "any")
    if kind == "any":
        return None
    if kind in {"array", "object"}:
        fits = isinstance(value, list if kind == "array" else dict)
        return None if fits else f"type check ('{kind}') failed"
    if isinstance(value, dict | list):
        got = "HASH" if isinstance(value, dict) else "ARRAY"
        return f"type check ('{kind}') failed - got {got}"
    text = _as_text(value)
    if _fits_type(str(kind), text, is_inner=is_inner):
        return None
    return f"type check ('{kind}') failed - got '{text}'"


def _fits_type(kind: str, text: str, *, is_inner: bool) -> bool:
    if kind == "boolean":
        return text.lower() in _INNER_TRUTHS if is_inner else text in _TRUTHS
    if kind == "integer":
        return re.fullmatch(_INTEGER, text) is not None
    return kind != "number" or re.fullmatch(_NUMBER, text) is not None


def _check_text_format(schema: Schema, text: str, path: str) -> str | None:
    name = schema.get("format")
    if name is None:
        return None
    from pveops.schema.formats import check_format
    from pveops.schema.property_string import find_form, parse_property_string

    form, check_whole = find_form(name)
    if form is not None:
        wrong = check_property_string(form, text, path)
        if wrong is None and check_whole is not None:
            wrong = check_whole(parse_property_string(form, text))
    else:
        wrong = check_format(name, text) if isinstance(name, str) else None
    return f"invalid format - {wrong}\n" if wrong is not None else None


def _check_shape(schema: Schema, text: str) -> str | None:
    pattern = schema.get("pattern")
    if isinstance(pattern, str) and not _fits_pattern(pattern, text):
        return "value does not match the regex pattern"
    longest, shortest = schema.get("maxLength"), schema.get("minLength")
    if longest is not None and len(text) > longest:
        return f"value may only be {longest} characters long"
    if shortest is not None and len(text) < shortest:
        return f"value must be at least {shortest} characters long"
    return None


def _fits_pattern(pattern: str, text: str) -> bool:
    compiled = _compiled(pattern)
    return compiled is None or compiled.search(text) is not None


@lru_cache(maxsize=256)
def _compiled(pattern: str) -> re.Pattern[str] | None:
    """PVE's anchors stand outside the pattern without a group, so they bind to its ends only.

    None: a newer release's pattern in words that Python does not know; the server will judge.
    """
    try:
        return re.compile(f"^{pattern}$")
    except re.error:
        return None


def _check_range(schema: Schema, text: str) -> str | None:
    if not re.fullmatch(_NUMBER, text):
        return None
    number = float(text)
    highest, lowest = schema.get("maximum"), schema.get("minimum")
    if highest is not None and number > highest:
        return f"value must have a maximum value of {highest}"
    if lowest is not None and number < lowest:
        return f"value must have a minimum value of {lowest}"
    return None


def _check_enum(schema: Schema, text: str) -> str | None:
    values = schema.get("enum")
    if not values or text in {str(value) for value in values}:
        return None
    listed = ", ".join(str(value) for value in values)
    return f"value '{text}' does not have a value in the enumeration '{listed}'"


def check_property_string(form: dict[str, Schema], text: str, path: str) -> str | None:
    """What is wrong with a property string such as `virtio,bridge=vmbr0`, as PVE words it."""
    from pveops.schema.property_string import (
        PropertyStringError,
        list_missing,
        parse_property_string,
    )

    try:
        members = parse_property_string(form, text)
    except PropertyStringError as error:
        return str(error)
    errors = _Errors()
    for key, value in members.items():
        _check(form[key], value, f"{path}.{key}", errors, is_inner=True)
    for key in list_missing(form, members):
        errors.add(f"{path}.{key}", MISSING)
    if not errors:
        return None
    lines = "\n".join(f"{key}: {error}" for key, error in errors.items())
    return f"format error\n{lines}"
