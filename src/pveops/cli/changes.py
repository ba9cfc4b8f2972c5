"""What a change came to, as an answer: already so, consent needed, or a receipt."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from pveops.cli.answer import Answer, Column, Facts, Lines, Listing
from pveops.errors import ConsentRequiredError, PermissionDeniedError, PveopsError, Retry
from pveops.operations.plan import plain
from pveops.units import format_duration

if TYPE_CHECKING:
    from pveops.cli.call import Call
    from pveops.engine.change import Change
    from pveops.engine.outcome import ItemOutcome, Receipt
    from pveops.operations.plan import Item, Plan

_ITEM_COLUMNS = (
    Column("id"),
    Column("name"),
    Column("status"),
    Column("message"),
    # 66 characters a row; `next:` names the log of what did not go well.
    Column("upid", is_sparse=True, is_wide=True),
)
_OF_A_GUEST = frozenset({"backup.prune", "snapshot.prune"})
"""What is done to things that a guest has, and not to the guest."""
_MORE = re.compile(r"\.\.\. and \d+ more, see the plan")


def answer_of_change(call: Call, change: Change) -> Answer:
    """The answer to a request for a change."""
    if change.receipt is not None:
        answer = answer_of_receipt(change.receipt)
        plan = change.proposal.plan
        if plan is None or change.receipt.consent != "policy":
            return answer
        # Whoever agreed has seen the findings; after a change at once they are news.
        return answer._replace(findings=plan.findings)
    if change.proposal.plan is None:
        return _already_so(change)
    return _consent_needed(call, change, change.proposal.plan)


def _already_so(change: Change) -> Answer:
    decisions = change.proposal.decisions
    if len(decisions) == 1:
        told = f"{decisions[0].target.label} is {decisions[0].state}"
    else:
        told = f"all {len(decisions)} guests"
    data = {
        "already": [
            {"id": d.target.id, "name": d.target.name, "state": d.state} for d in decisions
        ]
    }
    return Answer(f"already so: {told}; nothing was sent", data=data)


def _consent_needed(call: Call, change: Change, plan: Plan) -> Answer:
    first = plan.items[0]
    more = f" and {len(plan.items) - 1} more" if len(plan.items) > 1 else ""
    told = f"{first.headline}: {first.target.label}{more}"
    command = plan.operation.replace(".", " ")
    sent, next_ = _how_to_agree(change)
    error = ConsentRequiredError(
        f"{command} needs a person's consent; nothing was changed", hint="".join(next_[:1])
    )
    card = plan_card(plan, change.plan_id, call.clock.now())
    summary = plan_summary(plan, change.plan_id) | {"card": card, "code": change.code}
    return Answer(
        f"consent needed, nothing was changed: {told}",
        code=error.exit_code,
        plan=summary,
        findings=tuple(finding for finding in plan.findings if finding.severity != "warn"),
        blocks=_plan_blocks(plan, card, sent),
        error={
            "code": error.code,
            "message": error.message,
            "hint": error.hint,
            "retry": error.retry.value,
            "details": {"plan": change.plan_id},
        },
        next=next_,
    )


def _plan_blocks(plan: Plan, card: str, sent: str) -> tuple[Lines | Listing, ...]:
    """The card; where it does not name every target, a list of them instead of those it names."""
    lines = card.split("\n")
    told = {f"{item.headline}: {item.target.label}" for item in plan.items}
    is_whole = len(plan.items) == 1 or told <= set(lines)
    if not is_whole:
        lines = [line for line in lines if line not in told and not _MORE.fullmatch(line)]
    texts = Lines((*lines, *_why_so_high(plan), sent))
    return (texts,) if is_whole else (texts, _items(plan))


def _items(plan: Plan) -> Listing:
    """Each of several targets, with what would be done to it."""

    def row(item: Item) -> dict[str, Any]:
        target = item.target
        return {"id": target.id, "name": target.name, "node": target.node, "what": item.headline}

    columns = (Column("id"), Column("name"), Column("node"), Column("what"))
    return Listing(plan.items, row, ("id", "name", "node", "what"), columns)


def _why_so_high(plan: Plan) -> tuple[str, ...]:
    """What raised the tier above the operation's own."""
    raised = plan.tier_reasons[1:]
    return (f"tier {plan.tier}, because {'; '.join(raised)}",) if raised else ()


