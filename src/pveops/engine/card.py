"""The approval card: a plan as a person reads it before agreeing, most important fact first.

Rendered by us from the plan itself, never from what an agent says about it.
"""

from __future__ import annotations

from pveops.operations.catalog import get_operation
from pveops.operations.plan import Item, Plan
from pveops.units import format_duration

MAX_CHARS = 512
_MAX_TARGETS = 4


def render_card(plan: Plan, plan_id: str, now: float) -> str:
    """At most 512 characters: what, to whom, what is lost, what undoes it, who asks, how long."""
    lines = [_verb_line(plan)]
    lines += [_item_line(item) for item in plan.items[:_MAX_TARGETS]]
    if len(plan.items) > _MAX_TARGETS:
        lines.append(f"... and {len(plan.items) - _MAX_TARGETS} more targets")
    lines += [f"! {finding.message}" for finding in plan.findings if finding.severity == "warn"][
        :2
    ]
    lines.append(_undo_line(plan))
    why = f': "{plan.reason}"' if plan.reason else ""
    left = format_duration(plan.expires - now)
    tail = f"asked by {plan.actor}{why}\n{plan_id}, tier {plan.tier}, valid {left}"
    head = "\n".join(lines)
    room = MAX_CHARS - len(tail) - 1
    if len(head) > room:
        head = head[: max(0, room - 1)] + "…"
    return f"{head}\n{tail}"[:MAX_CHARS]


def _verb_line(plan: Plan) -> str:
    operation = get_operation(plan.operation)
    count = f" ({len(plan.items)} targets)" if len(plan.items) > 1 else ""
    return f"{operation.command.upper()}{count}: {operation.summary}"


def _item_line(item: Item) -> str:
    losses = f"; lost: {', '.join(item.losses)}" if item.losses else ""
    return f"{item.headline}: {item.target.label}{losses}"


def _undo_line(plan: Plan) -> str:
    undos = {item.undo for item in plan.items}
    if undos == {""}:
        return "undo: nothing takes it back"
    if len(undos) == 1:
        return f"undo: {undos.pop()}"
    return "undo: per target, see the plan"
