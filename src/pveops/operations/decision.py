"""What a decision about one target comes to."""

from __future__ import annotations

from typing import NamedTuple

from pveops.operations.findings import Finding
from pveops.operations.plan import Item, Target


class Decision(NamedTuple):
    """One target, decided.

    item: what to do; None when there is nothing to do or it must not be done.
    is_already_so: the target is in the wanted state; nothing will be sent.
    """

    target: Target
    findings: tuple[Finding, ...]
    item: Item | None = None
    is_already_so: bool = False
    state: str = ""
    """The state found, in a word, for answers such as "already stopped"."""
