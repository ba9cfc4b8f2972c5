"""YAML documents into typed values, with the line of each mistake."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from pveops.errors import ConfigError

T = TypeVar("T")

_MAX_BYTES = 1 << 20
_PATH = re.compile(r" - at `\$(?P<path>[^`]*)`$")
_STEP = re.compile(r"\.(?P<key>[^.\[]+)|\[(?P<index>\d+|\.\.\.)\]")


def load_document(path: Path, kind: type[T], what: str) -> T | None:
    """The document at `path` as a value of `kind`; None when there is no such file.

    Raises ConfigError that names the file, the line and what is wrong there.
    """
    try:
        with path.open("rb") as file:
            content = file.read(_MAX_BYTES + 1)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise ConfigError(f"{what} {path} cannot be read: {error}") from error
    if len(content) > _MAX_BYTES:
        raise ConfigError(f"{what} {path} is larger than 1 MiB")
    return parse_document(content, kind, f"{what} {path}")


def parse_document(content: bytes, kind: type[T], label: str) -> T:
    """As `load_document`, for text at hand."""
    import yaml

    loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    try:
        data = yaml.load(content, Loader=loader)  # noqa: S506 - a safe loader, in C
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        line = f", line {mark.line + 1}" if mark else ""
        raise ConfigError(
            f"{label}{line}: {error.problem or error.context}", hint="mend the YAML there"
        ) from error
    except (yaml.YAMLError, UnicodeDecodeError, RecursionError) as error:
        raise ConfigError(f"{label} is no YAML: {error}") from error
    try:
        return msgspec.convert(data if data is not None else {}, kind)
    except msgspec.ValidationError as error:
        raise _explain(error, content, label) from error


def _explain(error: msgspec.ValidationError, content: bytes, label: str) -> ConfigError:
    text = str(error)
    match = _PATH.search(text)
    path = match["path"] if match else ""
    message = text[: match.start()] if match else text
    line = _line_of(content, path, message)
    where = f", line {line}" if line else ""
    member = f" ({path.lstrip('.')})" if path else ""
    return ConfigError(f"{label}{where}{member}: {message}", hint="see docs/reference/files.md")


def _line_of(content: bytes, path: str, message: str) -> int | None:
    """The line of the member at a msgspec path; for an unknown one, its own line."""
    import yaml

    node = yaml.compose(content, Loader=yaml.SafeLoader)
    for step in _STEP.finditer(path):
        node = _child(node, step["key"], step["index"])
        if node is None:
            return None
    unknown = re.search(r"unknown field `([^`]+)`", message)
    if unknown and isinstance(node, yaml.MappingNode):
        for key, _ in node.value:
            if key.value == unknown[1]:
                return int(key.start_mark.line) + 1
    return int(node.start_mark.line) + 1 if node is not None else None


def _child(node: Any, key: str | None, index: str | None) -> Any:
    import yaml

    if isinstance(node, yaml.MappingNode) and (key or index == "..."):
        pairs = [value for name, value in node.value if index == "..." or name.value == key]
        return pairs[0] if pairs else None
    if isinstance(node, yaml.SequenceNode) and index and index.isdecimal():
        return node.value[int(index)] if int(index) < len(node.value) else None
    return None
