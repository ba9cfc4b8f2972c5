"""YAML documents into typed values, with the line of each mistake."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from pveops.errors import ConfigError

T = TypeVar("T")

_MAX_BYTES = 1 << 20
_PATH = re.compile(r" - at (?P<is_key>`key` in )?`\$(?P<path>[^`]*)`$")
_STEP = re.compile(r"\.(?P<key>[^.\[]+)|(?P<any>\[[^\]]*\])")
_UNKNOWN_FIELD = re.compile(r"unknown field `([^`]+)`")
_MERGE = "tag:yaml.org,2002:merge"


def read_document(path: Path, what: str) -> bytes | None:
    """The bytes of a configuration file; None when there is no such file.

    Raises ConfigError for what is no regular file, is larger than 1 MiB, or can be written by
    everybody: whoever edits it decides what this program does.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise ConfigError(
            f"{what} {path} cannot be read: {error.strerror}", hint=f"look at `ls -l {path}`"
        ) from error
    with open(descriptor, "rb") as file:
        facts = os.fstat(descriptor)
        if not stat.S_ISREG(facts.st_mode):
            raise ConfigError(f"{what} {path} is no regular file", hint=f"look at `ls -l {path}`")
        if facts.st_mode & stat.S_IWOTH:
            raise ConfigError(
                f"{what} {path} can be written by every user of this machine",
                hint=f"`chmod o-w {path}`, then read it through before using it",
            )
        content = file.read(_MAX_BYTES + 1)
    if len(content) > _MAX_BYTES:
        raise ConfigError(f"{what} {path} is larger than 1 MiB", hint="is it the right file?")
    return content


def load_document(path: Path, kind: type[T], what: str) -> T | None:
    """The document at `path` as a value of `kind`; None when there is no such file.

    Raises ConfigError that names the file, the line and what is wrong there.
    """
    content = read_document(path, what)
    return None if content is None else parse_document(content, kind, f"{what} {path}")


def parse_document(content: bytes, kind: type[T], label: str) -> T:
    """As `load_document`, for text at hand. An empty document is an empty mapping."""
    import yaml

    loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    try:
        reader = loader(content)
        root = reader.get_single_node()
        _refuse_duplicates(root, label)
        data = {} if root is None else reader.construct_document(root)
    except yaml.MarkedYAMLError as error:
        raise _explain_syntax(error, label) from error
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        said = " ".join(str(error).split())
        raise ConfigError(f"{label} is no YAML: {said}", hint="is it the right file?") from error
    try:
        return msgspec.convert({} if data is None else data, kind)
    except msgspec.ValidationError as error:
        raise _explain(error, _Document(data, root, kind), label) from error
    except RecursionError as error:
        raise ConfigError(f"{label} refers to itself", hint="write it without anchors") from error


def suggest(name: str, known: Iterator[str] | tuple[str, ...]) -> str:
    """`; did you mean 'X'?`, or nothing."""
    from difflib import get_close_matches

    close = get_close_matches(name, list(known), n=1)
    return f"; did you mean {close[0]!r}?" if close else ""


class _Document:
    """What a mistake is looked for in."""

    def __init__(self, data: Any, root: Any, kind: Any) -> None:
        self.data = data
        self.root = root
        self.kind = kind


def _explain_syntax(error: Any, label: str) -> ConfigError:
    mark = error.problem_mark or error.context_mark
    line = f", line {mark.line + 1}" if mark else ""
    return ConfigError(
        f"{label}{line}: {error.problem or error.context}",
        hint="correct the YAML there (often an indent, a tab, or a colon in an unquoted text)",
    )


def _refuse_duplicates(root: Any, label: str) -> None:
    """YAML lets the last of several equal keys win, which hides a rule from its reader."""
    import yaml

    waiting, seen = [root], set()
    while waiting:
        node = waiting.pop()
        if node is None or id(node) in seen:
            continue
        seen.add(id(node))
        if isinstance(node, yaml.SequenceNode):
            waiting.extend(node.value)
        if not isinstance(node, yaml.MappingNode):
            continue
        lines: dict[Any, int] = {}
        for key, value in node.value:
            waiting.append(value)
            line = key.start_mark.line + 1
            first = lines.setdefault((key.tag, str(key.value)), line)
            if first != line and key.tag != _MERGE:
                raise ConfigError(
                    f"{label}, line {line}: {key.value!r} stands in line {first} already",
                    hint="keep one of the two",
                )


