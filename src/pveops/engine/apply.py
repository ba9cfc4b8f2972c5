"""One approved plan, executed once.

recompute the hash -> not expired -> consent -> not frozen -> claim (plan, consent and locks in
one transaction) -> each item: guards again, intent, call, wait, read back -> receipt
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Literal, NamedTuple

import msgspec

from pveops.domain.inventory import read_inventory
from pveops.engine.consent import check_code
from pveops.engine.consent_receipt import check_receipt
from pveops.engine.consent_signature import check_signature
from pveops.engine.course import Course, Ending, is_settled, prolong
from pveops.engine.executor import ItemRun
from pveops.engine.gate import Verdict, count_for, judge_plan
from pveops.engine.marks import same_to_the_policy
from pveops.engine.outcome import PARTIAL, ItemOutcome, Receipt, sum_up
from pveops.engine.pool import IN_ALL, PER_NODE
from pveops.engine.process import ProcessMark, is_alive, own_mark
from pveops.engine.session import Session
from pveops.engine.stages import run_in_stages
from pveops.engine.store import Count, Entry, PlanRow, RunRow
from pveops.engine.tools import Tools
from pveops.errors import (
    AuthenticationError,
    ConflictError,
    ConsentInvalidError,
    ConsentRequiredError,
    FrozenError,
    PolicyRefusedError,
    PveopsError,
    StalePlanError,
    StoreError,
    UnreachableError,
)
from pveops.operations.catalog import get_operation
from pveops.operations.operation import Tier
from pveops.operations.plan import Item, Plan, canonical_json, decode_plan, plan_hash, plan_id

if TYPE_CHECKING:
    from pveops.config.policy import Level

_KEEPS_LOCKS = frozenset({"unknown", "pending"})


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


def store_plan(session: Session, plan: Plan) -> PlanRow:
    """Keep a plan so that it can be consented to and applied."""
    encoded = canonical_json(plan)
    row = PlanRow(
        id=plan_id(encoded),
        json=encoded,
        hash=plan_hash(encoded),
        operation=plan.operation,
        created=plan.created,
        expires=plan.expires,
        state="open",
        run=None,
    )
    session.store.add_plan(row)
    return row


def load_plan(session: Session, plan_id_: str) -> tuple[PlanRow, Plan]:
    """A stored plan whose hash was computed anew.

    Raises NotFoundError, or StoreError when the plan is not what its id says.
    """
    row = session.store.get_plan(plan_id_)
    if plan_hash(row.json) != row.hash or plan_id(row.json) != row.id:
        raise StoreError(
            f"the stored plan {row.id} was changed after it was made; it will not be applied",
            hint=f"pve plan cancel {row.id}",
        )
    return row, decode_plan(row.json)


def apply_plan(
    session: Session,
    plan_id_: str,
    consent: Consent,
    on_claimed: Callable[[str], None] | None = None,
    *,
    is_fresh: bool = False,
) -> Receipt:
    """Execute a stored plan once and give its receipt.

    on_claimed: told the run's id as soon as it exists. is_fresh: the plan was made just now, and
    its guests need not be looked up again for what the policy goes by.
    Raises before anything was sent: NotFoundError, StalePlanError (expired, or used), FrozenError,
    PolicyRefusedError, ConsentRequiredError, ConsentInvalidError, ConflictError (a target is being
    worked on). What happens after the claim is told by the receipt, not by exceptions.
    """
    row, plan = load_plan(session, plan_id_)
    try:
        _check_open(session, row, plan)
        if not is_fresh:
            _check_marks(session, plan)
        tools, run = _approve(session, row, plan, consent)
    except PveopsError as error:
        _record_refusal(session, row, plan, error)
        raise
    if on_claimed is not None:
        on_claimed(run.id)
    return _carry_out(session, tools, run, plan, {})


def resume_run(session: Session, run_id: str) -> Receipt:
    """Pick up a run whose process is gone, or whose outcome is not known yet.

    Raises NotFoundError, ConflictError when its process still works on it.
    """
    run = session.store.get_run(run_id)
    receipt = read_receipt(run)
    is_open = receipt is None or receipt.status in _KEEPS_LOCKS or receipt.exit_code == PARTIAL
    if run.state == "ended" and receipt and not is_open:
        return receipt
    _, plan = load_plan(session, run.plan)
    told: dict[int, list[Entry]] = {index: [] for index in range(len(plan.items))}
    for entry in session.store.read_entries(run_id):
        told[entry.item].append(entry)
    tools = session.tools(plan.tier)
    _adopt(session, run, [plan.items[i] for i, entries in told.items() if not is_settled(entries)])
    return _carry_out(session, tools, run, prolong(plan, run), told)


def close_run(session: Session, run_id: str) -> int:
    """Let other runs work on the targets of a run that ended without a known outcome.

    For a person who has looked: nothing is sent. Gives the number of targets that were let go.
    Raises NotFoundError, ConflictError while the run has not ended.
    """
    run = session.store.get_run(run_id)
    if run.state != "ended":
        raise ConflictError(f"{run_id} has not ended", hint=f"pve run resume {run_id}")
    facts = {"run": run_id, "plan": run.plan, "actor": session.actor.label}
    session.audit.append("closed", {**facts, "asserted": dict(session.actor.asserted)})
    return session.store.release_locks(run_id)


def read_receipt(run: RunRow) -> Receipt | None:
    """The receipt of a run that ended."""
    return msgspec.json.decode(run.receipt, type=Receipt) if run.receipt else None


# -- before the claim ------------------------------------------------------------


def _check_open(session: Session, row: PlanRow, plan: Plan) -> None:
    if row.state == "claimed":
        raise StalePlanError(
            f"{row.id} was applied already; a plan is applied once",
            hint=f"pve run show {row.run}",
            details={"run": row.run},
        )
    if row.state == "cancelled":
        raise StalePlanError(f"{row.id} was cancelled", hint="ask for the operation again")
    if session.clock.now() >= plan.expires:
        raise StalePlanError(f"{row.id} has expired", hint="ask for the operation again")
    if plan.cluster != session.cluster or plan.profile != session.profile:
        raise StalePlanError(
            f"{row.id} was made for the profile {plan.profile!r} as it was configured then",
            hint="ask for the operation again",
        )
    if session.is_frozen():
        raise FrozenError("all changes are frozen")


def _check_marks(session: Session, plan: Plan) -> None:
    """Raises StalePlanError when a guest has got, or lost, what the policy goes by."""
    planned = [item.target for item in plan.items if item.target.kind in {"qemu", "lxc"}]
    if all(target.is_new for target in planned):
        return
    try:
        inventory = read_inventory(session.reader)
    except (AuthenticationError, UnreachableError):
        # Nor are the guards read then, right after this, and so nothing is sent. The run tells.
        return
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


def _approve(session: Session, row: PlanRow, plan: Plan, consent: Consent) -> tuple[Tools, RunRow]:
    """Judge it, check the consent, and claim it: what was counted still holds at the claim."""
    while True:
        count = None
        if consent.kind in {"policy", "grant"}:
            count = count_for(session, plan, is_granted=consent.kind == "grant")
        recent = count.number if count and consent.kind == "policy" else 0
        verdict = judge_plan(session, plan, recent)
        _check_consent(session, row, plan, verdict, consent)
        try:
            tools = session.tools(plan.tier)  # a token that is not there spends no plan
            run = _claim(session, row, plan, consent, count)
        except PveopsError:
            if consent.kind == "code":
                session.store.give_try_back(row.id)
            raise
        if run is not None:
            return tools, run


def _check_consent(
    session: Session, row: PlanRow, plan: Plan, verdict: Verdict, consent: Consent
) -> None:
    if verdict.action == "deny":
        raise PolicyRefusedError(f"the policy denies it: {'; '.join(verdict.reasons)}")
    _check_level(session, row, plan, verdict, consent)
    if consent.kind == "code":
        check_code(session.store, row, consent.text, now=session.clock.now())
        return
    if consent.kind == "receipt":
        check_receipt(session.receipt_key, row, consent.text, now=session.clock.now())
        return
    if consent.kind == "signature":
        check_signature(session.policy.consent.allowed_signers, row, plan, consent.text)
        return
    if consent.kind == "terminal":
        _check_typed(plan, verdict, consent.text)
        return
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


def _claim(
    session: Session, row: PlanRow, plan: Plan, consent: Consent, count: Count | None
) -> RunRow | None:
    """None: more was done meanwhile than was counted."""
    mark = own_mark()
    run = RunRow(
        id="run_" + secrets.token_hex(5),
        plan=row.id,
        state="running",
        consent=consent.kind,
        created=int(session.clock.now()),
        ended=None,
        pid=mark.pid,
        pid_started=mark.started,
        host=mark.host,
        receipt=None,
    )
    keys = _lock_keys(session, plan.items)
    obstacle = session.store.claim(run, keys, spends_consent=consent.kind == "code", count=count)
    if obstacle is None:
        return run
    if obstacle == "count":
        return None
    if obstacle.startswith("lock:"):
        raise _held_by(obstacle.rpartition(":")[2])
    if obstacle == "consent":
        raise ConsentInvalidError(f"the code for {row.id} was spent already")
    raise StalePlanError(f"{row.id} was applied already; a plan is applied once")


def _lock_keys(session: Session, items: Sequence[Item]) -> tuple[str, ...]:
    keys = (f"{session.cluster}/{item.target.lock_key}" for item in items)
    return tuple(dict.fromkeys(keys))


def _held_by(other: str) -> ConflictError:
    return ConflictError(
        f"another run works on the same target: {other}",
        hint=f"`pve run wait {other}`; if its process is gone, `pve run resume {other}`",
        details={"run": other},
    )


def _record_refusal(session: Session, row: PlanRow, plan: Plan, error: PveopsError) -> None:
    session.audit.append(
        "refused",
        {
            "plan": row.id,
            "operation": plan.operation,
            "tier": plan.tier,
            "profile": plan.profile,
            "actor": session.actor.label,
            "asserted": dict(session.actor.asserted),
            "targets": [item.target.lock_key for item in plan.items],
            "error": error.code,
            "message": error.message,
        },
    )


def _adopt(session: Session, run: RunRow, left: Sequence[Item]) -> None:
    """left: the items of which it is not known yet what becomes of them."""
    mark = own_mark()
    if run.state == "ended":
        obstacle = session.store.reopen_run(run, _lock_keys(session, left))
        if obstacle is not None:
            raise _held_by(obstacle.rpartition(":")[2])
    elif is_alive(ProcessMark(run.pid, run.pid_started, run.host)) is not False:
        own = ProcessMark(run.pid, run.pid_started, run.host) == mark
        if not own:
            raise ConflictError(
                f"{run.id} is being carried out by process {run.pid} on {run.host}",
                hint=f"pve run wait {run.id}",
            )
    heir = run._replace(pid=mark.pid, pid_started=mark.started, host=mark.host)
    if not session.store.adopt_run(run.id, run, heir):
        raise ConflictError(
            f"{run.id} was just picked up elsewhere", hint=f"pve run wait {run.id}"
        )


# -- after the claim ---------------------------------------------------------------


def _carry_out(
    session: Session,
    tools: Tools,
    run: RunRow,
    plan: Plan,
    told: Mapping[int, Sequence[Entry]],
) -> Receipt:
    """told: what the journal holds of each item, when the run is resumed."""
    started = session.clock.now()
    operation = get_operation(plan.operation)
    course = Course(tools.reader, run.id, plan, operation)
    runs = [ItemRun(tools, run.id, plan, index) for index in range(len(plan.items))]

    def work(index: int) -> ItemOutcome:
        entries = told.get(index)
        if entries:
            return course.go_on(
                lambda: runs[index].resume(entries), is_settled=is_settled(entries)
            )
        begin = runs[index].execute if entries is None else lambda: runs[index].resume(())
        return course.begin(plan.items[index].target, begin)

    outcomes = run_in_stages(
        [item.target.node for item in plan.items],
        [item.stage for item in plan.items],
        work,
        per_node=1 if operation.is_one_per_node else PER_NODE,
        in_all=1 if operation.is_sequential else operation.in_flight or IN_ALL,
    )
    return _end(session, run, plan, outcomes, started, course.end(outcomes))


def _end(
    session: Session,
    run: RunRow,
    plan: Plan,
    items: tuple[ItemOutcome, ...],
    started: float,
    ending: Ending,
) -> Receipt:
    status, exit_code = sum_up(items)
    if exit_code == 0 and not ending.is_done:
        status, exit_code = "partial", PARTIAL
    last = max(items, key=lambda item: item.audit_seq)
    receipt = Receipt(
        run=run.id,
        plan=run.plan,
        operation=get_operation(plan.operation).id,
        status=status,
        exit_code=exit_code,
        items=items,
        consent=run.consent,
        started=started,
        ended=session.clock.now(),
        audit_seq=last.audit_seq,
        audit_head=last.audit_head,
        remark=ending.remark,
    )
    keeps = any(item.status in _KEEPS_LOCKS for item in items)
    session.store.end_run(
        run.id, msgspec.json.encode(receipt), session.clock.now(), keep_locks=keeps
    )
    return receipt
