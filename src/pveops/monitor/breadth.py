"""How much a pattern of a silence keeps quiet. Pure."""

from __future__ import annotations

from fnmatch import fnmatchcase

KINDS = (
    "backup",
    "ceph",
    "certificate",
    "clock",
    "cluster",
    "disk",
    "guest",
    "ha",
    "node",
    "replication",
    "run",
    "storage",
    "task",
    "thin",
    "zfs",
)
"""What codes of findings begin with, before the dot."""
_SUBJECTS = ("vm/101", "ct/201", "node/pve1", "storage/pve1/local", "disk/pve1/sda", "task/pve1/x")
_IDS = tuple(f"al_{digit}{digit}f05a1c" for digit in "0123456789abcdef")


def is_narrow(pattern: str) -> bool:
    """Whether its beginning tells what it is about: `storage.*`, `vm/10?`, `vm/101`."""
    head, wild = _split(pattern)
    return not wild or "." in head or "/" in head


def fits_everything(pattern: str) -> bool:
    """Whether it fits most kinds of codes, most kinds of subjects, or ids by chance."""
    if not _split(pattern)[1]:
        return False
    codes = sum(
        fnmatchcase(f"{kind}.x-y", pattern) or fnmatchcase(kind, pattern) for kind in KINDS
    )
    subjects = sum(fnmatchcase(each, pattern) for each in _SUBJECTS)
    is_most = 2 * codes > len(KINDS) or 2 * subjects > len(_SUBJECTS)
    return is_most or any(fnmatchcase(each, pattern) for each in _IDS)


def _split(pattern: str) -> tuple[str, str]:
    """What stands before the first wildcard, and the rest."""
    place = next((at for at, each in enumerate(pattern) if each in "*?["), len(pattern))
    return pattern[:place], pattern[place:]
