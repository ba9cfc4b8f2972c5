"""A skill folder as values: what lies in it, and what stands in front of SKILL.md."""

from __future__ import annotations

import re
import stat
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any, Literal, NamedTuple

from pveops.errors import ConfigError

MAIN = "SKILL.md"
NOTE = "installed.txt"
"""What an installation leaves in the folder; no part of the skill."""
_LEFT_OUT = frozenset({"__pycache__"})
_SUFFIXES = {".md": "text", ".json": "data", ".yaml": "data", ".yml": "data", ".toml": "data"}
_CODE = frozenset({".py", ".sh", ".bash", ".zsh", ".js", ".mjs", ".ts", ".rb", ".go"})

Kind = Literal["text", "data", "code", "other"]


class SkillFile(NamedTuple):
    """One file. `path` is relative, with slashes."""

    path: str
    content: bytes

    @property
    def text(self) -> str:
        """What stands in it."""
        return self.content.decode("utf-8", "replace")

    @property
    def kind(self) -> Kind:
        """What scanners take it for: by its suffix, or as code by its first line."""
        suffix = PurePosixPath(self.path).suffix.lower()
        if suffix in _CODE or (not suffix and self.content.startswith(b"#!")):
            return "code"
        return _SUFFIXES.get(suffix, "other")  # type: ignore[return-value]


class Problem(NamedTuple):
    """Something that a rule does not allow."""

    rule: str
    file: str
    line: int
    """0: the file as a whole."""
    message: str

    def __str__(self) -> str:
        """As it is printed."""
        where = f"{self.file}:{self.line}" if self.line else self.file
        return f"{where}: {self.message} [{self.rule}]"


def read_files(folder: Path) -> tuple[SkillFile, ...]:
    """Every file of the skill, by path; hidden ones and leavings of Python do not count.

    Raises ConfigError for what is no plain file: agents refuse links that lead elsewhere.
    """
    return tuple(
        SkillFile(path.relative_to(folder).as_posix(), path.read_bytes())
        for path in sorted(_walk(folder))
        if path != folder / NOTE
    )


def _walk(folder: Path) -> Iterator[Path]:
    for path in folder.iterdir():
        if path.name.startswith(".") or path.name in _LEFT_OUT:
            continue
        mode = path.lstat().st_mode
        if stat.S_ISDIR(mode):
            yield from _walk(path)
        elif stat.S_ISREG(mode):
            yield path
        else:
            raise ConfigError(f"{path} is no plain file", hint=f"ls -l {path}")


class Front(NamedTuple):
    """The front matter."""

    source: str
    values: dict[str, Any]
    problem: str = ""
    """Why it cannot be read; empty: it can."""

    @property
    def openclaw(self) -> dict[str, Any]:
        """What is for OpenClaw and ClawHub."""
        metadata = self.values.get("metadata")
        found = metadata.get("openclaw") if isinstance(metadata, dict) else None
        return found if isinstance(found, dict) else {}

    @property
    def declared(self) -> dict[str, str]:
        """The declared environment variables, with what they are for."""
        rows = self.openclaw.get("envVars")
        if not isinstance(rows, list):
            return {}
        return {
            str(row.get("name", "")): str(row.get("description", ""))
            for row in rows
            if isinstance(row, dict)
        }


def split_front(text: str) -> tuple[Front, str]:
    """The front matter and the body."""
    match = re.match(r"---\n(.*?\n)---\n", text, re.DOTALL)
    if match is None:
        return Front("", {}, "SKILL.md has no front matter"), text
    import yaml

    source = match[1]
    try:
        values = yaml.safe_load(source)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f" (line {mark.line + 2})" if mark is not None else ""
        return Front(source, {}, f"the front matter is no YAML{where}"), text[match.end() :]
    if not isinstance(values, dict):
        return Front(source, {}, "the front matter is no mapping"), text[match.end() :]
    return Front(source, values), text[match.end() :]
