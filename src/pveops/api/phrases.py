"""PVE's own phrases, and the error class that each of them means.

PVE has no codes for its errors: nearly everything that a handler refuses is a 500 with a
sentence (Perl's `die`). The sentences below were taken from qemu-server, pve-container,
pve-guest-common, pve-storage, pve-cluster, pve-manager, pve-access-control and
pve-ha-manager (7.4 to 9.2). The order matters: the first phrase that is found decides.
"""

from __future__ import annotations

import re
from functools import cache
from typing import NamedTuple

from pveops.errors import (
    BusyError,
    ConflictError,
    DigestError,
    ExistsError,
    GuestStateError,
    LockedError,
    NoQuorumError,
    NotFoundError,
    OutcomeUnknownError,
    PveopsError,
    RootOnlyError,
)


class Phrase(NamedTuple):
    """One row: what is said, what it means, and what helps. Named groups become details."""

    pattern: str
    error: type[PveopsError]
    hint: str = ""


class Meaning(NamedTuple):
    """What a text was found to mean."""

    error: type[PveopsError]
    hint: str
    details: dict[str, str]


_ROOT_HINT = "this needs root@pam with a ticket, or a shell on the node; no API token can do it"
_LOCK_HINT = "look for the task that holds it: `pve task list`; a lock without a task is stale"
_BUSY_HINT = "another task holds the lock; nothing was done: try again in a while"
_QUORUM_HINT = "look with `pve status`; do not start the same guests elsewhere"

PHRASES = (
    Phrase(r"\b(?:VM|CT)(?: \d+)? is locked(?: \((?P<lock>[\w-]+)\))?", LockedError, _LOCK_HINT),
    Phrase(r"can't lock file '(?P<file>[^']+)' - got timeout", BusyError, _BUSY_HINT),
    Phrase(r"Failed to obtain guest migration lock", BusyError, _BUSY_HINT),
    Phrase(r"no quorum", NoQuorumError, _QUORUM_HINT),
    # Without quorum pmxcfs is read-only, and a write fails before PVE's own check does.
    Phrase(r"'/etc/pve/[^']*'.* - Permission denied", NoQuorumError, _QUORUM_HINT),
    Phrase(r"\block request timeout\b", BusyError, _BUSY_HINT),
    Phrase(r"-locked command timed out - aborting", OutcomeUnknownError),
    Phrase(r"got no worker upid", OutcomeUnknownError),
    Phrase(r"qmp command '[^']+' failed - got timeout", OutcomeUnknownError),
    Phrase(
        r"detected modified configuration|checksum mismatch \(file change",
        DigestError,
        "somebody else changed the configuration: read it again",
    ),
    Phrase(
        r"only root can|[Oo]nly root@pam|Only root may|only allowed for root@pam"
        r"|user != root@pam",
        RootOnlyError,
        _ROOT_HINT,
    ),
    Phrase(r"already exists|' already defined|already in use|is already used", ExistsError),
    Phrase(
        r"guest agent is not running|No QEMU guest agent configured",
        GuestStateError,
        "the guest has to be up with the QEMU guest agent installed and `agent` set",
    ),
    Phrase(
        r"\b(?:already|not) running\b|is running(?: - destroy failed|$)|VM is running"
        r"|while (?:the )?(?:VM|CT|container) is running|not suspended|not paused",
        GuestStateError,
    ),
    Phrase(
        r"storage '(?P<storage>[^']+)' is (?:not online|not available|disabled)"
        r"|unable to activate storage|can't activate storage|does not exist or is unreachable"
        r"|mount error",
        ConflictError,
        "the storage does not answer on that node: `pve storage list`",
    ),
    Phrase(
        r"Configuration file 'nodes/(?P<node>[^/']+)/(?:qemu-server|lxc)/(?P<vmid>\d+)\.conf'"
        r" does not exist",
        NotFoundError,
        "the guest may have moved to another node: `pve find` it again",
    ),
    Phrase(
        r"unable to find configuration file for (?:VM|CT) (?P<vmid>\d+)"
        r"(?: on node '(?P<node>[^']+)')?",
        NotFoundError,
        "the guest may have moved to another node: `pve find` it again",
    ),
    Phrase(
        r"hostname lookup '(?P<node>[^']+)' failed|no such cluster node '(?P<name>[^']+)'"
        r"|unable to get remote IP address for node",
        NotFoundError,
        "`pve node list` shows the nodes",
    ),
    Phrase(r"does not exist|\bno such\b|is not a pool member", NotFoundError),
    Phrase(
        r"if it's a template|\bis a template\b|template to a template",
        ConflictError,
        "a template cannot run or be changed so; clone it",
    ),
    Phrase(
        r"protection mode enabled|cannot remove protected|is not empty|contains snapshots"
        r"|still in use by|still needed by",
        ConflictError,
    ),
    Phrase(r"[Nn]o space left|out of space|insufficient free space", ConflictError),
)


@cache
def _compiled() -> tuple[tuple[re.Pattern[str], Phrase], ...]:
    return tuple((re.compile(phrase.pattern), phrase) for phrase in PHRASES)


def find_meaning(text: str) -> Meaning | None:
    """What one of PVE's sentences means, or None for a sentence that no phrase is in.

    It serves answers of the API and the exit status of failed tasks alike.
    """
    for pattern, phrase in _compiled():
        match = pattern.search(text)
        if match is not None:
            details = {key: value for key, value in match.groupdict().items() if value}
            if "name" in details:
                details["node"] = details.pop("name")
            return Meaning(phrase.error, phrase.hint, details)
    return None
