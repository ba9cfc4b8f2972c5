"""The course of a run over many targets: what may begin, and when nothing more does.

An operation with a watch looks at the cluster before each target. At the first anomaly, be it
the cluster's or a target's, what has not begun is left as it is; `pve run resume` goes on with it,
but with no later stage as long as what failed in an earlier one is not mended.
"""

from __future__ import annotations

import importlib
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple, Protocol

import msgspec

from pveops.engine.goals import look
from pveops.engine.outcome import PARTIAL, ItemOutcome, is_open
from pveops.errors import PveopsError
from pveops.operations.plan import Item, Plan, Target, WaitState

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
        self._client = client
        self._run_id = run_id
        self._plan = plan
        self._failed: dict[int, str] = {}
        self._lock = threading.Lock()
        self._trouble = ""
        self._watch: Watch | None = None
        if operation.watch:
            module, _, name = operation.watch.partition(":")
            self._watch = getattr(importlib.import_module(module), name)(client, plan)

    def recall(self, told: Mapping[int, Sequence[Entry]]) -> None:
        """Look again at what failed before the run was resumed: it may have been mended since.

        told: the journal, item by item. One look for each that failed.
        """
        if self._watch is None:
            return
        for index, entries in told.items():
            item = self._plan.items[index]
            end = entries[-1].data if entries and is_settled(entries) else {}
            if end and end["status"] not in _GOOD:
                why = self._look_again(item, str(end["message"]))
                if why:
                    self._failed.setdefault(item.stage, f"{item.target.label}: {why}")

    def _look_again(self, item: Item, message: str) -> str:
        """Why a target is not as it was to become; empty when it is by now."""
        goals = [s for s in item.steps if isinstance(s, WaitState) and not s.is_optional]
        if not goals:
            return message
        try:
            sight = look(self._client, item.target, goals[-1], item.before)
        except PveopsError as error:
            return error.message
        if sight.is_reached:
            return ""
        return f"it is {sight.word}" if sight.is_known else sight.why

    def begin(self, index: int, work: Callable[[], ItemOutcome]) -> ItemOutcome:
        """Work on a target that nothing was sent about yet, unless something is wrong."""
        if self._watch is None:
            return work()
        trouble = self.find_trouble(index)
        if trouble:
            return self._held(self._plan.items[index].target, trouble)
        return self._heed(work(), _GOOD)

    def find_trouble(self, index: int) -> str:
        """What stands against doing more about a target now; empty when nothing does."""
        if self._watch is None:
            return ""
        stage = self._plan.items[index].stage
        with self._lock:
            before = (why for at, why in sorted(self._failed.items()) if at < stage)
            self._trouble = self._trouble or next(before, "") or self._watch.find_trouble()
            return self._trouble

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
    ends = [entry.data for entry in entries if entry.kind == "outcome"]
    return bool(ends) and not is_open(ends[-1]["status"], ends[-1].get("error", ""))


def is_begun(entries: Sequence[Entry]) -> bool:
    """Whether anything was sent, or may have been."""
    return bool(what_was_sent(entries))


def what_was_sent(entries: Sequence[Entry]) -> list[Entry]:
    """The journal without outcomes and refusals, and without intents that were held back."""
    kept: list[Entry] = []
    for entry in entries:
        if entry.kind == "held":
            if kept and kept[-1].kind == "intent":
                kept.pop()
        elif entry.kind not in {"outcome", "refused"}:
            kept.append(entry)
    return kept


def prolong(plan: Plan, run: RunRow) -> Plan:
    """The plan with the time that its operation gives to runs that began while it was valid.

    Each target's guards are still read before it is begun.
    """
    from pveops.operations.catalog import get_operation

    until = run.created + get_operation(plan.operation).consented_s
    return msgspec.structs.replace(plan, expires=max(plan.expires, until))
