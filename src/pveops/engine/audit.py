"""The audit log: append-only JSON lines, each chained to the one before by its hash.

Fail-closed: what cannot be recorded is not done. The chain shows edits, insertions and cuts in
the middle to everybody who reads it; somebody who can rewrite the whole file can also rewrite
the chain, so its head belongs somewhere else, too (`audit_anchor`).

A log that has grown is put aside as `audit-SEQ.jsonl`, named by its last record, and the chain
goes on in a new file, whose first record says so.

The newest head is remembered in the lock's file, too: a log that somebody else puts aside goes on
where it was and says so, and one that was cut is not written to.
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
from pveops.engine.audit_limit import cut_facts
from pveops.errors import AuditError
from pveops.redact import redact_value

if TYPE_CHECKING:
    from pveops.engine.audit_anchor import Anchor

GENESIS = "0" * 64
MAX_BYTES = 16 << 20
_BLOCK_BYTES = 1 << 16
_SEQ_DIGITS = 10
_CUT_HINT = (
    "keep it as it is: `pve audit verify` tells more. Put back what is missing, or rename the "
    "file to go on in a new one"
)


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

        kind: `intent`, `outcome`, `refused`, `closed`, `policy`. Raises AuditError; its details
        have `seq` and `hash` where the record is on disk and only its head did not get elsewhere.
        """
        try:
            self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            with self._locked() as lock:
                head = self._write(kind, facts, _remembered(lock))
                with contextlib.suppress(OSError):  # the one from before is as true
                    os.pwrite(lock, _memory_of(head), 0)
                if self._anchor is not None:
                    # Under the lock, so that heads get there in their order.
                    self._anchor.put(head, self._clock.now())
        except OSError as error:
            raise AuditError(f"the audit log {self._path} cannot be written: {error}") from error
        return head

    def head(self) -> Head:
        """The last record; of none, the beginning. For show: nothing is locked or mended."""
        for path in reversed(self.parts()):
            with contextlib.suppress(OSError):
                line = _last_record(path)
                if line:
                    return _head_of(line, path)
        return Head(0, GENESIS)

    @property
    def anchor_problem(self) -> str:
        """Why the newest head lies nowhere else; empty: it does, or need not."""
        return self._anchor.problem if self._anchor is not None else ""

    def parts(self) -> list[Path]:
        """The files of the log, the oldest first; the one that is written to last."""
        name = f"{self._path.stem}-{'[0-9]' * _SEQ_DIGITS}{self._path.suffix}"
        old = sorted(self._path.parent.glob(name))
        return [*old, *([self._path] if self._path.exists() else [])]

    # -- writing -----------------------------------------------------------------

    @property
    def _lock_path(self) -> Path:
        return self._path.with_name(f"{self._path.name}.lock")

    @contextlib.contextmanager
    def _locked(self) -> Iterator[int]:
        """No other process writes. Its own file is locked: the log's is another one at times."""
        descriptor = os.open(self._lock_path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield descriptor
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

    def _write(self, kind: str, facts: Mapping[str, Any], known: Head | None) -> Head:
        """known: the record that was written last, as far as that is remembered."""
        with self._open() as descriptor:
            head, torn = self._last(descriptor)
            is_empty = os.fstat(descriptor).st_size == 0
            if known is not None and not torn and _is_beside(known, head):
                if not is_empty:
                    raise AuditError(
                        f"the audit log {self._path} was cut or replaced: {_told(known, head)}",
                        hint=_CUT_HINT,
                    )
                head = known
            self._check_anchored(head)
            if torn:
                note = {"bytes": torn, "kept_in": f"{self._path.name}.torn"}
                head = self._append_to(descriptor, "torn", note, head)
            is_full = os.fstat(descriptor).st_size >= self._max_bytes
        if is_full:
            aside = f"{self._path.stem}-{head.seq:0{_SEQ_DIGITS}}{self._path.suffix}"
            self._path.rename(self._path.with_name(aside))
        with self._open() as descriptor:
            if head.seq and os.fstat(descriptor).st_size == 0:
                head = self._append_to(descriptor, "continued", self._from(head), head)
            return self._append_to(descriptor, kind, facts, head)

    def _from(self, head: Head) -> dict[str, Any]:
        """Where the records before a new file lie, or that somebody has taken them elsewhere."""
        old = self.parts()[:-1]
        if old and _head_of(_last_record(old[-1]), old[-1]) == head:
            return {"from": old[-1].name}
        return {"from": "", "missing": f"the file that ends with record {head.seq}"}

    def _check_anchored(self, head: Head) -> None:
        """Raises AuditError when the head that was taken elsewhere last is not in the log."""
        kept = self._anchor.last() if self._anchor is not None else None
        if kept is None or kept == head:
            return
        if kept[0] < head.seq and self._path.exists():
            with self._path.open("rb") as file:
                of_seq = [h for seq, h in map(_seq_and_hash, file) if seq == kept[0]]
            if not of_seq or kept[1] in of_seq:
                return
        raise AuditError(
            f"the audit log {self._path} is not what its anchor says: {_told(Head(*kept), head)}",
            hint=f"{_CUT_HINT}; where its anchor is wrong, rename that",
        )

    def _append_to(self, descriptor: int, kind: str, facts: Mapping[str, Any], head: Head) -> Head:
        record = {**self._common(kind), **cut_facts(redact_value(dict(facts)))}
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
        """The head, and how many bytes of torn lines at the end were moved aside."""
        size = end = os.fstat(descriptor).st_size
        line = b""
        while end:
            start, line = _last_line(descriptor, end)
            if not _is_torn(line):
                break
            end, line = start, b""
        if end < size:
            self._quarantine(_read(descriptor, end, size))
            os.ftruncate(descriptor, end)
            os.fsync(descriptor)
        return _head_of(line, self._path) if line else self._before(), size - end

    def _before(self) -> Head:
        """What a file without records goes on from."""
        old = [path for path in self.parts() if path != self._path]
        if not old:
            return Head(0, GENESIS)
        return _head_of(_last_record(old[-1]), old[-1])

    def _quarantine(self, torn: bytes) -> None:
        """Keep an unfinished line beside the log: a process died, or the disk was full."""
        path = self._path.with_name(f"{self._path.name}.torn")
        descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW, 0o600)
        try:
            os.write(descriptor, torn if torn.endswith(b"\n") else torn + b"\n")
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
        """Recompute the chain, through all parts, up to the record that was written last."""
        known = None
        with contextlib.suppress(OSError), self._lock_path.open("rb") as lock:
            known = _remembered(lock.fileno())  # before the log: others write meanwhile
        found = verify_lines(self._lines())
        if not found.is_whole or known is None or not _is_beside(known, found.head):
            return found
        problem = f"it was cut, replaced or taken away: {_told(known, found.head)}"
        return found._replace(is_whole=False, problem=problem)

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
        if _is_torn(line):
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


