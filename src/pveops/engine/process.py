"""Which process carries a run, and whether it still lives.

Whoever carries a run holds a lock on a file beside the store. The kernel lets go of it with the
process, so it tells the truth across containers and whatever the host is called by then; process
ids and host names tell of runs that left no such file.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from pveops.engine.store import RunRow


class ProcessMark(NamedTuple):
    """A process, told from a later one with the same id by when it started."""

    pid: int
    started: str
    host: str


def own_mark() -> ProcessMark:
    """This process."""
    pid = os.getpid()
    return ProcessMark(pid, _started(pid), socket.gethostname())


@contextmanager
def hold_run(folder: Path, run_id: str) -> Iterator[bool]:
    """Hold a run as long as the block lasts; False: somebody else holds it.

    folder: where the store lies. What ends in an exception leaves the file behind, free.
    """
    descriptor = _lock(_file_of(folder, run_id))
    try:
        yield descriptor is not None
        if descriptor is not None and descriptor >= 0:
            _file_of(folder, run_id).unlink(missing_ok=True)
    finally:
        if descriptor is not None and descriptor >= 0:
            os.close(descriptor)


def is_carried(folder: Path, run: RunRow) -> bool | None:
    """Whether a process carries the run; None when that cannot be seen from this host."""
    import fcntl

    try:
        descriptor = os.open(_file_of(folder, run.id), os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError:
        return is_alive(ProcessMark(run.pid, run.pid_started, run.host))
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return is_alive(ProcessMark(run.pid, run.pid_started, run.host))
    finally:
        os.close(descriptor)
    return False


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


def _file_of(folder: Path, run_id: str) -> Path:
    return folder / "runs" / f"{run_id}.lock"


def _lock(path: Path) -> int | None:
    """An open file that is locked; None: somebody else's; negative: no file can be locked here."""
    import fcntl

    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        while True:
            flags = os.O_CREAT | os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC
            descriptor = os.open(path, flags, 0o600)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                os.close(descriptor)
                return None if isinstance(error, BlockingIOError) else -1
            if _is_there(path, descriptor):
                return descriptor
            os.close(descriptor)
    except OSError:
        return -1


def _is_there(path: Path, descriptor: int) -> bool:
    """Whether the name still leads to the open file: its last holder may have removed it."""
    try:
        return os.path.samestat(path.stat(), os.fstat(descriptor))
    except FileNotFoundError:
        return False


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
