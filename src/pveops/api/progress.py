"""How far a task is, from a line of its log.

The forms are those that qemu-server (VZDump, Clone, migration), qemu-img, pve-storage's
downloads and the VMA and backup clients print. A container's backup tells no share: tar tells its
bytes at the end, a client of the Proxmox Backup Server tells them on the way.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from pveops.units import format_bytes

_FORMS = (
    re.compile(r"^INFO:\s+(?P<percent>\d+(?:\.\d+)?)% \("),
    re.compile(r"\btransferred .+ of .+ \((?P<percent>\d+(?:\.\d+)?)%\)"),
    re.compile(r"\((?P<percent>\d+(?:\.\d+)?)/100%\)"),
    re.compile(r"^progress (?P<percent>\d+)% \(read "),
    re.compile(r"^\s*\d+[KMG]?[ .]+\s(?P<percent>\d+)%"),
)
_SIZE = r"(?P<{0}>[\d.]+) ?(?P<{0}_unit>(?:[KMGTP]i?)?B)"
_DONE, _ALL, _RATE = (_SIZE.format(name) for name in ("done", "all", "rate"))
_VM_STATE = re.compile(
    rf"migration active, transferred {_DONE} of {_ALL} VM-state(?:, {_RATE}/s)?"
)
_AMOUNTS = (
    # qemu-server VZDump/QemuServer.pm, VMA and PBS alike; for PBS of what has to be read at all.
    re.compile(rf"^INFO:\s+\d+(?:\.\d+)?% \({_DONE} of {_ALL}\) in [\dwdhms ]+, read: {_RATE}/s"),
    re.compile(rf"\btransferred {_DONE} of {_ALL} \([\d.]+%\)"),
    _VM_STATE,
    re.compile(rf"\btransferred {_DONE} in \d+ seconds \({_RATE}/s\)"),
    # tar, at the end of a container's backup.
    re.compile(rf"\bTotal bytes (?:written|read): (?P<exact>\d+) \([^,]+, {_RATE}/s\)"),
    # proxmox-backup-client: on the way, and at the end.
    re.compile(rf"\.pxar: processed {_DONE} in [\d.wdhms ]+, uploaded "),
    re.compile(rf"\.pxar: had to (?:backup|upload) {_DONE} of {_ALL}\b"),
    re.compile(r"^progress \d+% \(read (?P<exact>\d+) bytes"),
)
_UNITS = "BKMGTP"
_STEP = 1024.0
_WHOLE = 100.0


class Amount(NamedTuple):
    """Bytes that a line tells; None for what it does not."""

    done_bytes: int | None = None
    total_bytes: int | None = None
    rate_bytes: int | None = None
    """A second."""

    @property
    def words(self) -> str:
        """`9.6 GiB of 80 GiB, 240 MiB/s`."""
        parts = []
        if self.done_bytes is not None:
            of = f" of {format_bytes(self.total_bytes)}" if self.total_bytes is not None else ""
            parts.append(f"{format_bytes(self.done_bytes)}{of}")
        if self.rate_bytes is not None:
            parts.append(f"{format_bytes(self.rate_bytes)}/s")
        return ", ".join(parts)


def find_percent(line: str) -> float | None:
    """The share that `line` tells, between 0 and 100, or None."""
    for form in _FORMS:
        match = form.search(line)
        if match is not None:
            return min(_WHOLE, float(match["percent"]))
    match = _VM_STATE.search(line)
    if match is None:
        return None
    done, whole = _bytes(match, "done"), _bytes(match, "all")
    return min(_WHOLE, _WHOLE * (done or 0) / whole) if whole else None


def find_amount(line: str) -> Amount | None:
    """The bytes and the rate that `line` tells, or None when it tells neither."""
    for form in _AMOUNTS:
        match = form.search(line)
        if match is not None:
            exact = match.groupdict().get("exact")
            done = int(exact) if exact else _bytes(match, "done")
            return Amount(done, _bytes(match, "all"), _bytes(match, "rate"))
    return None


def _bytes(match: re.Match[str], name: str) -> int | None:
    found = match.groupdict()
    if not found.get(name):
        return None
    try:
        return int(float(found[name]) * _STEP ** _UNITS.index(found[f"{name}_unit"][0]))
    except ValueError:
        return None
