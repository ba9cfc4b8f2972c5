"""The head of the audit log, kept where whoever can rewrite the log cannot follow.

Either the system's log (a datagram to `/dev/log`, which journald and syslog daemons take), or a
file at another place: another account's, a share, a disk that is only appended to.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from pveops.errors import AuditError

if TYPE_CHECKING:
    from pveops.engine.audit import AuditLog, Head

SYSLOG = "syslog"
_SOCKET = Path("/dev/log")
_PRIORITY = 10 * 8 + 5
"""authpriv.notice"""
_TIMEOUT_S = 2.0
_TAIL_BYTES = 4096
_HASH_DIGITS = 64


class Anchor:
    """Where heads go. problem: why the last one did not get there; empty: it did."""

    def __init__(self, place: str, *, is_required: bool = False, syslog: Path = _SOCKET) -> None:
        self._place = place
        self._is_required = is_required
        self._syslog = syslog
        self.problem = ""

    def put(self, head: Head, now: float) -> None:
        """Take a head there. Raises AuditError where it has to get there, and does not."""
        line = f"{head.seq} {head.hash} {now:.0f} {socket.gethostname()}"
        try:
            if self._place == SYSLOG:
                self._tell_system(f"<{_PRIORITY}>pveops[{os.getpid()}]: audit head {line}")
            else:
                _append(Path(self._place), f"{line}\n".encode())
            self.problem = ""
        except OSError as error:
            self.problem = f"the head of the audit log did not get to {self._place}: {error}"
            if self._is_required:
                told = {"seq": head.seq, "hash": head.hash}
                raise AuditError(self.problem, hint="pve audit verify", details=told) from error

    def last(self) -> tuple[int, str] | None:
        """The head that got there last; None: none did, or it cannot be read back from there."""
        if self._place == SYSLOG:
            return None
        try:
            with Path(self._place).open("rb") as file:
                file.seek(max(0, file.seek(0, os.SEEK_END) - _TAIL_BYTES))
                lines = file.read().decode("utf-8", "replace").splitlines()
        except OSError:
            return None
        return next(filter(None, map(_head_in, reversed(lines))), None)

    def _tell_system(self, text: str) -> None:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as connection:
            connection.settimeout(_TIMEOUT_S)
            connection.connect(str(self._syslog))
            connection.send(text.encode())


def _append(path: Path, line: bytes) -> None:
    flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW
    descriptor = os.open(path, flags, 0o600)
    try:
        if os.write(descriptor, line) != len(line):
            raise OSError("it is full")
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


class Comparison(NamedTuple):
    """A log beside the heads that were kept. heads: how many; 0 proves nothing at all.

    problem: empty when all of them are in it.
    """

    heads: int
    newest: int
    problem: str = ""


def compare(log: AuditLog, lines: Iterator[str]) -> Comparison:
    """Whether each kept head is still a record of the log, with the same hash.

    Heads get there in their order, and one a record: two for one record, or one that comes after
    a later one, were written by a log that was cut in between.
    """
    kept: dict[int, str] = {}
    newest = 0
    for seq, hash_ in filter(None, map(_head_in, lines)):
        if kept.get(seq, hash_) != hash_:
            return Comparison(len(kept), newest, f"record {seq} has two heads: the log was cut")
        if seq < newest and seq not in kept:
            problem = f"record {seq} was written after record {newest}: the log was cut"
            return Comparison(len(kept), newest, problem)
        kept[seq] = hash_
        newest = max(newest, seq)
    missing = dict(kept)
    for record in log.read():
        seq_ = record.get("seq")
        if isinstance(seq_, int) and seq_ in missing and record.get("h") != missing.pop(seq_):
            return Comparison(len(kept), newest, f"record {seq_} is another than it was")
    first = next((record.get("seq") for record in log.read()), 0)
    gone = [seq for seq in missing if isinstance(first, int) and seq >= first]
    if gone:
        return Comparison(len(kept), newest, f"record {min(gone)} is gone: the log was cut")
    return Comparison(len(kept), newest)


def _head_in(line: str) -> tuple[int, str] | None:
    """The head that a line holds, of a file of heads or of the system's log."""
    words = line.partition("audit head ")[2].split() or line.split()
    if len(words) >= 2 and words[0].isdecimal() and len(words[1]) == _HASH_DIGITS:
        return int(words[0]), words[1]
    return None