def _how_to_agree(change: Change) -> tuple[str, tuple[str, ...]]:
    plan_id = change.plan_id
    if change.code == "sent":
        return (
            "a code was sent to the person; it fits this plan only",
            (f"pve-apply {plan_id} --code CODE",),
        )
    if change.code == "failed":
        return (
            f"the code did not reach the person: {change.code_problem}",
            (f"pve plan code {plan_id}",),
        )
    if change.code == "no-sender":
        return (
            "no way to send a code is configured (consent.sender of the profile); a person can "
            "agree at a terminal of this machine",
            (f"pve-apply {plan_id}",),
        )
    if change.code == "withheld":
        return "no code was sent; the prompt of this program asks the person", ()
    if change.code == "signature":
        return (
            "no code was sent: the policy asks for a signature, made on another machine",
            (f"pve plan challenge {plan_id}",),
        )
    return "not confirmed", (f"pve-apply {plan_id}",)


def plan_card(plan: Plan, plan_id: str, now: float, head: str = "") -> str:
    """The plan as the person who agrees sees it. head: of the audit log, to be kept there."""
    from pveops.engine.card import render_card

    return render_card(plan, plan_id, now, head)


def plan_summary(plan: Plan, plan_id: str) -> dict[str, Any]:
    """What an agent needs to tell its human; `pve plan show` has the rest."""
    return {
        "id": plan_id,
        "operation": plan.operation,
        "tier": plan.tier,
        "tier_reasons": list(plan.tier_reasons),
        "params": dict(plan.params),
        "actor": plan.actor,
        "reason": plan.reason,
        "expires": plan.expires,
        "items": [
            {
                "headline": item.headline,
                "target": plain(item.target),
                "losses": list(item.losses),
                "undo": item.undo,
            }
            for item in plan.items
        ],
        "skipped": list(plan.skipped),
    }


# -- receipts ---------------------------------------------------------------------


def answer_of_receipt(receipt: Receipt) -> Answer:
    """The answer that a run's receipt is."""
    return Answer(
        _verdict(receipt),
        code=receipt.exit_code,
        changed=_changed(receipt),
        receipt=plain(receipt),
        has_free_text=any(item.said for item in receipt.items),
        blocks=_blocks(receipt),
        error=_error(receipt),
        next=_next(receipt),
    )


def _verdict(receipt: Receipt) -> str:
    remark = f"; {receipt.remark}" if receipt.remark else ""
    if len(receipt.items) != 1:
        count = sum(item.status in {"done", "already"} for item in receipt.items)
        kinds = {item.target.kind for item in receipt.items}
        noun = "guests" if kinds <= {"qemu", "lxc"} else "steps"
        return f"{receipt.status}: {count} of {len(receipt.items)} {noun}{remark}"
    item = receipt.items[0]
    if item.status in {"done", "already"}:
        told = _told(receipt.operation, item)
        word = receipt.status if receipt.exit_code else "done"
        return f"{word}: {told}{remark}"
    if item.status == "pending":
        return f"pending: {item.target.label}: {item.message}"
    return f"error {item.error}: {item.target.label}: {item.message}"


def _told(operation: str, item: ItemOutcome) -> str:
    """What is pruned is gone; the guest that it was of is not."""
    if operation in _OF_A_GUEST and item.status == "done":
        return f"{item.target.label}: {item.message}"
    return f"{item.target.label} is {_end_state(item)}{_beginning(item)}"


def _end_state(item: ItemOutcome) -> str:
    """What the cluster says now, with any remark of the executor."""
    power = str(item.after.get("power") or item.after.get("status") or "")
    if not power or item.message.startswith(power) or item.message.endswith(f", {power}"):
        return item.message
    return power if item.message == "done" else f"{power} ({item.message})"


def _beginning(item: ItemOutcome) -> str:
    power = item.before.get("power") or item.before.get("status")
    if not power:
        return ""
    uptime = item.before.get("uptime_s")
    if not uptime and power == item.after.get("power"):
        return ""
    up = f" {format_duration(float(uptime))}" if isinstance(uptime, int | float) and uptime else ""
    return f" (was {power}{up})"


