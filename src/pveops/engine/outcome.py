"""What became of a run: one outcome a target, and the receipt that sums them up."""

from __future__ import annotations

from typing import Literal

import msgspec

from pveops.operations.plan import Scalar, Target

Status = Literal["done", "already", "failed", "not-executed", "pending", "unknown"]
"""done: read back from the cluster. already: nothing was sent. failed: PVE tried and failed, or
the state is not as wanted. not-executed: refused or never sent; nothing changed. pending: going
on in the cluster. unknown: it may have happened; never repeat it blindly."""


class ItemOutcome(msgspec.Struct, frozen=True, omit_defaults=True):
    """What became of one target."""

    target: Target
    status: Status
    message: str
    exit_code: int = 0
    error: str = ""
    """The code of the error that ended it."""
    hint: str = ""
    undo: str = ""
    """The command that takes back what was done; empty: nothing was, or nothing does."""
    upid: str = ""
    exitstatus: str = ""
    log_tail: tuple[str, ...] = ()
    said: str = ""
    """What the guest itself has said, framed as text of others."""
    before: dict[str, Scalar] = {}
    after: dict[str, Scalar] = {}
    duration_s: float = 0.0
    audit_seq: int = 0
    """The record of this outcome in the audit log, and its hash."""
    audit_head: str = ""


HELD = frozenset({"E_FROZEN", "E_PARTIAL"})
"""Errors that keep a call from being sent for now: whoever resumes the run goes on there."""


def is_open(status: str, error: str) -> bool:
    """Whether an outcome is not the last word: nobody knows it yet, or the target was held."""
    return status in {"unknown", "pending"} or error in HELD


class Receipt(msgspec.Struct, frozen=True, omit_defaults=True):
    """What became of a run."""

    run: str
    plan: str
    operation: str
    status: Status | Literal["partial"]
    exit_code: int
    items: tuple[ItemOutcome, ...]
    consent: str
    started: float
    ended: float
    audit_seq: int = 0
    audit_head: str = ""
    remark: str = ""
    """What a look at the cluster has shown at the end, beyond single targets."""


PARTIAL = 11
_UNKNOWN = 13


def sum_up(items: tuple[ItemOutcome, ...]) -> tuple[Status | Literal["partial"], int]:
    """The status and exit code of a whole run. What is unknown outweighs everything else."""
    if not items:
        return "already", 0
    statuses = {item.status for item in items}
    if "unknown" in statuses:
        return "unknown", _UNKNOWN
    good = [item for item in items if item.status in {"done", "already"}]
    bad = [item for item in items if item.status not in {"done", "already"}]
    if not bad:
        # What was done but could not be recorded is done, and no success.
        code = next((item.exit_code for item in items if item.exit_code), 0)
        return ("done" if "done" in statuses else "already"), code
    if good:
        return "partial", PARTIAL
    if len({item.exit_code for item in bad}) == 1:
        return bad[0].status, bad[0].exit_code
    return "partial", PARTIAL
