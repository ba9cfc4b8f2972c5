"""Findings: what a look before the act has shown."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

import msgspec

Severity = Literal["info", "warn", "block"]


class Finding(msgspec.Struct, frozen=True, omit_defaults=True):
    """One remark. A `block` stops the operation; nothing else does.

    code: stable, `guest.locked`. subject: whom it is about, `vm/101`.
    evidence: where it was seen. remedy: a whole command, or a fact.
    """

    code: str
    severity: Severity
    subject: str
    message: str
    evidence: str = ""
    remedy: str = ""


def blocks_among(findings: Iterable[Finding]) -> tuple[Finding, ...]:
    """Those that stop the operation."""
    return tuple(finding for finding in findings if finding.severity == "block")
