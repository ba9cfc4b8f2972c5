"""Checking parameters as PVE does (pve-common JSONSchema.pm), in PVE's own words."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from pveops.schema.facts import Method, Schema
from pveops.schema.formats import check_format

UNKNOWN = "property is not defined in schema and the schema does not allow additional properties"
MISSING = "property is missing and it is not optional"

_INDEXED = re.compile(r"([a-z]+)(\d+)")
_INTEGER = re.compile(r"[+-]?\d+")
_NUMBER = re.compile(r"[+-]?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?")
_TRUTHS = frozenset({"0", "1"})
_INNER_TRUTHS = frozenset({"0", "1", "on", "off", "yes", "no", "true", "false"})
"""Inside a property string the words are taken, too (parse_boolean)."""

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


def check_parameters(
    method: Method, params: Mapping[str, Any], release: str = "9.2"
) -> dict[str, str]:
    """What is wrong with the parameters, by name; empty: nothing that the schema can tell.

    params: path and request parameters together, as text, numbers, booleans or lists.
    release: which PVE words the answer; some texts changed in 9.1.
    """
    errors: dict[str, str] = {}
    for name, value in params.items():
        schema = find_parameter(method, name)
        if schema is None:
            if not method.has_more_parameters:
                errors[name] = UNKNOWN
        elif (text := _check(schema, value, name)) is not None:
            errors[name] = text
    for name, schema in method.parameters.items():
        if name not in params and not schema.get("optional") and "[" not in name:
            errors.setdefault(name, MISSING)
    _check_requires(method, params, release, errors)
    return errors


def find_parameter(method: Method, name: str) -> Schema | None:
    """The schema of a parameter; `net3` is found as `net[n]`."""
    if name in method.parameters:
        return method.parameters[name]
    match = _INDEXED.fullmatch(name)
    if match is None:
        return None
    schema = method.parameters.get(f"{match[1]}[n]")
    is_within = int(match[2]) <= _HIGHEST.get(match[1], 255) and match[2] == str(int(match[2]))
    return schema if is_within else None


def did_you_mean(name: str, method: Method) -> str | None:
    """The parameter that an unknown name was probably meant to be."""
    import difflib

    known = [key.removesuffix("[n]") for key in method.parameters]
    near = difflib.get_close_matches(name, known, n=1)
    if near:
        return near[0]
    flat = name.replace("_", "-").lower()
    return next((key for key in known if key.replace("_", "-").lower() == flat), None)


def _check_requires(
    method: Method, params: Mapping[str, Any], release: str, errors: dict[str, str]
) -> None:
    for name in params:
        schema = find_parameter(method, name)
        needed = schema.get("requires") if schema else None
        if (
            not isinstance(needed, str)
            or needed in params
            or any(other in params for other in needed.split("|"))
        ):
            continue
        is_new = tuple(int(part) for part in release.split(".")[:2]) >= (9, 1)
        if is_new:
            errors.setdefault(needed, f"missing property required by '{name}'")
        else:
            errors.setdefault(needed, f"missing property - '{name}' requires this property")


def _check(schema: Schema, value: Any, path: str, *, inner: bool = False) -> str | None:
    """What is wrong with one value, in the order in which PVE looks."""
    if value is None:
        return None
    if isinstance(value, list) and _takes_list(schema):
        value = ",".join(_as_text(item) for item in value)
    wrong_type = _check_type(schema, value, inner=inner)
    if wrong_type:
        return wrong_type
    if isinstance(value, list):
        return _check_items(schema, value, path)
    text = _as_text(value)
    return (
        _check_text_format(schema, text, path)
        or _check_shape(schema, text)
        or _check_range(schema, text)
        or _check_enum(schema, text)
    )


def _takes_list(schema: Schema) -> bool:
    """A string that is a list by its format takes an array, too (PVE 8.0 and later)."""
    return schema.get("type") == "string" and str(schema.get("format", "")).endswith("-list")


def _as_text(value: Any) -> str:
    if isinstance(value, bool):
        return "1" if value else "0"
    return str(value)


def _check_type(schema: Schema, value: Any, *, inner: bool) -> str | None:
    kind = schema.get("type", "string")
    if kind == "array":
        return None
    if isinstance(value, dict):
        return None if kind in {"object", "any"} else f"type check ('{kind}') failed - got HASH"
    if isinstance(value, list):
        return f"type check ('{kind}') failed - got ARRAY"
    text = _as_text(value)
    if _fits_type(str(kind), text, inner=inner):
        return None
    return f"type check ('{kind}') failed - got '{text}'"


def _fits_type(kind: str, text: str, *, inner: bool) -> bool:
    if kind == "boolean":
        return text.lower() in _INNER_TRUTHS if inner else text in _TRUTHS
    if kind == "integer":
        return _INTEGER.fullmatch(text) is not None
    return kind != "number" or _NUMBER.fullmatch(text) is not None


def _check_items(schema: Schema, values: list[Any], path: str) -> str | None:
    items = schema.get("items")
    if not isinstance(items, dict):
        return None
    return next((text for value in values if (text := _check(items, value, path))), None)


def _check_text_format(schema: Schema, text: str, path: str) -> str | None:
    form = schema.get("format")
    if isinstance(form, dict):
        errors = check_property_string(form, text, path)
        if errors:
            lines = "".join(f"{key}: {error.rstrip()}\n" for key, error in errors.items())
            return f"invalid format - format error\n{lines}"
        return None
    wrong = check_format(form, text) if isinstance(form, str) else None
    return f"invalid format - {wrong}\n" if wrong else None


def _check_shape(schema: Schema, text: str) -> str | None:
    pattern = schema.get("pattern")
    if isinstance(pattern, str) and not _compiled(pattern).fullmatch(text):
        return "value does not match the regex pattern"
    longest, shortest = schema.get("maxLength"), schema.get("minLength")
    if longest is not None and len(text) > longest:
        return f"value may only be {longest} characters long"
    if shortest is not None and len(text) < shortest:
        return f"value must be at least {shortest} characters long"
    return None


@lru_cache(maxsize=256)
def _compiled(pattern: str) -> re.Pattern[str]:
    return re.compile(pattern)


def _check_range(schema: Schema, text: str) -> str | None:
    if not _NUMBER.fullmatch(text):
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


def check_property_string(form: dict[str, Schema], text: str, path: str) -> dict[str, str]:
    """What is wrong inside a property string such as `virtio,bridge=vmbr0`, by `path.key`."""
    try:
        values = parse_property_string(form, text)
    except ValueError as error:
        return {path: str(error)}
    errors: dict[str, str] = {}
    for key, value in values.items():
        schema = form.get(key)
        if schema is None:
            errors[f"{path}.{key}"] = UNKNOWN
        elif (wrong := _check(schema, value, f"{path}.{key}", inner=True)) is not None:
            errors[f"{path}.{key}"] = wrong
    for key, schema in form.items():
        if key not in values and not schema.get("optional") and "alias" not in schema:
            errors[f"{path}.{key}"] = MISSING
    return errors


def parse_property_string(form: dict[str, Schema], text: str) -> dict[str, str]:
    """The members of a property string, aliases resolved. Raises ValueError as PVE words it."""
    default = next((key for key, schema in form.items() if schema.get("default_key")), None)
    values: dict[str, str] = {}
    for part in filter(None, (piece.strip() for piece in text.split(","))):
        key, separator, value = part.partition("=")
        if not separator:
            if default is None or default in values:
                raise ValueError(
                    "value without key, but schema does not define a default key"
                    if default is None
                    else f"duplicate key in comma-separated list property: {default}"
                )
            key, value = default, part
        schema = form.get(key, {})
        if "alias" in schema:
            if "keyAlias" in schema:
                values[schema["keyAlias"]] = key
            key = schema["alias"]
        if key in values:
            raise ValueError(f"duplicate key in comma-separated list property: {key}")
        values[key] = value
    return values
