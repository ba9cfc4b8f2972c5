"""The audit log: append-only JSON lines, each chained to the one before by its hash.

Fail-closed: what cannot be recorded is not done. The chain shows edits, insertions and cuts in
the middle to everybody who reads it; somebody who can rewrite the whole file can also rewrite
the chain, so its head belongs somewhere else, too (`audit_anchor`).

A log that has grown is put aside as `audit-SEQ.jsonl`, named by its last record, and the chain
goes on in a new file, whose first record says so.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import socket
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from pveops import __version__
from pveops.clock import Clock
from pveops.errors import AuditError
from pveops.redact import redact_value

if TYPE_CHECKING:
    from pveops.engine.audit_anchor import Anchor

GENESIS = "0" * 64
MAX_BYTES = 16 << 20
_TAIL_BYTES = 1 << 20
_SEQ_DIGITS = 10


class Head(NamedTuple):
    """The last record of the log."""

    seq: int
    hash: str


class AuditLog:
    """The log file. Several processes may append at the same time."""

    def __init__(
        self,
        path: Path,
        clock: Clock,
        *,
        max_bytes: int = MAX_BYTES,
        anchor: Anchor | None = None,
    ) -> None:
        self._path = path
        self._clock = clock
        self._max_bytes = max_bytes
        self._anchor = anchor

    def append(self, kind: str, facts: Mapping[str, Any]) -> Head:
        """Write one record and wait until it is on disk, and its head elsewhere if that has to be.

        kind: `intent`, `outcome`, `refused`, `closed`, `policy`. Raises AuditError.
        """
        try:
            self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            with self._locked():
                head = self._write(kind, facts)
        except OSError as error:
            raise AuditError(f"the audit log {self._path} cannot be written: {error}") from error
        if self._anchor is not None:
            self._anchor.put(head, self._clock.now())
        return head

    def head(self) -> Head:
        """The last record; of none, the beginning. For show: nothing is locked or mended."""
        for path in reversed(self.parts()):
            with contextlib.suppress(OSError):
                tail = _tail_of(path)
                whole = tail[: tail.rfind(b"\n") + 1].rstrip(b"\n")
                if whole:
                    return _head_of(whole.rpartition(b"\n")[2], path)
        return Head(0, GENESIS)

    @property
    def anchor_problem(self) -> str:
        """Why the newest head lies nowhere else; empty: it does, or need not."""
        return self._anchor.problem if self._anchor is not None else ""

    def parts(self) -> list[Path]:
        """The files of the log, the oldest first; the one that is written to last."""
        old = sorted(self._path.parent.glob(f"{self._path.stem}-*{self._path.suffix}"))
        return [*old, *([self._path] if self._path.exists() else [])]

    # -- writing -----------------------------------------------------------------

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        """No other process writes. Its own file is locked: the log's is another one at times."""
        descriptor = os.open(
            self._path.with_name(f"{self._path.name}.lock"),
            os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW,
            0o600,
        )
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)

    @contextlib.contextmanager
    def _open(self) -> Iterator[int]:
        flags = os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW
        descriptor = os.open(self._path, flags, 0o600)
        try:
            yield descriptor
        finally:
            os.close(descriptor)

    def _write(self, kind: str, facts: Mapping[str, Any]) -> Head:
        with self._open() as descriptor:
            head, torn = self._last(descriptor)
            if torn:
                note = {"bytes": torn, "kept_in": f"{self._path.name}.torn"}
                head = self._append_to(descriptor, "torn", note, head)
            is_full = os.fstat(descriptor).st_size >= self._max_bytes
        if is_full:
            aside = f"{self._path.stem}-{head.seq:0{_SEQ_DIGITS}}{self._path.suffix}"
            self._path.rename(self._path.with_name(aside))
        with self._open() as descriptor:
            if head.seq and os.fstat(descriptor).st_size == 0:
                note = {"from": self.parts()[-2].name}
                head = self._append_to(descriptor, "continued", note, head)
            return self._append_to(descriptor, kind, facts, head)

    def _append_to(self, descriptor: int, kind: str, facts: Mapping[str, Any], head: Head) -> Head:
        record = {**self._common(kind), **redact_value(dict(facts))}
        line, head = _chain(record, head)
        _write_all(descriptor, line)
        os.fsync(descriptor)
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

    def _last(self, descriptor: int) -> tuple[Head, int]:
        """The head, and how many bytes of a torn last line were moved aside."""
        size, torn = os.fstat(descriptor).st_size, b""
        if size == 0:
            return self._before(), 0
        start = max(0, size - _TAIL_BYTES)
        tail = os.pread(descriptor, size - start, start)
        if not tail.endswith(b"\n"):
            whole, _, torn = tail.rpartition(b"\n")
            self._quarantine(torn)
            os.ftruncate(descriptor, size - len(torn))
            os.fsync(descriptor)
            tail = whole
        if not tail.strip():
            return self._before(), len(torn)
        return _head_of(tail.rstrip(b"\n").rpartition(b"\n")[2], self._path), len(torn)

    def _before(self) -> Head:
        """What a file without records goes on from."""
        old = [path for path in self.parts() if path != self._path]
        if not old:
            return Head(0, GENESIS)
        return _head_of(_tail_of(old[-1]).rstrip(b"\n").rpartition(b"\n")[2], old[-1])

    def _quarantine(self, torn: bytes) -> None:
        """Keep an unfinished line beside the log: a process died, or the disk was full."""
        path = self._path.with_name(f"{self._path.name}.torn")
        descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW, 0o600)
        try:
            os.write(descriptor, torn + b"\n")
        finally:
            os.close(descriptor)

    # -- reading -----------------------------------------------------------------

    def read(self) -> Iterator[dict[str, Any]]:
        """The records, oldest first; lines that are none are skipped (`verify` names them)."""
        for line in self._lines():
            try:
                yield msgspec.json.decode(line, type=dict[str, Any])
            except (msgspec.DecodeError, UnicodeDecodeError):
                continue

    def verify(self) -> Verdict:
        """Recompute the chain, through all parts."""
        return verify_lines(self._lines())

    def _lines(self) -> Iterator[bytes]:
        try:
            for path in self.parts():
                with path.open("rb") as file:
                    yield from file
        except OSError as error:
            raise AuditError(f"the audit log {self._path} cannot be read: {error}") from error


