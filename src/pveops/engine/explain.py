"""What a run has left behind, target by target, and what makes it whole. Pure.

Only what is safe is offered for repetition: a call that was refused, or never sent. Of what may
have happened nobody repeats anything; it is looked at, and where looking does not help a person
decides.
"""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from typing import NamedTuple

import msgspec

from pveops.engine.outcome import HELD, ItemOutcome, Receipt, is_open
from pveops.engine.store import Entry
from pveops.operations.catalog import get_operation
from pveops.operations.operation import Operation, Targets
from pveops.operations.plan import Call, Item, Plan, Scalar
from pveops.sanitize import shell_word


class Explanation(NamedTuple):
    """One target of a run."""

    id: str
    name: str
    status: str
    """As in receipts; `not begun`; `at work`, or `left` when its process is gone."""
    happened: tuple[str, ...]
    """The calls that have had their effect, in words."""
    missing: tuple[str, ...]
    """The calls that have had none, or of which nobody knows."""
    why: str
    steps: tuple[str, ...]
    """Whole commands, in their order; what is no command begins with `a person:`."""


class Progress(NamedTuple):
    """How far a run is: its last receipt, its journal, and whether anybody is at it."""

    receipt: Receipt | None
    entries: Sequence[Entry]
    is_at_work: bool = False
    """A process carries it out right now."""
    is_closed: bool = False
    """A person has ended it for good."""

    def outcome_of(self, index: int, entries: Sequence[Entry]) -> ItemOutcome | None:
        """The word of the journal; of what was never begun, the receipt's while it is the last."""
        if entries:
            last = entries[-1]
            return msgspec.convert(last.data, ItemOutcome) if last.kind == "outcome" else None
        kept = self.receipt.items if self.receipt and not self.is_at_work else ()
        return kept[index] if index < len(kept) else None


def explain_run(run_id: str, plan: Plan, progress: Progress) -> tuple[Explanation, ...]:
    """An explanation for each target, in the plan's order."""
    return tuple(_explain(run_id, plan, index, progress) for index in range(len(plan.items)))


def _explain(run_id: str, plan: Plan, index: int, progress: Progress) -> Explanation:
    item, is_at_work = plan.items[index], progress.is_at_work
    entries = [entry for entry in progress.entries if entry.item == index]
    outcome = progress.outcome_of(index, entries)
    answered = {int(entry.data["step"]) for entry in entries if entry.kind == "answer"}
    if outcome is None and entries and entries[-1].kind == "answer" and entries[-1].data["upid"]:
        # Its task goes on, or nobody has seen its end yet.
        answered.discard(int(entries[-1].data["step"]))
    calls = [(number, step) for number, step in enumerate(item.steps) if isinstance(step, Call)]
    operation = get_operation(plan.operation)
    words = {number: call.does or operation.command for number, call in calls}
    vmid = next((str(e.data["vmid"]) for e in reversed(entries) if "vmid" in e.data), "")
    begun = "at work" if is_at_work else "left"
    status = outcome.status if outcome else (begun if entries else "not begun")
    if outcome and outcome.error in HELD and not answered:
        status = "not begun"
    is_through = outcome is not None and not is_open(outcome.status, outcome.error)
    return Explanation(
        id=vmid or item.target.id,
        name=item.target.name,
        status=status,
        happened=tuple(words[number] for number, _ in calls if number in answered),
        missing=tuple(words[number] for number, _ in calls if number not in answered),
        why=outcome.message if outcome and status != "done" else "",
        steps=(
            (f"pve run wait {run_id}",)
            if is_at_work and not is_through
            else _steps(
                "" if progress.is_closed else run_id,
                plan,
                operation,
                item,
                outcome,
                status,
                has_begun=bool(answered),
            )
        ),
    )


def _steps(
    run_id: str,
    plan: Plan,
    operation: Operation,
    item: Item,
    outcome: ItemOutcome | None,
    status: str,
    *,
    has_begun: bool,
) -> tuple[str, ...]:
    """run_id: empty when nothing more is done of the run."""
    look = (
        f"pve guest doctor {shell_word(item.target.id)}"
        if item.target.kind in {"qemu", "lxc"}
        else ""
    )
    undo = item.undo if has_begun else ""
    if outcome is not None and outcome.error in HELD and run_id:
        return (f"pve run resume {run_id}",)
    if not run_id and status in {"pending", "left", "unknown"}:
        return (look,) if look else ()
    if not run_id and status == "not begun":
        status = "not-executed"
    match status:
        case "done" | "already":
            return ()
        case "pending":
            return (f"pve run wait {run_id}", f"pve run resume {run_id}")
        case "left" | "not begun":
            return (f"pve run resume {run_id}",)
        case "unknown":
            steps = (f"pve run resume {run_id}", "" if item.target.is_new else look)
            person = f"a person: look at it, then `pve run close {run_id}` at a terminal"
            return (*(step for step in steps if step), person)
        case "failed":
            log = f"pve task log {outcome.upid}" if outcome and outcome.upid else ""
            again = command_of(plan, operation, item)
            found = (log, "" if item.target.is_new else look, again, undo)
            return tuple(step for step in found if step)
        case _:
            again = command_of(plan, operation, item)
            return (again,) if again else ()


def command_of(plan: Plan, operation: Operation, item: Item) -> str:
    """The request for this one target again; empty where it cannot be told from the plan."""
    if operation.targets not in {Targets.ONE, Targets.GUESTS, Targets.NODE, Targets.CLUSTER}:
        return ""
    words = ["pve", *operation.command.split()]
    if operation.targets is Targets.NODE:
        words.append(str(plan.params["node"]))
    elif operation.targets is not Targets.CLUSTER:
        words.append(item.target.id)
    for param in operation.params:
        value = plan.params.get(param.name)
        if value is None or value is False:
            continue
        if param.is_argument:
            words += ["--", *shlex.split(str(value))] if param.type == "argv" else [str(value)]
        else:
            words += _flag(param.name, param.type, value)
    return shlex.join(words)


def _flag(name: str, type_: str, value: Scalar) -> list[str]:
    flag = "--" + name.replace("_", "-")
    if type_ == "bool":
        return [flag]
    if type_ == "pairs":
        return [word for line in str(value).split("\n") for word in (flag, line)]
    if type_ == "words":
        return [word for part in str(value).split(",") for word in (flag, part)]
    return [flag, str(value)]