def _blocks(receipt: Receipt) -> tuple[Facts | Lines | Listing, ...]:
    record = str(receipt.audit_seq) if receipt.audit_seq else ""
    facts = (("run", receipt.run), ("plan", receipt.plan), ("audit record", record))
    if len(receipt.items) != 1:
        rows = Listing(
            receipt.items,
            _item_row,
            ("id", "name", "status", "message", "upid", "hint"),
            _ITEM_COLUMNS,
        )
        return rows, Facts(facts)
    item = receipt.items[0]
    task = f"{item.upid} ({item.exitstatus})" if item.exitstatus else item.upid
    blocks: list[Facts | Lines] = [Facts((("task", task), *facts))]
    if item.said:
        blocks.append(Lines(tuple(item.said.split("\n"))))
    if item.log_tail:
        from pveops.sanitize import frame_untrusted

        framed = frame_untrusted("\n".join(item.log_tail), "the end of the task's log")
        blocks.append(Lines(tuple(framed.split("\n"))))
    return tuple(blocks)


def _item_row(item: ItemOutcome) -> dict[str, Any]:
    return {
        "id": item.target.id,
        "name": item.target.name,
        "status": item.status,
        "message": f"{item.message} ({item.exitstatus})" if _has_warnings(item) else item.message,
        "upid": item.upid,
        "hint": item.hint,
    }


def _changed(receipt: Receipt) -> bool | None:
    statuses = {item.status for item in receipt.items}
    if statuses & {"done", "pending"}:
        return True
    return None if statuses & {"unknown", "failed"} else False


def _error(receipt: Receipt) -> dict[str, Any] | None:
    if receipt.exit_code == 0:
        return None
    bad = next((item for item in receipt.items if item.exit_code == receipt.exit_code), None)
    code = bad.error if bad is not None else "E_PARTIAL"
    is_done = bad is not None and bad.status in {"done", "already"}
    return {
        "code": code,
        "message": bad.message if bad is not None else _verdict(receipt),
        "hint": bad.hint if bad is not None else "",
        "retry": (Retry.NEVER if is_done else retry_of(code)).value,
        "details": {"run": receipt.run},
    }


def _next(receipt: Receipt) -> tuple[str, ...]:
    hints = dict.fromkeys(
        _hint(receipt, item) for item in receipt.items if item.exit_code and item.hint
    )
    warned = [
        f"pve task log {item.upid}   # {item.exitstatus}"
        for item in receipt.items
        if _has_warnings(item) and not item.exit_code
    ]
    return (*tuple(hints)[:3], *warned[:3], *_undo(receipt))


def _hint(receipt: Receipt, item: ItemOutcome) -> str:
    """What PVE refused leads to what the token lacks for it."""
    if item.error != PermissionDeniedError.code:
        return item.hint
    from pveops.cli.failure import check_command

    is_guest = item.target.kind in {"qemu", "lxc"} and not item.target.is_new
    return check_command(receipt.operation, *((item.target.id,) if is_guest else ()))


def _has_warnings(item: ItemOutcome) -> bool:
    return item.exitstatus.startswith("WARNINGS: ")


def _undo(receipt: Receipt) -> tuple[str, ...]:
    """When not all went well: how to take back what did, as few commands as it takes."""
    if receipt.exit_code == 0:
        return ()
    by_verb: dict[str, list[str]] = {}
    for item in receipt.items:
        verb, _, whom = item.undo.rpartition(" ")
        if verb:
            by_verb.setdefault(verb, []).append(whom)
    return tuple(
        f"{verb} {' '.join(dict.fromkeys(whom))}   # takes back what was done"
        for verb, whom in by_verb.items()
    )[:2]


def retry_of(code: str) -> Retry:
    """The verdict on repeating that belongs to an error's code."""
    waiting: list[type[PveopsError]] = [PveopsError]
    while waiting:
        kind = waiting.pop()
        if kind.code == code:
            return kind.retry
        waiting.extend(kind.__subclasses__())
    return Retry.NEVER
