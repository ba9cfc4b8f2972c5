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
_STEP = re.compile(r"\.(?P<key>[^.\[]+)|\[(?:(?P<index>\d+)|\.\.\.)\]")
_UNKNOWN_FIELD = re.compile(r"unknown field `([^`]+)`")
_WORDS = (
    ("`object`", "a mapping"),
    ("`array`", "a list"),
    ("`str`", "text"),
    ("`bool`", "true or false"),
    ("`int`", "a whole number"),
    ("`float`", "a number"),
    ("`null`", "nothing"),
    ("Object missing required field", "there is no"),
)
_MERGE = "tag:yaml.org,2002:merge"


def read_document(path: Path, what: str) -> bytes | None:
    """The bytes of a configuration file; None when there is no such file.

    Raises ConfigError for what is no regular file, is larger than 1 MiB, or can be written by
    everybody: whoever edits it decides what this program does.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError as error:
        if path.is_symlink():
            # Taken for absent, it would be replaced by the defaults, which may allow more.
            raise ConfigError(
                f"{what} {path} is a link to a file that does not exist",
                hint=f"look where it leads: `readlink {path}`",
            ) from error
        return None
    except OSError as error:
        raise ConfigError(
            f"{what} {path} cannot be read: {error.strerror}", hint=f"look at `ls -l {path}`"
        ) from error
    try:
        facts = os.fstat(descriptor)
        if not stat.S_ISREG(facts.st_mode):
            raise ConfigError(f"{what} {path} is no plain file", hint=f"look at `ls -l {path}`")
        if facts.st_mode & stat.S_IWOTH:
            raise ConfigError(
                f"{what} {path} can be written by every user of this machine",
                hint=f"`chmod o-w {path}`, then read it through before using it",
            )
        content = os.read(descriptor, _MAX_BYTES + 1)
    finally:
        os.close(descriptor)
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


def find_line(content: bytes, *steps: str | int) -> int | None:
    """The line of a member of a document that was parsed before."""
    import yaml

    return _line_of(yaml.compose(content, Loader=yaml.SafeLoader), list(steps))


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
            name = (key.tag, str(key.value))
            first = lines.get(name)
            lines[name] = line
            if first is not None and key.tag != _MERGE:
                raise ConfigError(
                    f"{label}, line {line}: {key.value!r} stands in line {first} already",
                    hint="keep one of the two",
                )


def _explain(error: msgspec.ValidationError, document: _Document, label: str) -> ConfigError:
    text = str(error)
    match = _PATH.search(text)
    message = text[: match.start()] if match else text
    steps = _resolve(document, match["path"], text) if match else []
    if match and match["is_key"]:
        steps.append(_find_culprit(document, steps, text))
    unknown = _UNKNOWN_FIELD.search(message)
    line = _line_of(document.root, [*steps, unknown[1]] if unknown else steps)
    where = f", line {line}" if line else ""
    member = f" ({'.'.join(map(str, steps))})" if steps else ""
    wanted = _type_at(document.kind, steps)
    return ConfigError(f"{label}{where}{member}: {_say(message, wanted)}", hint="correct it there")


def _say(message: str, wanted: Any) -> str:
    """A message of msgspec in the words of YAML, with what would be right."""
    unknown = _UNKNOWN_FIELD.search(message)
    if unknown:
        return f"unknown key {unknown[1]!r}{suggest(unknown[1], _field_names(wanted))}"
    choices = next((each.values for each in _options(wanted) if hasattr(each, "values")), None)
    if choices and message.startswith("Invalid enum value"):
        said = message.removeprefix("Invalid enum value ")
        return f"{said} is none of {', '.join(map(str, choices))}"
    for theirs, plain in _WORDS:
        message = message.replace(theirs, plain)
    return message[:1].lower() + message[1:]


def _resolve(document: _Document, path: str, text: str) -> list[str | int]:
    """The keys and indexes of a msgspec path, which writes `[...]` for any member of a mapping."""
    steps: list[str | int] = []
    here = document.data
    for step in _STEP.finditer(path):
        index = int(step["index"]) if step["index"] else None
        key = step["key"] if index is None else index
        steps.append(_find_culprit(document, steps, text) if key is None else key)
        here = here[steps[-1]]
    return steps


def _find_culprit(document: _Document, steps: list[str | int], text: str) -> str | int:
    """The member of the collection at `steps` that is refused with `text`.

    Found by trying: it is refused in the same words when it stands there alone.
    """
    here = document.data
    for step in steps:
        here = here[step]
    members: list[str | int] = list(here) if isinstance(here, dict) else list(range(len(here)))
    for member in members:
        try:
            msgspec.convert(_prune(document.data, steps, member), document.kind)
        except msgspec.ValidationError as error:
            if str(error) == text:
                return member
    return members[0]


def _prune(data: Any, steps: list[str | int], member: str | int) -> Any:
    """`data`, with `member` alone in the collection that `steps` lead to."""
    if not steps:
        return {member: data[member]} if isinstance(data, dict) else [data[member]]
    rest = _prune(data[steps[0]], steps[1:], member)
    if isinstance(data, dict):
        return {**data, steps[0]: rest}
    return [rest if index == steps[0] else item for index, item in enumerate(data)]


def _line_of(root: Any, steps: list[str | int]) -> int | None:
    """The line of a member: of its key in a mapping, of its beginning in a list."""
    import yaml

    node, line = root, root.start_mark.line + 1 if root is not None else None
    for step in steps:
        if isinstance(node, yaml.MappingNode):
            pair = next((each for each in node.value if each[0].value == str(step)), None)
            if pair is None:
                return line
            line, node = pair[0].start_mark.line + 1, pair[1]
        elif isinstance(node, yaml.SequenceNode) and isinstance(step, int):
            node = node.value[step]
            line = node.start_mark.line + 1
        else:
            return line
    return line


def _type_at(kind: Any, steps: list[str | int]) -> Any:
    """How msgspec describes the type of a member; None where there is none."""
    info: Any = msgspec.inspect.type_info(kind)
    for step in steps:
        inner = None
        for option in _options(info):
            for field in getattr(option, "fields", ()):
                inner = field.type if field.encode_name == step else inner
            inner = inner or getattr(option, "value_type", getattr(option, "item_type", None))
        info = inner
    return info


def _options(info: Any) -> tuple[Any, ...]:
    """The types that a type may be: itself, or the members of a union."""
    options: tuple[Any, ...] = getattr(info, "types", (info,))
    return tuple(getattr(each, "type", each) for each in options)


def _field_names(info: Any) -> tuple[str, ...]:
    return tuple(
        field.encode_name for option in _options(info) for field in getattr(option, "fields", ())
    )
