"""Faults by rule: what goes wrong, for which requests, and how often.

A rule matches requests by their properties and says what happens instead. The kinds are those
that a client of PVE meets; `KINDS` lists them with where they come from.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pveops.sim.model import Cluster

KINDS: dict[str, str] = {
    "refuse": "answered with `status` and `reason`; nothing is executed",
    "lost-before": "the connection ends before the request is read; nothing is executed",
    "lost-after": "executed, and the connection ends without an answer",
    "status-after": "executed, and answered with `status` and `reason` (596, 597, 599)",
    "hang": "nothing is executed, and nothing is answered",
    "hang-after": "executed, and nothing is answered",
    "html": "a foreign page with status 200, as a proxy or captive portal sends it",
    "html-after": "executed, and answered with a foreign page",
    "empty": "status 200 without a body; nothing is executed",
    "empty-after": "executed, and answered with status 200 without a body",
    "truncated": "executed, and the answer's JSON is cut in the middle",
    "task-error": "executed, but the task ends at once with `reason`",
    "task-warnings": "executed, and the task goes on with a warning, `reason`",
    "task-vanish": "executed, but the worker is killed: `unexpected status`",
}


@dataclass(slots=True)
class Fault:
    """One rule. What is not given matches everything."""

    kind: str
    method: str = ""
    path: str = ""
    """A regular expression that the path below /api2/json has to contain."""
    node: str = ""
    """The node that received the request."""
    after: int = 0
    """How many matching requests pass before the first one is hit."""
    times: int = 1
    """How many are hit; 0: all."""
    probability: float = 1.0
    status: int = 500
    reason: str = "injected fault"
    seen: int = 0
    hits: int = 0

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ValueError(f"there is no fault {self.kind!r}; known: {', '.join(KINDS)}")
        re.compile(self.path)

    @property
    def is_spent(self) -> bool:
        """It hit as often as it was to."""
        return self.times > 0 and self.hits >= self.times


@dataclass(slots=True)
class Faults:
    """The rules in force, the oldest first."""

    rules: list[Fault] = field(default_factory=list)

    def add(self, kind: str, **conditions: Any) -> Fault:
        """Put a rule in force. Raises ValueError for an unknown kind or a broken pattern."""
        fault = Fault(kind, **conditions)
        self.rules.append(fault)
        return fault

    def clear(self) -> None:
        """Take every rule out of force."""
        self.rules.clear()

    def strike(self, cluster: Cluster, *, method: str, path: str, node: str) -> Fault | None:
        """The rule that hits this request, counted as a hit."""
        for rule in self.rules:
            if rule.is_spent or not _matches(rule, method, path, node):
                continue
            rule.seen += 1
            if rule.seen <= rule.after or cluster.random.random() >= rule.probability:
                continue
            rule.hits += 1
            return rule
        return None


def _matches(rule: Fault, method: str, path: str, node: str) -> bool:
    return (
        (not rule.method or rule.method == method)
        and (not rule.path or re.search(rule.path, path) is not None)
        and (not rule.node or rule.node == node)
    )
