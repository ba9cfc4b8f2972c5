"""Why a backup failed: the class of the cause, from PVE's own words.

The words are those of VZDump.pm, VZDump/QemuServer.pm and VZDump/LXC.pm (pve-manager), of
pve-storage's plugins, and of the programs that they start.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import NamedTuple


class Cause(NamedTuple):
    """A class of causes."""

    code: str
    words: str
    fix: str
    """A whole command, or a fact, with the places `{vmid}`, `{node}` and `{upid}`."""


class _Rule(NamedTuple):
    cause: Cause
    pattern: re.Pattern[str]


def _rule(code: str, words: str, fix: str, *patterns: str) -> _Rule:
    return _Rule(Cause(code, words, fix), re.compile("|".join(patterns), re.IGNORECASE))


_RULES = (
    _rule(
        "limit",
        "the storage takes no more backups of it without pruning",
        "pve backup prune {vmid} --keep-last 2",
        r"max backup limit of",
        r"number of protected backups per guest is limited",
    ),
    _rule(
        "space",
        "no space was left",
        "pve storage list",
        r"no space left on device",
        r"not enough (?:free )?space",
        r"\bENOSPC\b",
        r"quota exceeded",
        r"vma_queue_write: write error - Broken pipe",
        r"insufficient free space",
    ),
    _rule(
        "global-lock",
        "another backup held the node for too long",
        "pve task list --node {node} --running",
        r"can't acquire lock '/var/run/vzdump.lock'",
        r"trying to get global lock",
    ),
    _rule(
        "lock",
        "it was locked",
        "pve guest show {vmid}",
        r"(?:VM|CT) is locked",
        r"can't lock file",
        r"unable to acquire lock",
        r"got lock request timeout",
    ),
    _rule(
        "ha-stop",
        "HA keeps it running, so it cannot be stopped for a backup",
        "change the job's mode: `pve job change JOB --mode snapshot`",
        r"stop mode on a HA managed",
    ),
    _rule(
        "shutdown",
        "it did not shut down in time",
        "change the job's mode: `pve job change JOB --mode snapshot`",
        r"(?:qm|pct) shutdown \d+ .*exit code",
    ),
    _rule(
        "agent",
        "the guest agent did not answer when its file systems were to be frozen",
        "restart the agent in the guest, or `pve guest set {vmid} --agent 0`",
        r"guest-fsfreeze",
        r"fs-freeze",
        r"fs-thaw",
        r"guest agent",
    ),
    _rule(
        "snapshot",
        "its storage takes no snapshots, or an old one stood in the way",
        "pve disk list {vmid}",
        r"snapshot feature is not available",
        r"do(?:es)? not support snapshots?",
        r"snapshot 'vzdump' already exists",
        r"mode failure",
        r"can't snapshot",
        r"unable to (?:create|remove) snapshot",
        r"lvcreate .*(?:snapshot|failed)",
        r"zfs (?:error|snapshot)",
    ),
    _rule(
        "permission",
        "a privilege was missing",
        "pve doctor",
        r"permission check failed",
        r"permission denied",
    ),
    _rule("quorum", "the cluster had no quorum", "pve status", r"no quorum", r"cluster not ready"),
    _rule(
        "storage",
        "the storage was not there, or not usable for backups",
        "pve storage list",
        r"could not (?:activate|get) storage",
        r"storage '[^']*' (?:is not online|does not exist|is disabled|is not available)",
        r"unable to activate storage",
        r"wrong content type",
        r"stale file handle",
        r"no such volume",
        r"volume '[^']*' does not exist",
        r"mount error",
        r"unable to connect to.*(?:8007|datastore)",
        r"connection (?:refused|reset)",
        r"no route to host",
        r"error fetching datastores",
    ),
    _rule(
        "io-error",
        "a disk could not be read",
        "pve guest show {vmid}",
        r"input/output error",
        r"job failed with err -5",
    ),
    _rule(
        "timeout",
        "QEMU, the guest or the storage did not answer in time",
        "pve guest show {vmid}",
        r"got timeout",
        r"timed? ?out",
    ),
    _rule(
        "missing",
        "no guest of that id was on the node",
        "take it out of the job, or look where it went: `pve guest show {vmid}`",
        r"unable to find VM",
        r"configuration file '[^']*' does not exist",
    ),
    _rule(
        "interrupted",
        "somebody or something ended the backup",
        "pve guest show {vmid}",
        r"interrupted by signal",
        r"unexpected status",
        r"received interrupt",
    ),
)
OTHER = Cause("other", "the log tells no known cause", "pve task log {upid}")
INTERRUPTED = next(rule.cause for rule in _RULES if rule.cause.code == "interrupted")


def find_cause(line: str, context: Iterable[str] = ()) -> Cause:
    """The class of a failure: by its own line, else by the lines about the guest before it.

    Space comes first wherever it is told: what breaks because of it says something else at the
    end (`write error - Broken pipe`).
    """
    lines = (line, *context)
    space = next(rule for rule in _RULES if rule.cause.code == "space")
    if any(space.pattern.search(each) for each in lines):
        return space.cause
    for each in lines:
        for rule in _RULES:
            if rule.pattern.search(each):
                return rule.cause
    return OTHER
