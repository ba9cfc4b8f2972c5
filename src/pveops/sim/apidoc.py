"""The API viewer's script, as every node serves it without a login, made from the schema facts.

It has no prose: the facts have none.
"""

from __future__ import annotations

import json
from functools import lru_cache
from typing import Any

from pveops.schema import Facts
from pveops.sim.message import RawAnswer

PATH = "/pve-docs/api-viewer/apidoc.js"
_FLAGS = {"is_protected": "protected", "proxyto": "proxyto", "allows_token": "allowtoken"}


def serve_apidoc(version: str) -> RawAnswer:
    """The script for a release."""
    headers = [("Content-Type", "application/javascript"), ("Connection", "Keep-Alive")]
    return RawAnswer(200, "OK", headers, _script(version))


@lru_cache
def _script(version: str) -> bytes:
    facts = Facts.open(version)
    tree = json.dumps([node for node in _children(facts, "") if node["path"] != "/"])
    return f"const apiSchema = {tree};\n".encode()


def _children(facts: Facts, path: str) -> list[dict[str, Any]]:
    nodes = []
    for segment in facts.children(path or "/"):
        below = f"{path}/{segment}"
        children = _children(facts, below)
        node: dict[str, Any] = {
            "path": below,
            "text": segment,
            "leaf": 0 if children else 1,
            "info": {name: _info(facts, name, below) for name in facts.methods_at(below)},
        }
        nodes.append(node | ({"children": children} if children else {}))
    return nodes


def _info(facts: Facts, name: str, template: str) -> dict[str, Any]:
    method = facts.method(name, template)
    if method is None:
        raise KeyError(template)
    info: dict[str, Any] = {
        "method": name,
        "name": method.name,
        "parameters": {
            "additionalProperties": int(method.has_more_parameters),
            "properties": method.parameters,
        },
        "returns": method.returns,
    }
    if method.permissions is not None:
        info["permissions"] = {k: v for k, v in method.permissions.items() if k != "custom"}
    for attribute, flag in _FLAGS.items():
        value = getattr(method, attribute)
        info[flag] = int(value) if isinstance(value, bool) else value
    return {key: value for key, value in info.items() if value != ""}