class Verdict(NamedTuple):
    """What `pve audit verify` found. first: the first record that is there."""

    is_whole: bool
    records: int
    head: Head
    problem: str = ""
    """The first place where the chain breaks."""
    first: int = 1
    is_torn: bool = False
    """Only its last line is unfinished; the next record sets it aside and goes on."""


def verify_lines(lines: Iterator[bytes]) -> Verdict:
    """Recompute the chain of a log's lines. The oldest parts may have been taken elsewhere."""
    head, count, first = Head(0, GENESIS), 0, 1
    for number, line in enumerate(lines, 1):
        if not line.endswith(b"\n"):
            is_last = next(lines, None) is None
            return Verdict(False, count, head, f"line {number} is torn", first, is_last)
        try:
            record = msgspec.json.decode(line, type=dict[str, Any])
        except (msgspec.DecodeError, UnicodeDecodeError):
            return Verdict(False, count, head, f"line {number} is not a record", first)
        if number == 1 and record.get("kind") == "continued":
            first = int(record.get("seq") or 1)
            head = Head(first - 1, str(record.get("prev")))
        expected = Head(head.seq + 1, head.hash)
        if record.get("seq") != expected.seq or record.get("prev") != expected.hash:
            problem = f"line {number} does not follow record {head.seq}"
            return Verdict(False, count, head, problem, first)
        if record.get("h") != _hash(record):
            return Verdict(False, count, head, f"record {record['seq']} was changed", first)
        head, count = Head(expected.seq, str(record["h"])), count + 1
    return Verdict(True, count, head, first=first)


def _head_of(line: bytes, path: Path) -> Head:
    try:
        record = msgspec.json.decode(line, type=dict[str, Any])
        return Head(int(record["seq"]), str(record["h"]))
    except (msgspec.DecodeError, UnicodeDecodeError, KeyError, ValueError) as error:
        raise AuditError(
            f"the last record of {path} cannot be read, so nothing can be chained to it",
        ) from error


def _tail_of(path: Path) -> bytes:
    with path.open("rb") as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(max(0, size - _TAIL_BYTES))
        return file.read()


def _chain(record: dict[str, Any], head: Head) -> tuple[bytes, Head]:
    record = {**record, "seq": head.seq + 1, "prev": head.hash}
    record["h"] = _hash(record)
    line = msgspec.json.encode(record, order="sorted") + b"\n"
    return line, Head(head.seq + 1, record["h"])


def _hash(record: Mapping[str, Any]) -> str:
    body = {key: value for key, value in record.items() if key != "h"}
    return hashlib.sha256(msgspec.json.encode(body, order="sorted")).hexdigest()


def _write_all(descriptor: int, line: bytes) -> None:
    """The whole line or none of it, as far as we can help it: a disk may be full."""
    size = os.fstat(descriptor).st_size
    written = os.write(descriptor, line)
    if written != len(line):
        os.ftruncate(descriptor, size)
        raise OSError(f"only {written} of {len(line)} bytes were written")
