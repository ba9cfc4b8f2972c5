"""The approval card: a plan as a person reads it before agreeing, most important fact first.

Rendered by us from the plan itself, never from what an agent says about it.
"""

from __future__ import annotations

from pveops.operations.catalog import get_operation
from pveops.operations.operation import Targets
from pveops.operations.plan import Plan
from pveops.sanitize import sanitize_text
from pveops.units import format_duration

MAX_CHARS = 512
_MAX_TARGETS = 4
_MAX_WARNINGS = 2
_MAX_NODES = 8
_MAX_REASON = 80
_MAX_LINE = 220
_HEAD_DIGITS = 8


def render_card(plan: Plan, plan_id: str, now: float, head: str = "") -> str:
    """At most 512 characters: what, to whom, what is lost, what undoes it, who asks, how long.

    head: the hash of the audit log's last record, so that the person keeps it, too.
    """
    why = f': "{sanitize_text(plan.reason, _MAX_REASON)}"' if plan.reason else ""
    left = format_duration(plan.expires - now)
    log = f", log {head[:_HEAD_DIGITS]}" if head else ""
    on = f" on {plan.profile}" if plan.profile else ""
    tail = f"asked by {plan.actor}{why}\n{plan_id}{on}, tier {plan.tier}, valid {left}{log}"
    room = MAX_CHARS - len(tail) - 1
    head = ""
    for count in range(_MAX_TARGETS, 0, -1):
        # Rather one target less by name than a warning, or the way back, less.
        undo = _undo_line(plan)
        lines = (*_target_lines(plan, count), *_warnings(plan), *([undo] if undo else []))
        # Names and paths of others stand in them: none of them makes a line of its own.
        head = "\n".join(sanitize_text(line, _MAX_LINE) for line in lines)
        if len(head) <= room:
            break
    if len(head) > room:
        head = head[: max(0, room - 1)] + "…"
    return f"{head}\n{tail}"


def _target_lines(plan: Plan, count: int) -> list[str]:
    """The state that makes it matter, then the verb, then whom: `count` of them by name."""
    operation = get_operation(plan.operation)
    verb = operation.command.upper()
    if len(plan.items) == 1:
        item = plan.items[0]
        losses = f"; lost: {', '.join(item.losses)}" if item.losses else ""
        return [f"{item.headline}: {verb} {item.target.label}{losses}", f"({operation.summary})"]
    if operation.targets is Targets.CLUSTER:
        return [f"{verb}: {_extent(plan)} ({operation.summary})"]
    of = f" {plan.params['node']}:" if operation.targets is Targets.NODE else " of"
    lines = [f"{verb}{of} {len(plan.items)} targets ({operation.summary})"]
    lines += [f"{item.headline}: {item.target.label}" for item in plan.items[:count]]
    if len(plan.items) > count:
        lines.append(f"... and {len(plan.items) - count} more, see the plan")
    losing = sum(1 for item in plan.items if item.losses)
    return [*lines, f"{losing} of them lose data that is not on disk"] if losing else lines


def _extent(plan: Plan) -> str:
    """`3 nodes (pve1, pve2, pve3), 12 guests`."""
    targets = dict.fromkeys((item.target.kind, item.target.name) for item in plan.items)
    nodes = [name for kind, name in targets if kind == "node"]
    guests = sum(kind in {"qemu", "lxc"} for kind, _ in targets)
    told = [f"{len(nodes)} nodes ({', '.join(nodes[:_MAX_NODES])})"] if nodes else []
    return ", ".join([*told, f"{guests} guests"])


def _warnings(plan: Plan) -> list[str]:
    """What was found, each remark once."""
    found = dict.fromkeys(f.message for f in plan.findings if f.severity == "warn")
    return [f"! {message}" for message in list(found)[:_MAX_WARNINGS]]


def _undo_line(plan: Plan) -> str:
    undos = {item.undo for item in plan.items}
    if undos == {""}:
        is_lost = any(item.losses for item in plan.items)
        is_calm = get_operation(plan.operation).leaves_all and not is_lost
        return "" if is_calm else "undo: nothing takes it back"
    if len(undos) == 1:
        return f"undo: {undos.pop()}"
    return "undo: per target, see the plan"
