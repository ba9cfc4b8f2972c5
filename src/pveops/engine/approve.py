"""Whether a plan may be carried out: judged, consented to, and claimed, in that order.

The claim takes plan, consent and locks in one transaction.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal, NamedTuple

import msgspec

from pveops.domain.inventory import read_inventory
from pveops.engine.consent import check_code
from pveops.engine.consent_receipt import check_receipt
from pveops.engine.consent_signature import check_signature
from pveops.engine.gate import Verdict, count_for, judge_plan
from pveops.engine.marks import goes_by_pools, same_to_the_policy
from pveops.engine.process import own_mark
from pveops.engine.same_cluster import list_fingerprints
from pveops.engine.session import Session
from pveops.engine.store import Count, PlanRow, RunRow
from pveops.engine.tools import Tools
from pveops.errors import (
    ConflictError,
    ConsentInvalidError,
    ConsentRequiredError,
    PolicyRefusedError,
    PveopsError,
    StalePlanError,
)
from pveops.operations.operation import Tier
from pveops.operations.plan import Item, Plan
from pveops.sanitize import sanitize_text

if TYPE_CHECKING:
    from pveops.config.policy import Level

_MAX_APPROVER = 80

ConsentKind = Literal["policy", "grant", "terminal", "code", "receipt", "signature"]
_LEVELS: dict[ConsentKind, Level] = {
    "terminal": "G1",
    "code": "G2",
    "receipt": "G2",
    "signature": "G4",
}


class Consent(NamedTuple):
    """How a person agreed, or why nobody had to.

    kind: `policy` (the gate lets it through), `grant` (a standing grant does), `terminal` (asked
    in place, G1), `code` (G2), `receipt` (an agent's own prompt, G2), `signature` (G4).
    text: the code, what the person typed, the receipt, or the signature.
    """

    kind: ConsentKind
    text: str = ""


def check_marks(session: Session, plan: Plan) -> None:
    """Raises StalePlanError when a guest has got, or lost, what the policy goes by.

    Raises UnreachableError, AuthenticationError when nobody can look: nothing is spent then.
    Tags and names stand in the configuration; where its digest is guarded, the guards tell.
    """
    items = [item for item in plan.items if item.target.kind in {"qemu", "lxc"}]
    if not goes_by_pools(session.policy):
        items = [item for item in items if "digest" not in item.guards]
    planned = [item.target for item in items]
    if all(target.is_new for target in planned):
        return
    inventory = read_inventory(session.reader)
    guests = {str(guest.vmid): guest for guest in inventory.guests}
    for target in planned:
        guest = guests.get(target.id)
        if guest is None or target.is_new:
            continue  # its guards tell
        present = msgspec.structs.replace(target, tags=guest.tags, pool=guest.pool)
        if not same_to_the_policy(session.policy, target, present):
            raise StalePlanError(
                f"{target.label} has got or lost a tag or a pool that the policy goes by",
                hint="ask for the operation again to get a plan of the present state",
                details={"tags": list(guest.tags), "pool": guest.pool},
            )


def approve(
    session: Session, row: PlanRow, plan: Plan, consent: Consent, run_id: str
) -> tuple[Tools, RunRow]:
    """Judge a plan, check the consent, and claim it for a run of that id.

    What was counted still holds at the claim. Raises PolicyRefusedError, ConsentRequiredError,
    ConsentInvalidError, ConflictError, StalePlanError; then nothing is claimed.
    """
    while True:
        count = None
        if consent.kind in {"policy", "grant"}:
            count = count_for(session, plan, is_granted=consent.kind == "grant")
        recent = count.number if count and consent.kind == "policy" else 0
        verdict = judge_plan(session, plan, recent)
        approver = _check_consent(session, row, plan, verdict, consent)
        run = _new_run(session, row, run_id, consent, approver)
        try:
            tools = session.tools(plan.tier)  # a token that is not there spends no plan
            is_claimed = _claim(session, row, plan, run, count)
        except PveopsError:
            if consent.kind == "code":
                session.store.give_try_back(row.id)
            raise
        if is_claimed:
            return tools, run


def _check_consent(
    session: Session, row: PlanRow, plan: Plan, verdict: Verdict, consent: Consent
) -> str:
    """Who agreed, where that is known."""
    if verdict.action == "deny":
        raise PolicyRefusedError(f"the policy denies it: {'; '.join(verdict.reasons)}")
    _check_level(session, row, plan, verdict, consent)
    if consent.kind == "code":
        check_code(session.store, row, consent.text, now=session.clock.now())
        return ""
    if consent.kind == "receipt":
        return check_receipt(session.receipt_key, row, consent.text, now=session.clock.now())
    if consent.kind == "signature":
        return check_signature(session.policy.consent.allowed_signers, row, plan, consent.text)
    if consent.kind == "terminal":
        _check_typed(plan, verdict, consent.text)
        return ""
    if verdict.action != "at_once":
        raise ConsentRequiredError(
            f"{row.id} needs a person's consent: {'; '.join(verdict.reasons)}",
            hint=how_to_agree(session, row.id, max(plan.tier, verdict.tier)),
        )
    if verdict.is_granted is not (consent.kind == "grant"):
        raise ConsentRequiredError(
            f"{row.id} is let through by "
            + ("a grant now" if verdict.is_granted else "no grant any more"),
            hint=f"pve-apply {row.id}",
        )
    return ""


def how_to_agree(session: Session, plan_id_: str, tier: int) -> str:
    """The next command on the way to consent that is strong enough for the tier."""
    rules = session.policy.consent
    if rules.level_for(tier) == "G4":
        return f"pve plan challenge {plan_id_}"
    if session.sender is not None:
        return f"pve-apply {plan_id_} --code CODE"
    way = "name a way in `consent` of the profile, then `pve plan code {}`"
    if rules.terminal_tier3 if tier >= Tier.IRREVERSIBLE else rules.terminal:
        way = "a person at a terminal: `pve-apply {}`; or name a way in `consent` of the profile"
    return way.format(plan_id_)


def _check_level(
    session: Session, row: PlanRow, plan: Plan, verdict: Verdict, consent: Consent
) -> None:
    """Whether that way of consenting is strong enough for the tier."""
    level = _LEVELS.get(consent.kind)
    tier = max(plan.tier, verdict.tier)
    wanted = session.policy.consent.level_for(tier)
    if level is not None and level < wanted:
        raise ConsentInvalidError(
            f"the policy asks for consent of level {wanted} to tier {tier}",
            hint=how_to_agree(session, row.id, tier),
        )


def _check_typed(plan: Plan, verdict: Verdict, text: str) -> None:
    """Level G1: `yes` for tier 2, the guest's name for tier 3."""
    if not verdict.terminal_is_enough:
        raise ConsentInvalidError("the policy asks for more than a word typed at a terminal")
    if plan.tier >= Tier.IRREVERSIBLE:
        wanted = plan.items[0].target.name if len(plan.items) == 1 else str(len(plan.items))
    else:
        wanted = "yes"
    if text.strip() != wanted:
        raise ConsentInvalidError(f"not confirmed: {wanted!r} was not typed; nothing was changed")


def _new_run(
    session: Session, row: PlanRow, run_id: str, consent: Consent, approver: str
) -> RunRow:
    mark = own_mark()
    by = f" by {sanitize_text(approver, _MAX_APPROVER)}" if approver else ""
    return RunRow(
        id=run_id,
        plan=row.id,
        state="running",
        consent=f"{consent.kind}{by}",
        created=int(session.clock.now()),
        ended=None,
        pid=mark.pid,
        pid_started=mark.started,
        host=mark.host,
        receipt=None,
    )


def _claim(session: Session, row: PlanRow, plan: Plan, run: RunRow, count: Count | None) -> bool:
    """False: more was done meanwhile than was counted."""
    keys = lock_keys(session, plan.items)
    spends_consent = run.consent == "code"
    obstacle = session.store.claim(run, keys, spends_consent=spends_consent, count=count)
    if obstacle is None:
        return True
    if obstacle == "count":
        return False
    if obstacle.startswith("lock:"):
        raise held_by(obstacle.rpartition(":")[2])
    if obstacle == "consent":
        raise ConsentInvalidError(f"the code for {row.id} was spent already")
    raise StalePlanError(f"{row.id} was applied already; a plan is applied once")


def lock_keys(session: Session, items: Sequence[Item]) -> tuple[str, ...]:
    """Each target once for every fingerprint of the cluster."""
    places = sorted(list_fingerprints(session))
    keys = (f"{place}/{item.target.lock_key}" for item in items for place in places)
    return tuple(dict.fromkeys(keys))


def held_by(other: str) -> ConflictError:
    """What is told of a target that another run works on."""
    return ConflictError(
        f"another run works on the same target: {other}",
        hint=f"`pve run wait {other}`; if its process is gone, `pve run resume {other}`",
        details={"run": other},
    )
