"""Which process carries a run, and whether it still lives."""

from __future__ import annotations

import os
import socket
from pathlib import Path
from typing import NamedTuple


class ProcessMark(NamedTuple):
    """A process, told from a later one with the same id by when it started."""

    pid: int
    started: str
    host: str


def own_mark() -> ProcessMark:
    """This process."""
    pid = os.getpid()
    return ProcessMark(pid, _started(pid), socket.gethostname())


def is_alive(mark: ProcessMark) -> bool | None:
    """Whether the process lives; None when it belongs to another host."""
    if mark.host != socket.gethostname():
        return None
    try:
        os.kill(mark.pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return _started(mark.pid) == mark.started


def _started(pid: int) -> str:
    """When the process started, in words of its kernel; zombies count as gone."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return _started_by_ps(pid)
    return "" if fields[0] == "Z" else fields[19]


def _started_by_ps(pid: int) -> str:
    """For systems without /proc."""
    import subprocess

    if Path("/proc/self/stat").exists():
        return ""
    done = subprocess.run(
        ["ps", "-o", "lstart=", "-p", str(pid)],  # noqa: S607
        capture_output=True,
        check=False,
        text=True,
    )
    return done.stdout.strip()
