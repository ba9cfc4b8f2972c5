"""What the log of a backup says of each guest (pve-manager VZDump.pm)."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import NamedTuple

_START = re.compile(r"INFO: Starting Backup of VM (\d+) \((qemu|lxc)\)")
_END = re.compile(r"INFO: Finished Backup of VM (\d+) \(")
_FAILURE = re.compile(r"ERROR: Backup of VM (\d+) failed - (.*)")
_WHOLE = re.compile(r"(?:TASK ERROR: |ERROR: Backup job failed - |ERROR: (?=can't acquire))(.*)")
_WAITING = "INFO: trying to get global lock - waiting..."
_GOT_LOCK = "INFO: got global lock"
_NO_CAUSE = frozenset({"job errors", "unexpected status"})
_WARNING = re.compile(r"WARN(?:ING)?: ")
_ERROR = re.compile(r"ERROR: |INFO: zstd: error |.*No space left on device")


class GuestResult(NamedTuple):
    """One guest in one run."""

    vmid: int
    is_ok: bool | None
    """None: the log ends before the guest's backup does."""
    line: str
    """The line of the failure, whole; empty when there is none."""
    context: tuple[str, ...] = ()
    """Other lines of errors and warnings about the guest, in their order."""


class VzdumpLog(NamedTuple):
    """A log, read."""

    results: tuple[GuestResult, ...]
    """In the order of the run, each guest once."""
    whole_line: str
    """The line that ended the whole run; empty when it is not more than its guests' failures."""


def read_vzdump_log(lines: Iterable[str]) -> VzdumpLog:
    """Take a log apart."""
    results: dict[int, GuestResult] = {}
    current: int | None = None
    whole = ""
    for line in lines:
        if match := _START.match(line):
            current = int(match[1])
            results[current] = GuestResult(current, None, "")
        elif match := _END.match(line):
            vmid = int(match[1])
            results[vmid] = _of(results, vmid)._replace(is_ok=True)
            current = None
        elif match := _FAILURE.match(line):
            vmid = int(match[1])
            results[vmid] = _of(results, vmid)._replace(is_ok=False, line=line)
            current = None
        elif line in (_WAITING, _GOT_LOCK):
            # Who gets no lock in time leaves without a last word (API2/VZDump.pm, exit -1).
            whole = line if line == _WAITING else ""
        elif match := _WHOLE.match(line):
            if match[1] not in _NO_CAUSE:
                whole = line
        elif current is not None and (_ERROR.match(line) or _WARNING.match(line)):
            known = results[current]
            results[current] = known._replace(context=(*known.context, line))
    return VzdumpLog(tuple(results.values()), whole)


def _of(results: dict[int, GuestResult], vmid: int) -> GuestResult:
    return results.get(vmid) or GuestResult(vmid, None, "")