def _explain(error: msgspec.ValidationError, document: _Document, label: str) -> ConfigError:
    text = str(error)
    match = _PATH.search(text)
    message = text[: match.start()] if match else text
    steps = _resolve(document, match["path"]) if match else []
    unknown = _UNKNOWN_FIELD.search(message)
    last = unknown[1] if unknown else None
    line = _line_of(document.root, steps, last)
    if unknown:
        message = f"unknown key {last!r}{_suggest_field(document.kind, steps, unknown[1])}"
    if match and match["is_key"]:
        message = f"a key in it: {message}"
    where = f", line {line}" if line else ""
    member = f" ({'.'.join(map(str, steps))})" if steps else ""
    return ConfigError(f"{label}{where}{member}: {message}", hint="correct it there")


def _resolve(document: _Document, path: str) -> list[str | int]:
    """The keys and indexes of a msgspec path, which writes `[...]` for any member.

    Which one is found by trying: the first that is refused when it stands there alone.
    """
    steps: list[str | int] = []
    here = document.data
    for step in _STEP.finditer(path):
        if step["key"]:
            steps.append(step["key"])
        else:
            members = list(here) if isinstance(here, dict) else range(len(here))
            steps.append(next((m for m in members if _is_refused(document, steps, m)), members[0]))
        here = here[steps[-1]]
    return steps


def _is_refused(document: _Document, steps: list[str | int], member: str | int) -> bool:
    try:
        msgspec.convert(_prune(document.data, steps, member), document.kind)
    except msgspec.ValidationError as error:
        return "[...]" in str(error)
    return False


def _prune(data: Any, steps: list[str | int], member: str | int) -> Any:
    """`data`, with `member` alone in the collection that `steps` lead to."""
    if not steps:
        return {member: data[member]} if isinstance(data, dict) else [data[member]]
    rest = _prune(data[steps[0]], steps[1:], member)
    return (
        {**data, steps[0]: rest}
        if isinstance(data, dict)
        else [rest if index == steps[0] else item for index, item in enumerate(data)]
    )


def _line_of(root: Any, steps: list[str | int], last: str | None) -> int | None:
    """The line of a member: of its key in a mapping, of its beginning in a list."""
    import yaml

    node, line = root, root.start_mark.line + 1 if root is not None else None
    for step in [*steps, *([last] if last else [])]:
        if isinstance(node, yaml.MappingNode):
            found = [(key, value) for key, value in node.value if key.value == str(step)]
            if not found:
                return line
            line, node = found[0][0].start_mark.line + 1, found[0][1]
        elif isinstance(node, yaml.SequenceNode) and isinstance(step, int):
            node = node.value[step]
            line = node.start_mark.line + 1
        else:
            return line
    return line


def _suggest_field(kind: Any, steps: list[str | int], name: str) -> str:
    """A field of the struct at `steps` with a name like `name`."""
    for step in steps:
        info = msgspec.inspect.type_info(kind)
        if isinstance(info, msgspec.inspect.StructType):
            field = next((each for each in info.fields if each.encode_name == step), None)
            inner = field.type if field else None
        else:
            inner = getattr(info, "value_type", None) or getattr(info, "item_type", None)
        kind = getattr(inner, "cls", None)
        if kind is None and inner is not None:
            kind = _collection(inner)
        if kind is None:
            return ""
    info = msgspec.inspect.type_info(kind)
    if not isinstance(info, msgspec.inspect.StructType):
        return ""
    return suggest(name, tuple(field.encode_name for field in info.fields))


def _collection(info: Any) -> Any:
    """The Python type of a described dict or tuple of structs."""
    value = getattr(info, "value_type", None)
    if value is not None and hasattr(value, "cls"):
        return dict[str, value.cls]
    item = getattr(info, "item_type", None)
    return tuple[item.cls, ...] if item is not None and hasattr(item, "cls") else None
