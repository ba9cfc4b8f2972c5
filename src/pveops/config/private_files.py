"""Files that are their owner's alone: reading them, and refusing those that are not."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path

from pveops.errors import SecretError

_MAX_BYTES = 64 * 1024
_OTHERS = stat.S_IRWXG | stat.S_IRWXO
_WRITABLE_BY_OTHERS = stat.S_IWGRP | stat.S_IWOTH


def read_private_file(path: Path, what: str, remedy: str) -> bytes:
    """The content of a plain file that nobody but us (or root) owns, reads or replaces.

    what: for the message. remedy: what to do when it is missing.
    Raises SecretError.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError as error:
        raise SecretError(f"{what} {path} does not exist", hint=remedy) from error
    except OSError as error:
        if path.is_symlink():
            raise SecretError(
                f"{what} {path} is a symbolic link; somebody may have put it there",
                hint=f"look where it leads: `readlink {path}`; then replace it with a plain file",
            ) from error
        raise SecretError(
            f"{what} {path} cannot be opened: {error.strerror}", hint=f"look at `ls -l {path}`"
        ) from error
    try:
        problem = _find_problem(os.fstat(descriptor), path)
        if problem:
            raise SecretError(f"{what} {path} {problem[0]}", hint=problem[1])
        content = os.read(descriptor, _MAX_BYTES + 1)
    finally:
        os.close(descriptor)
    if len(content) > _MAX_BYTES:
        raise SecretError(f"{what} {path} is larger than 64 KiB", hint=remedy)
    return content


def _find_problem(facts: os.stat_result, path: Path) -> tuple[str, str] | None:
    """What is wrong with the file, and the remedy; None: nothing."""
    if not stat.S_ISREG(facts.st_mode):
        return "is no plain file", f"look at `ls -l {path}`"
    if facts.st_mode & _OTHERS:
        mode = f"{facts.st_mode & 0o777:04o}"
        return (
            f"is open to other users of this machine (mode {mode})",
            f"`chmod 600 {path}`; if anybody may have read it, make a new token in PVE",
        )
    if facts.st_uid not in {os.geteuid(), 0}:
        return "belongs to another user", f"look at `ls -l {path}`"
    folder = path.parent.stat()
    if folder.st_mode & _WRITABLE_BY_OTHERS and not folder.st_mode & stat.S_ISVTX:
        return "lies in a folder that other users may write to", f"`chmod 700 {path.parent}`"
    return None


def is_tracked_by_git(path: Path) -> bool:
    """Whether a git repository around the file has it in its index.

    The index is read, not asked for: starting git takes longer than everything else here.
    """
    path = path.parent.resolve() / path.name
    for folder in path.parents:
        index = _index_of(folder / ".git")
        if index and path.relative_to(folder).as_posix().encode() in index:
            return True
    return False


def _index_of(dot_git: Path) -> _Index | None:
    """The index of the repository; `.git` may be a file that names its folder."""
    try:
        if dot_git.is_file():
            said = dot_git.read_text(encoding="utf-8", errors="replace").strip()
            dot_git = dot_git.parent / said.removeprefix("gitdir:").strip()
        return _Index((dot_git / "index").read_bytes())
    except OSError:
        return None


class _Index:
    """The names in a git index (gitformat-index: versions 2 to 4)."""

    _HEADER = 12
    _STAT = 40
    _EXTENDED = 0x4000
    _NAME_LENGTH = 0x0FFF

    def __init__(self, content: bytes) -> None:
        self._content = content
        self._version = int.from_bytes(content[4:8], "big") if content[:4] == b"DIRC" else 0

    def __contains__(self, name: bytes) -> bool:
        if self._version == 4:
            return any(name in self._names(hash_bytes) for hash_bytes in (20, 32))
        return self._version in {2, 3} and self._has_whole(name)

    def _has_whole(self, name: bytes) -> bool:
        """Versions 2 and 3 write each name whole, after flags that hold its length."""
        content, at = self._content, self._content.find(name + b"\0")
        while at >= 0:
            for back in (2, 4) if self._version == 3 else (2,):
                flags = int.from_bytes(content[at - back : at - back + 2], "big")
                if flags & self._NAME_LENGTH == min(len(name), self._NAME_LENGTH):
                    return True
            at = content.find(name + b"\0", at + 1)
        return False

    def _names(self, hash_bytes: int) -> Iterator[bytes]:
        """Version 4 writes how much of the name before is dropped, and what is put there."""
        content, at, name = self._content, self._HEADER, b""
        for _ in range(int.from_bytes(content[8:12], "big")):
            at += self._STAT + hash_bytes
            flags = int.from_bytes(content[at : at + 2], "big")
            at += 4 if flags & self._EXTENDED else 2
            dropped, at = self._read_varint(at)
            end = content.find(b"\0", at)
            if end < 0 or dropped > len(name):
                return
            name = name[: len(name) - dropped] + content[at:end]
            at = end + 1
            yield name

    def _read_varint(self, at: int) -> tuple[int, int]:
        """The number as git's OFS_DELTA writes offsets, and where it ends."""
        content = self._content
        if at >= len(content):
            return 1 << 31, at
        value = content[at] & 0x7F
        while content[at] & 0x80 and at + 1 < len(content):
            at += 1
            value = ((value + 1) << 7) | (content[at] & 0x7F)
        return value, at + 1
