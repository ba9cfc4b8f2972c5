"""The one way from a request to a change; every face calls this and nothing below it.

propose -> already so | at once: store, claim, run | consent: store, send the code | denied
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, NamedTuple

from pveops.engine.apply import apply_plan, store_plan
from pveops.engine.approve import Consent
from pveops.engine.card import render_card
from pveops.engine.consent import send_code
from pveops.engine.gate import Verdict
from pveops.engine.outcome import Receipt
from pveops.engine.request import Ask, Proposal, propose
from pveops.engine.session import Session
from pveops.engine.store import PlanRow
from pveops.errors import ConfigError, ConsentInvalidError, PolicyRefusedError, StoreError
from pveops.operations.plan import Plan, decode_plan
from pveops.sanitize import neutralize_markup

Confirm = Callable[[Plan, str, Verdict], str | None]
"""Shows a plan (with its id) to the person at the terminal and gives what was typed; None when
the person walked away."""

CodeState = Literal["", "sent", "no-sender", "failed", "signature", "withheld"]


class Change(NamedTuple):
    """What came of a request; exactly one of these holds.

    receipt is set: it ran. plan is set, receipt is not: a person has to agree first; nothing has
    changed. neither: every target was already so.
    """

    proposal: Proposal
    plan_id: str = ""
    receipt: Receipt | None = None
    code: CodeState = ""
    """Whether a consent code went out."""
    code_problem: str = ""


def request_change(
    session: Session,
    ask: Ask,
    *,
    confirm: Confirm | None = None,
    on_claimed: Callable[[str], None] | None = None,
    sends_code: bool = True,
) -> Change:
    """Decide, and do what the gate lets the caller do at once; make a plan of anything else.

    sends_code: False for a caller whose own prompt asks the person.
    Raises what `propose` and `apply_plan` raise, and PolicyRefusedError.
    """
    proposal = propose(session, ask)
    plan, verdict = proposal.plan, proposal.verdict
    if plan is None or verdict is None:
        return Change(proposal)
    if verdict.action == "deny":
        _record_denial(session, plan, verdict)
        # What decided stands last among the reasons; a person wants it first.
        *others, decisive = verdict.reasons
        more = f" ({'; '.join(others)})" if others else ""
        raise PolicyRefusedError(
            f"the policy denies {plan.operation} to {session.actor.label}: {decisive}{more}",
            hint="see the rules with `pve policy show`",
        )
    if verdict.action == "consent" and session.actor.kind != "person":
        _refuse_many(session, plan)
    row = store_plan(session, plan)
    if verdict.action == "at_once":
        consent = Consent("grant" if verdict.is_granted else "policy")
        receipt = apply_plan(session, row.id, consent, on_claimed, is_fresh=True)
        return Change(proposal, row.id, receipt)
    if confirm is not None and session.actor.kind == "person" and verdict.terminal_is_enough:
        typed = confirm(plan, row.id, verdict)
        if typed is not None:
            receipt = apply_plan(session, row.id, Consent("terminal", typed), on_claimed)
            return Change(proposal, row.id, receipt)
        return Change(proposal, row.id)
    if not sends_code:
        return Change(proposal, row.id, code="withheld")
    return _ask_for_consent(session, proposal, row, plan)


def _refuse_many(session: Session, plan: Plan) -> None:
    """Raises PolicyRefusedError when enough plans of the caller wait for a person."""
    waiting = [
        row.id
        for row in session.store.list_open_plans(session.clock.now())
        if _asker_of(row) == plan.actor
    ]
    most = session.policy.consent.max_open
    if len(waiting) >= most:
        raise PolicyRefusedError(
            f"{len(waiting)} plans of {plan.actor} wait for consent already; the policy allows "
            f"{most} (`consent.max_open`)",
            hint=f"cancel what is not wanted: `pve plan list`, `pve plan cancel {waiting[0]}`; "
            "or wait for the person",
        )


def _asker_of(row: PlanRow) -> str:
    """Whose plan it is; empty for one that cannot be read.

    One that was to be done at once, and met a lock, counts until it expires: it can be applied.
    """
    try:
        return decode_plan(row.json).actor
    except StoreError:
        return ""


def _ask_for_consent(session: Session, proposal: Proposal, row: PlanRow, plan: Plan) -> Change:
    try:
        state = send_consent_code(session, row, plan)
    except (ConfigError, ConsentInvalidError) as error:
        return Change(proposal, row.id, code="failed", code_problem=error.message)
    return Change(proposal, row.id, code=state)


def send_consent_code(session: Session, row: PlanRow, plan: Plan) -> CodeState:
    """Send a fresh code for an open plan to the person, with its card; none that is too weak.

    Raises ConfigError when the sender fails, ConsentInvalidError after too many codes.
    """
    if session.policy.consent.level_for(plan.tier) == "G4":
        return "signature"
    if session.sender is None:
        return "no-sender"
    now = session.clock.now()
    send_code(
        session.store,
        row,
        neutralize_markup(render_card(plan, row.id, now, session.audit.head().hash)),
        session.sender,
        now=now,
        rules=session.policy.consent,
    )
    return "sent"


def _record_denial(session: Session, plan: Plan, verdict: Verdict) -> None:
    session.audit.append(
        "refused",
        {
            "operation": plan.operation,
            "tier": plan.tier,
            "profile": plan.profile,
            "actor": session.actor.label,
            "asserted": dict(session.actor.asserted),
            "targets": [item.target.lock_key for item in plan.items],
            "error": PolicyRefusedError.code,
            "message": "; ".join(verdict.reasons),
        },
    )
