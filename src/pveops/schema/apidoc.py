"""The API viewer's description of the API (`apidoc.js`), condensed to facts.

Names, types, ranges, defaults, formats, privileges and flags are kept; no prose is.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

from pveops.errors import ProtocolError
from pveops.schema.facts import Facts

APIDOC_PATH = "/pve-docs/api-viewer/apidoc.js"
"""Every node serves it, without a login (pve-docs)."""

_PROSE = frozenset({"description", "verbose_description", "format_description", "title"})
_FLAGS = ("protected", "proxyto", "allowtoken", "expose_credentials", "download_allowed")
_PERL_GROUP = re.compile(r"\(\?\^([a-z]*):")
_NUMBER = re.compile(r"-?\d+(?:\.\d+)?")
_BEGIN = re.compile(r"\b(?:apiSchema|pveapi)\s*=\s*(?=\[)")

ROOT = {"path": "/", "info": {"GET": {"name": "index", "permissions": {"user": "all"}}}}
"""The root answers, too; the API viewer's tree begins below it."""


def parse_apidoc(script: str) -> list[dict[str, Any]]:
    """The tree in `apidoc.js`. Raises ProtocolError when there is none."""
    begin = _BEGIN.search(script)
    try:
        tree = json.JSONDecoder().raw_decode(script, begin.end())[0] if begin else None
    except (ValueError, RecursionError):
        tree = None
    if not isinstance(tree, list) or not tree:
        raise ProtocolError(f"{APIDOC_PATH} does not hold the API's schema")
    return tree


def facts_of_apidoc(script: str, release: str) -> Facts:
    """The facts in a cluster's own `apidoc.js`.

    It does not tell which methods start tasks; that is taken from the release shipped with us
    that is nearest. Raises ProtocolError.
    """
    tree = parse_apidoc(script)
    try:
        return Facts(release, _condense_tree(tree, Facts.open(release)))
    except (AttributeError, KeyError, TypeError, ValueError, RecursionError) as error:
        raise ProtocolError(f"{APIDOC_PATH} has another form than is known") from error


def _condense_tree(tree: list[dict[str, Any]], known: Facts) -> dict[str, dict[str, Any]]:
    index: dict[str, dict[str, Any]] = {}
    for node in (ROOT, *walk(tree)):
        methods = {}
        for method, info in sorted((node.get("info") or {}).items()):
            shipped = known.method(method, node["path"])
            methods[method] = condense_method(info, shipped.task if shipped else None)
        index[node["path"]] = methods
    return index


def walk(nodes: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """Every node of the tree."""
    for node in nodes:
        yield node
        yield from walk(node.get("children", []))


def condense_pattern(pattern: str) -> str:
    """A Perl pattern as Python reads it: `(?^i:` is `(?i:` there, and `(?^:` is `(?:`."""
    return _PERL_GROUP.sub(
        lambda match: f"(?{''.join(f for f in match[1] if f in 'imsx')}:", pattern
    )


def condense_schema(schema: Any) -> Any:
    """A parameter's or a result's schema without prose, numbers as numbers."""
    if isinstance(schema, list):
        return [condense_schema(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    kept: dict[str, Any] = {}
    for key, value in schema.items():
        if key in _PROSE or key == "typetext" or (key == "default" and not _is_fact(schema)):
            continue
        if key == "properties" and isinstance(value, dict):
            kept[key] = {name: condense_schema(item) for name, item in value.items()}
        elif key == "pattern" and isinstance(value, str):
            kept[key] = condense_pattern(value)
        elif key in {"minimum", "maximum", "minLength", "maxLength"}:
            kept[key] = number(value)
        elif key == "format" and isinstance(value, dict):
            kept[key] = {name: condense_schema(item) for name, item in value.items()}
        else:
            kept[key] = condense_schema(value)
    return kept


def _is_fact(schema: dict[str, Any]) -> bool:
    """Whether a default is a value; some are words about where it comes from."""
    kind, text = schema.get("type"), str(schema["default"])
    if kind in {"integer", "number"}:
        return _NUMBER.fullmatch(text) is not None
    return "(" not in text and len(re.findall(r"(?<![,;])\s", text)) <= 1


def number(value: Any) -> Any:
    """`"100"` as 100."""
    text = str(value)
    try:
        return int(text)
    except ValueError:
        return float(text)


def condense_permissions(permissions: dict[str, Any] | None) -> dict[str, Any] | None:
    """The expression; whether words describe more than it says."""
    if permissions is None:
        return None
    kept = {key: value for key, value in permissions.items() if key != "description"}
    if "description" in permissions:
        kept["custom"] = True
    return kept


def condense_method(info: dict[str, Any], task: str | None) -> dict[str, Any]:
    """One method's facts."""
    parameters = info.get("parameters") or {}
    facts: dict[str, Any] = {
        "name": info.get("name", ""),
        "parameters": {
            name: condense_schema(schema)
            for name, schema in (parameters.get("properties") or {}).items()
        },
        "additional": bool(parameters.get("additionalProperties", 1)),
        "permissions": condense_permissions(info.get("permissions")),
        "returns": condense_schema(info.get("returns") or {}),
    }
    facts |= {flag: info[flag] for flag in _FLAGS if flag in info}
    if task:
        facts["task"] = task
    return facts
