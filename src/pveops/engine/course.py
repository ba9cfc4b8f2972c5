"""The course of a run over many targets: what may begin, and when nothing more does.

An operation with a watch looks at the cluster before each target. At the first anomaly, be it
the cluster's or a target's, what has not begun is left as it is; `pve run resume` goes on with it.
"""

from __future__ import annotations

import importlib
import threading
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, NamedTuple, Protocol

import msgspec

from pveops.engine.outcome import PARTIAL, ItemOutcome
from pveops.operations.plan import Plan, Target

if TYPE_CHECKING:
    from pveops.api.client import Client
    from pveops.engine.store import Entry, RunRow
    from pveops.operations.operation import Operation

_GOOD = frozenset({"done", "already"})
_NO_ANOMALY = _GOOD | {"not-executed"}
"""Of what was begun before: that it is known never to have happened tells nothing bad."""


class Ending(NamedTuple):
    """What a look at the cluster shows when no target is being worked on any more."""

    is_done: bool = True
    remark: str = ""


class Watch(Protocol):
    """Looks at the cluster for one run. Only reads, and raises nothing of the cluster's."""

    def find_trouble(self) -> str:
        """What is wrong now that nothing more should begin; empty when nothing is."""

    def judge_end(self, outcomes: Sequence[ItemOutcome]) -> Ending:
        """Whether the whole has been reached."""


class Course:
    """Lets the targets of one run begin, or not. Safe to use from several threads."""

    def __init__(self, client: Client, run_id: str, plan: Plan, operation: Operation) -> None:
        self._run_id = run_id
        self._lock = threading.Lock()
        self._trouble = ""
        self._watch: Watch | None = None
        if operation.watch:
            module, _, name = operation.watch.partition(":")
            self._watch = getattr(importlib.import_module(module), name)(client, plan)

    def begin(self, target: Target, work: Callable[[], ItemOutcome]) -> ItemOutcome:
        """Work on a target that nothing was sent about yet, unless something is wrong."""
        if self._watch is None:
            return work()
        with self._lock:
            self._trouble = self._trouble or self._watch.find_trouble()
            trouble = self._trouble
        if trouble:
            return self._held(target, trouble)
        return self._heed(work(), _GOOD)

    def go_on(self, work: Callable[[], ItemOutcome], *, is_settled: bool) -> ItemOutcome:
        """Work on a target that was begun before. is_settled: its outcome is known already."""
        outcome = work()
        return outcome if is_settled else self._heed(outcome, _NO_ANOMALY)

    def _heed(self, outcome: ItemOutcome, harmless: frozenset[str]) -> ItemOutcome:
        if outcome.status not in harmless:
            with self._lock:
                self._trouble = self._trouble or f"{outcome.target.label}: {outcome.message}"
        return outcome

    def end(self, outcomes: Sequence[ItemOutcome]) -> Ending:
        """The last look."""
        return self._watch.judge_end(outcomes) if self._watch is not None else Ending()

    def _held(self, target: Target, trouble: str) -> ItemOutcome:
        """Nothing is written down of it: for whoever resumes the run it has not begun."""
        return ItemOutcome(
            target=target,
            status="not-executed",
            message=f"not begun, because of {trouble}",
            exit_code=PARTIAL,
            error="E_PARTIAL",
            hint=f"when that is mended: `pve run resume {self._run_id}`",
        )


def is_settled(entries: Sequence[Entry]) -> bool:
    """Whether the journal knows the end of an item."""
    ends = [entry for entry in entries if entry.kind == "outcome"]
    return bool(ends) and ends[-1].data["status"] not in {"unknown", "pending"}


def prolong(plan: Plan, run: RunRow) -> Plan:
    """The plan with the time that its operation gives to runs that began while it was valid.

    Each target's guards are still read before it is begun.
    """
    from pveops.operations.catalog import get_operation

    until = run.created + get_operation(plan.operation).consented_s
    return msgspec.structs.replace(plan, expires=max(plan.expires, until))
