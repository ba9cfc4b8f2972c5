"""Whether a file may end up in a git repository."""

from __future__ import annotations

import subprocess
from pathlib import Path

_TIMEOUT_S = 5
_IGNORED = 0
_NOT_IGNORED = 1


def find_work_tree(path: Path) -> Path | None:
    """The repository around the file; None: there is none."""
    return next((folder for folder in path.resolve().parents if (folder / ".git").exists()), None)


def is_ignored(path: Path) -> bool | None:
    """Whether git leaves the file out; None: git is not there to be asked.

    A `.gitignore` of `*` beside the file, as `pve secrets add` makes one, needs no git.
    """
    try:
        rules = (path.parent / ".gitignore").read_text(encoding="utf-8").split()
    except (OSError, UnicodeDecodeError):
        rules = []
    if rules == ["*"]:
        return True
    command = ["git", "-C", str(path.parent), "check-ignore", "--quiet", "--", path.name]
    try:
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            timeout=_TIMEOUT_S,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return {_IGNORED: True, _NOT_IGNORED: False}.get(done.returncode)
