"""The audit log: append-only JSON lines, each chained to the one before by its hash.

Fail-closed: what cannot be recorded is not done. The chain shows edits, insertions and cuts in
the middle to everybody who reads it; somebody who can rewrite the whole file can also rewrite
the chain, so its head belongs somewhere else, too.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import socket
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from pveops import __version__
from pveops.clock import Clock
from pveops.errors import AuditError
from pveops.redact import redact_value

GENESIS = "0" * 64
_TAIL_BYTES = 1 << 20


class Head(NamedTuple):
    """The last record of the log."""

    seq: int
    hash: str


class AuditLog:
    """The log file. Several processes may append at the same time."""

    def __init__(self, path: Path, clock: Clock) -> None:
        self._path = path
        self._clock = clock

    def append(self, kind: str, facts: Mapping[str, Any]) -> Head:
        """Write one record and wait until it is on disk.

        kind: `intent`, `outcome`, `refused`, `closed`, `policy`. Raises AuditError.
        """
        try:
            self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            descriptor = os.open(
                self._path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW, 0o600
            )
        except OSError as error:
            raise AuditError(f"the audit log {self._path} cannot be opened: {error}") from error
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            head = self._last(descriptor)
            record = {**self._common(kind), **redact_value(dict(facts))}
            line, head = _chain(record, head)
            _write_all(descriptor, line)
            os.fsync(descriptor)
        except OSError as error:
            raise AuditError(f"the audit log {self._path} cannot be written: {error}") from error
        finally:
            os.close(descriptor)
        return head

    def _common(self, kind: str) -> dict[str, Any]:
        return {
            "kind": kind,
            "at": round(self._clock.now(), 3),
            "host": socket.gethostname(),
            "pid": os.getpid(),
            "uid": os.getuid(),
            "pveops": __version__,
        }

    def _last(self, descriptor: int) -> Head:
        """The head; a torn last line is moved aside first, so that the chain goes on."""
        size = os.fstat(descriptor).st_size
        if size == 0:
            return Head(0, GENESIS)
        start = max(0, size - _TAIL_BYTES)
        tail = os.pread(descriptor, size - start, start)
        if not tail.endswith(b"\n"):
            whole, _, torn = tail.rpartition(b"\n")
            self._quarantine(torn)
            os.ftruncate(descriptor, size - len(torn))
            os.fsync(descriptor)
            tail = whole
        if not tail.strip():
            return Head(0, GENESIS)
        last = tail.rstrip(b"\n").rpartition(b"\n")[2]
        try:
            record = msgspec.json.decode(last, type=dict[str, Any])
            return Head(int(record["seq"]), str(record["h"]))
        except (msgspec.DecodeError, KeyError, ValueError) as error:
            raise AuditError(
                f"the last record of {self._path} cannot be read, so nothing can be chained to it",
            ) from error

    def _quarantine(self, torn: bytes) -> None:
        """Keep an unfinished line beside the log: a process died, or the disk was full."""
        path = self._path.with_name(f"{self._path.name}.torn")
        descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW, 0o600)
        try:
            os.write(descriptor, torn + b"\n")
        finally:
            os.close(descriptor)

    def read(self) -> Iterator[dict[str, Any]]:
        """The records, oldest first; lines that are none are skipped (`verify_log` names them)."""
        for line in self._lines():
            try:
                yield msgspec.json.decode(line, type=dict[str, Any])
            except msgspec.DecodeError:
                continue

    def verify(self) -> Verdict:
        """Recompute the chain."""
        return verify_lines(self._lines())

    def _lines(self) -> Iterator[bytes]:
        try:
            with self._path.open("rb") as file:
                yield from file
        except FileNotFoundError:
            return
        except OSError as error:
            raise AuditError(f"the audit log {self._path} cannot be read: {error}") from error


class Verdict(NamedTuple):
    """What `pve audit verify` found."""

    is_whole: bool
    records: int
    head: Head
    problem: str = ""
    """The first place where the chain breaks."""
    is_torn: bool = False
    """Only its last line is unfinished; the next record sets it aside and goes on."""


def verify_lines(lines: Iterator[bytes]) -> Verdict:
    """Recompute the chain of a log's lines."""
    head, count = Head(0, GENESIS), 0
    for number, line in enumerate(lines, 1):
        if not line.endswith(b"\n"):
            return Verdict(False, count, head, f"line {number} is torn", is_torn=True)
        try:
            record = msgspec.json.decode(line, type=dict[str, Any])
        except msgspec.DecodeError:
            return Verdict(False, count, head, f"line {number} is not a record")
        expected = Head(head.seq + 1, head.hash)
        if record.get("seq") != expected.seq or record.get("prev") != expected.hash:
            return Verdict(False, count, head, f"line {number} does not follow record {head.seq}")
        if record.get("h") != _hash(record):
            return Verdict(False, count, head, f"record {record['seq']} was changed")
        head, count = Head(expected.seq, str(record["h"])), count + 1
    return Verdict(True, count, head)


def _chain(record: dict[str, Any], head: Head) -> tuple[bytes, Head]:
    record = {**record, "seq": head.seq + 1, "prev": head.hash}
    record["h"] = _hash(record)
    line = msgspec.json.encode(record, order="sorted") + b"\n"
    return line, Head(head.seq + 1, record["h"])


def _hash(record: Mapping[str, Any]) -> str:
    body = {key: value for key, value in record.items() if key != "h"}
    return hashlib.sha256(msgspec.json.encode(body, order="sorted")).hexdigest()


def _write_all(descriptor: int, line: bytes) -> None:
    written = os.write(descriptor, line)
    if written != len(line):
        raise OSError(f"only {written} of {len(line)} bytes were written")
