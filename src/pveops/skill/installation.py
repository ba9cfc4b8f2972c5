"""The skill in an agent's folder: put there whole or not at all, and never over somebody's edits.

A note beside the files says what was put there: so a later version knows which files are as we
left them, and the launcher knows where `pve` is.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from pveops import __version__
from pveops.config.folders import Content, put_folder
from pveops.errors import ConfigError
from pveops.skill.folder import NOTE, SkillFile, read_files

_HEAD = "# Written by `pve skill install`: what is ours in this folder, and where `pve` is.\n"
_DIGEST_CHARS = 64


class Standing(NamedTuple):
    """What lies in the target, compared with what is to lie there.

    edited: files that are as neither this nor the version that put them there left them, with
    `+` before those that somebody has added and `-` before those that are gone.
    """

    is_there: bool
    is_current: bool
    edited: tuple[str, ...] = ()


def compare(target: Path, files: Sequence[SkillFile], note: str) -> Standing:
    """How the target stands. Raises ConfigError for a link, or for what is no folder."""
    if target.is_symlink():
        raise ConfigError(
            f"{target} is a symbolic link, which agents may refuse to follow", hint=f"rm {target}"
        )
    if not target.exists():
        return Standing(is_there=False, is_current=False)
    if not target.is_dir():
        raise ConfigError(f"{target} is no folder", hint=f"ls -ld {target}")
    there = {file.path: _digest(file.content) for file in read_files(target)}
    wanted = {file.path: _digest(file.content) for file in files}
    kept = _read_note(target)
    if there == wanted:
        is_runnable = all(_is_runnable(target, path) for path in wanted if _is_script(path))
        return Standing(is_there=True, is_current=kept == note and is_runnable)
    left = _noted_files(kept)
    edited = _differences(there, left or wanted) if left != there else ()
    return Standing(is_there=True, is_current=False, edited=edited)


def write_note(files: Sequence[SkillFile], programs: Path | None) -> str:
    """What is noted of an installation. programs: the folder that `pve` and `pve-apply` lie in."""
    lines = [f"version {__version__}\n"]
    if programs is not None:
        lines.append(f"bin {programs}\n")
    lines += [f"file {_digest(file.content)} {file.path}\n" for file in files]
    return _HEAD + "".join(lines)


def put(target: Path, files: Sequence[SkillFile], note: str) -> None:
    """The skill in place of what was there, all at once. Raises ConfigError."""
    contents = {file.path: Content(file.content, _is_script(file.path)) for file in files}
    put_folder(target, contents | {NOTE: Content(note.encode())}, "the skill")


def keep_edits(target: Path, keep: Path) -> Path:
    """A copy of a folder that is about to be replaced, below `keep`; where it is."""
    rows = [f"{file.path} {_digest(file.content)}\n" for file in read_files(target)]
    digest = _digest("".join(rows).encode())
    place = keep / f"{target.name}-{digest[:12]}"
    with contextlib.suppress(FileExistsError):  # the same edits were kept before
        shutil.copytree(target, place)
    return place


def _differences(there: Mapping[str, str], before: Mapping[str, str]) -> tuple[str, ...]:
    added = [f"+{path}" for path in there if path not in before]
    gone = [f"-{path}" for path in before if path not in there]
    changed = [path for path in there if path in before and there[path] != before[path]]
    return (*sorted(changed), *sorted(added), *sorted(gone))


def _read_note(target: Path) -> str:
    try:
        return (target / NOTE).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return ""


def _noted_files(note: str) -> dict[str, str]:
    rows = (line.split(" ", 2) for line in note.split("\n"))
    return {
        row[2]: row[1]
        for row in rows
        if len(row) == 3 and row[0] == "file" and len(row[1]) == _DIGEST_CHARS
    }


def _is_script(path: str) -> bool:
    return path.startswith("scripts/")


def _is_runnable(target: Path, path: str) -> bool:
    return os.access(target / path, os.X_OK)


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
