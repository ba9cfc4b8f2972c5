"""From a request's query and body to parameters, as pve-http-server decodes them."""

from __future__ import annotations

import json
import re
from typing import Any
from urllib.parse import unquote_to_bytes

from pveops.schema import Method
from pveops.schema.check import find_parameter
from pveops.sim.message import RawRequest
from pveops.sim.refusal import ApiError, parameter_error

_FORM = "application/x-www-form-urlencoded"
_WITH_BODY = frozenset({"POST", "PUT"})


def read_parameters(request: RawRequest, query: str) -> dict[str, Any]:
    """Parameters by name, as text, or lists of text where a name repeats; JSON as it came."""
    params: dict[str, Any] = {}
    if request.method in _WITH_BODY and request.body:
        params |= _read_body(request)
    params |= _read_form(query)
    params.pop("_dc", None)
    return params


def _read_body(request: RawRequest) -> dict[str, Any]:
    content_type = request.headers.get("content-type", "")
    kind = content_type.split(";")[0].strip().lower()
    if kind == "application/json":
        return _read_json(request.body)
    if kind not in {"", _FORM}:
        raise ApiError(
            506, f"upload 'Content-Type '{content_type}' not implemented", has_body=False
        )
    return _read_form(request.body.decode("latin-1"))


def _read_json(body: bytes) -> dict[str, Any]:
    source = "at /usr/share/perl5/PVE/APIServer/AnyEvent.pm line"
    try:
        data = json.loads(body)
    except ValueError as error:
        position = getattr(error, "pos", 0)
        raise ApiError(
            500,
            "malformed JSON string, neither tag, array, object, number, string or atom, at "
            f'character offset {position} (before "(end of string)") {source} 934.',
            has_body=False,
        ) from error
    if not isinstance(data, dict):
        raise ApiError(500, f"Not a HASH reference {source} 978.", has_body=False)
    return {name: value for name, value in data.items() if value is not None}


def _read_form(text: str) -> dict[str, Any]:
    params: dict[str, Any] = {}
    for part in filter(None, re.split("[&;]", text)):
        # Perl splits on every `=`; what follows a second one is lost.
        name, *rest = part.split("=")
        if not rest:
            continue
        key, value = _decode(name), _decode(rest[0])
        if key in params:
            before = params[key]
            params[key] = [*before, value] if isinstance(before, list) else [before, value]
        else:
            params[key] = value
    return params


def _decode(text: str) -> str:
    raw = unquote_to_bytes(text.replace("+", " "))
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError:
        return raw.decode("latin-1")


def merge_path(params: dict[str, Any], path_params: dict[str, str]) -> dict[str, Any]:
    """Parameters of the path and of the request together; a contradiction is refused."""
    for name, value in path_params.items():
        if name in params and str(params[name]) != value:
            text = "duplicate parameter (already defined in URI) with conflicting values!"
            raise parameter_error({name: text})
    return {**params, **path_params}


def type_parameters(method: Method, params: dict[str, Any]) -> dict[str, Any]:
    """Checked parameters as the schema types them."""
    return {name: _typed(find_parameter(method, name), value) for name, value in params.items()}


def _typed(schema: dict[str, Any] | None, value: Any) -> Any:
    kind = (schema or {}).get("type", "string")
    if kind == "array":
        return value if isinstance(value, list) else [value]
    if isinstance(value, list):
        return ",".join(str(item) for item in value)
    if kind == "boolean":
        return int(value in (True, 1, "1"))
    if kind == "integer":
        return int(value)
    if kind == "number":
        return float(value)
    if isinstance(value, bool):
        return str(int(value))
    return str(value)