def _is_beside(known: Head, head: Head) -> bool:
    """Whether a log with this head cannot be the one whose record `known` was."""
    return known.seq > head.seq or (known.seq == head.seq and known.hash != head.hash)


def _told(known: Head, head: Head) -> str:
    if known.seq == head.seq:
        return f"record {known.seq} is another than it was"
    return f"record {known.seq} was written, and it ends with record {head.seq}"


def _memory_of(head: Head) -> bytes:
    return f"{head.seq:0{_SEQ_DIGITS}} {head.hash}\n".encode()


def _remembered(descriptor: int) -> Head | None:
    """The head that the lock's file holds; None: none yet."""
    words = os.pread(descriptor, 200, 0).decode("ascii", "replace").split()
    if len(words) != 2 or not words[0].isdecimal() or len(words[1]) != len(GENESIS):
        return None
    return Head(int(words[0]), words[1])


def _head_of(line: bytes, path: Path) -> Head:
    try:
        record = msgspec.json.decode(line, type=dict[str, Any])
        return Head(int(record["seq"]), str(record["h"]))
    except (msgspec.DecodeError, UnicodeDecodeError, KeyError, ValueError) as error:
        raise AuditError(
            f"the last record of {path} cannot be read, so nothing can be chained to it",
        ) from error


def _seq_and_hash(line: bytes) -> tuple[int, str]:
    """Of a line that is no record: (0, "")."""
    try:
        record = msgspec.json.decode(line, type=dict[str, Any])
        return int(record["seq"]), str(record["h"])
    except (msgspec.DecodeError, UnicodeDecodeError, KeyError, ValueError):
        return 0, ""


def _is_torn(line: bytes) -> bool:
    """Whether it was never finished: without its end, or blocks of it without content (NULs)."""
    return not line.endswith(b"\n") or b"\0" in line or not line.strip()


def _last_record(path: Path) -> bytes:
    """The last line of a file that is not torn; empty: there is none."""
    with path.open("rb") as file:
        end = file.seek(0, os.SEEK_END)
        while end:
            end, line = _last_line(file.fileno(), end)
            if not _is_torn(line):
                return line
    return b""


def _last_line(descriptor: int, end: int) -> tuple[int, bytes]:
    """Where the line before `end` begins, and the line with its end, however long it is."""
    blocks: list[bytes] = []
    at = end
    while at:
        start = max(0, at - _BLOCK_BYTES)
        block = _read(descriptor, start, at)
        # The line's own end is not the end of the one before.
        cut = block.rfind(b"\n", 0, len(block) - (at == end))
        blocks.insert(0, block[cut + 1 :])
        if cut >= 0:
            return start + cut + 1, b"".join(blocks)
        at = start
    return 0, b"".join(blocks)


def _read(descriptor: int, start: int, end: int) -> bytes:
    return os.pread(descriptor, end - start, start)


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
