"""How far a task is, from a line of its log.

The forms are those that qemu-server (VZDump, Clone, migration), qemu-img, pve-storage's
downloads and the VMA and backup clients print. Containers' backups and restores tell no share.
"""

from __future__ import annotations

import re

_FORMS = (
    re.compile(r"^INFO:\s+(?P<percent>\d+(?:\.\d+)?)% \("),
    re.compile(r"\btransferred .+ of .+ \((?P<percent>\d+(?:\.\d+)?)%\)"),
    re.compile(r"\((?P<percent>\d+(?:\.\d+)?)/100%\)"),
    re.compile(r"^progress (?P<percent>\d+)% \(read "),
    re.compile(r"^\s*\d+[KMG]?[ .]+\s(?P<percent>\d+)%"),
)
_VM_STATE = re.compile(
    r"migration active, transferred (?P<done>[\d.]+) (?P<done_unit>[KMGT]?i?B)"
    r" of (?P<all>[\d.]+) (?P<all_unit>[KMGT]?i?B) VM-state"
)
_UNITS = "BKMGT"
_STEP = 1024.0
_WHOLE = 100.0


def find_percent(line: str) -> float | None:
    """The share that `line` tells, between 0 and 100, or None."""
    for form in _FORMS:
        match = form.search(line)
        if match is not None:
            return min(_WHOLE, float(match["percent"]))
    match = _VM_STATE.search(line)
    if match is None:
        return None
    whole = _bytes(match["all"], match["all_unit"])
    return (
        min(_WHOLE, _WHOLE * _bytes(match["done"], match["done_unit"]) / whole) if whole else None
    )


def _bytes(number: str, unit: str) -> float:
    try:
        return float(number) * _STEP ** _UNITS.index(unit[0])
    except ValueError:
        return 0.0
