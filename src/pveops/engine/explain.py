"""What a run has left behind, target by target, and what makes it whole. Pure.

Only what is safe is offered for repetition: a call that was refused, or never sent. Of what may
have happened nobody repeats anything; it is looked at, and where looking does not help a person
decides.
"""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from typing import NamedTuple

from pveops.engine.outcome import ItemOutcome, Receipt
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


def explain_run(
    run_id: str,
    plan: Plan,
    receipt: Receipt | None,
    entries: Sequence[Entry],
    *,
    is_at_work: bool = False,
) -> tuple[Explanation, ...]:
    """An explanation for each target, in the plan's order.

    is_at_work: a process carries the run out right now.
    """
    outcomes = receipt.items if receipt is not None else ()
    return tuple(
        _explain(
            run_id,
            plan,
            item,
            outcomes[index] if index < len(outcomes) else None,
            [entry for entry in entries if entry.item == index],
            is_at_work=is_at_work,
        )
        for index, item in enumerate(plan.items)
    )


def _explain(
    run_id: str,
    plan: Plan,
    item: Item,
    outcome: ItemOutcome | None,
    entries: Sequence[Entry],
    *,
    is_at_work: bool,
) -> Explanation:
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
    return Explanation(
        id=vmid or item.target.id,
        name=item.target.name,
        status=status,
        happened=tuple(words[number] for number, _ in calls if number in answered),
        missing=tuple(words[number] for number, _ in calls if number not in answered),
        why=outcome.message if outcome and status != "done" else "",
        steps=(
            (f"pve run wait {run_id}",)
            if is_at_work
            else _steps(run_id, plan, operation, item, outcome, status, has_begun=bool(answered))
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
    look = (
        f"pve guest doctor {shell_word(item.target.id)}"
        if item.target.kind in {"qemu", "lxc"}
        else ""
    )
    undo = item.undo if has_begun else ""
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
    if operation.targets not in {Targets.ONE, Targets.GUESTS}:
        return ""
    words = ["pve", *operation.command.split(), item.target.id]
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
