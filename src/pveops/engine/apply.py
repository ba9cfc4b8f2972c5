"""One approved plan, executed once.

recompute the hash -> not expired -> consent -> not frozen -> claim (plan, consent and locks in
one transaction) -> each item: guards again, intent, call, wait, read back -> receipt
"""

from __future__ import annotations

import functools
import secrets
from collections.abc import Callable, Mapping, Sequence

import msgspec

from pveops.engine.approve import Consent, approve, check_marks, held_by, lock_keys
from pveops.engine.course import Course, Ending, is_begun, is_settled, prolong
from pveops.engine.executor import ItemRun
from pveops.engine.gate import judge_plan
from pveops.engine.outcome import PARTIAL, ItemOutcome, Receipt, is_open, sum_up
from pveops.engine.pool import IN_ALL, PER_NODE
from pveops.engine.process import hold_run, is_carried, own_mark
from pveops.engine.same_cluster import is_same_cluster
from pveops.engine.session import Session
from pveops.engine.stages import run_in_stages
from pveops.engine.store import Entry, PlanRow, RunRow
from pveops.engine.tools import Tools
from pveops.errors import (
    ConflictError,
    FrozenError,
    OutcomeUnknownError,
    PolicyRefusedError,
    PveopsError,
    StalePlanError,
    StoreError,
)
from pveops.operations.catalog import get_operation
from pveops.operations.plan import Item, Plan, canonical_json, decode_plan, plan_hash, plan_id

_KEEPS_LOCKS = frozenset({"unknown", "pending"})


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
    worked on). What happens after the claim is told by the receipt, not by exceptions, but for
    OutcomeUnknownError when there can be none: the store is broken.
    """
    row, plan = load_plan(session, plan_id_)
    run_id = "run_" + secrets.token_hex(5)
    with hold_run(session.store.folder, run_id):
        try:
            _check_open(session, row, plan)
            if not is_fresh:
                check_marks(session, plan)
            tools, run = approve(session, row, plan, consent, run_id)
        except PveopsError as error:
            _record_refusal(session, row, plan, error)
            raise
        if on_claimed is not None:
            on_claimed(run.id)
        return _carry_out(session, tools, run, plan, {})


def resume_run(
    session: Session, run_id: str, on_claimed: Callable[[str], None] | None = None
) -> Receipt:
    """Pick up a run whose process is gone, or whose outcome is not known yet.

    on_claimed: told the run's id as soon as it is ours, or is found to have ended.
    Raises NotFoundError; before anything was sent also ConflictError (its process still works on
    it, or a person has closed it), StalePlanError (it is another cluster's), FrozenError,
    PolicyRefusedError.
    """
    run = session.store.get_run(run_id)
    receipt = read_receipt(run)
    if run.state == "ended" and receipt and not _is_left(receipt):
        if on_claimed is not None:
            on_claimed(run.id)
        return receipt
    _check_free(session, run)
    row, plan = load_plan(session, run.plan)
    try:
        _check_allowed(session, run, plan)
    except PveopsError as error:
        _record_refusal(session, row, plan, error)
        raise
    with hold_run(session.store.folder, run.id) as is_ours:
        if not is_ours:
            raise _carried_by(run)
        # What was read before may be over by now: another process may have resumed it meanwhile.
        if session.store.get_run(run_id) != run:
            raise _picked_up(run)
        return _take_over(session, run, plan, on_claimed)


def _take_over(
    session: Session, run: RunRow, plan: Plan, on_claimed: Callable[[str], None] | None
) -> Receipt:
    told: dict[int, list[Entry]] = {index: [] for index in range(len(plan.items))}
    for entry in session.store.read_entries(run.id):
        told[entry.item].append(entry)
    tools = session.tools(plan.tier)
    _adopt(session, run, [plan.items[i] for i, entries in told.items() if not is_settled(entries)])
    if on_claimed is not None:
        on_claimed(run.id)
    return _carry_out(session, tools, run, prolong(plan, run), told)


def close_run(session: Session, run_id: str) -> int:
    """End a run for good, whatever is known of it, and let other runs work on its targets.

    For a person who has looked: nothing is sent, now or by anybody who resumes it. Gives the
    number of targets that were let go. Raises NotFoundError, ConflictError while a process
    carries it.
    """
    run = session.store.get_run(run_id)
    if run.state == "closed":
        return 0
    if run.state == "running" and is_carried(session.store.folder, run) is True:
        raise _carried_by(run)
    facts = {"run": run_id, "plan": run.plan, "actor": session.actor.label}
    session.audit.append("closed", {**facts, "asserted": dict(session.actor.asserted)})
    count = session.store.close_run(run, session.clock.now())
    if count is None:
        raise _picked_up(run)
    return count


def read_receipt(run: RunRow) -> Receipt | None:
    """The receipt of a run that ended."""
    return msgspec.json.decode(run.receipt, type=Receipt) if run.receipt else None


def _is_left(receipt: Receipt) -> bool:
    """Whether there is anything in a run that ended for `resume_run` to do."""
    unfinished = any(is_open(item.status, item.error) for item in receipt.items)
    return unfinished or receipt.exit_code == PARTIAL


# -- before the claim ------------------------------------------------------------


def _check_free(session: Session, run: RunRow) -> None:
    """Whether nobody is at it, and nobody has put an end to it."""
    if run.state == "closed":
        raise ConflictError(
            f"{run.id} was closed by a person; nothing more is done of it",
            hint=f"look with `pve run explain {run.id}`, and ask for what is left anew",
        )
    if run.state == "running":
        carried = is_carried(session.store.folder, run)
        if carried:
            raise _carried_by(run)
        if carried is None:
            raise ConflictError(
                f"{run.id} was begun by process {run.pid} on {run.host}, which cannot be seen "
                "from this host",
                hint="a person who knows that it is gone, at a terminal: "
                f"`pve run close {run.id}`",
            )


def _check_allowed(session: Session, run: RunRow, plan: Plan) -> None:
    """What went for the plan goes for what is left of it, under the policy of now."""
    is_same = is_same_cluster(session, plan.cluster)
    here = msgspec.structs.replace(plan, cluster=session.cluster) if is_same else plan
    _check_place(session, run.id, here, f"pve run resume {run.id}")
    if session.is_frozen():
        raise FrozenError("all changes are frozen; nothing is resumed meanwhile")
    verdict = judge_plan(session, plan)
    if verdict.action == "deny":
        raise PolicyRefusedError(
            f"the policy denies it by now: {'; '.join(verdict.reasons)}",
            hint="see the rules with `pve policy show`",
        )


def _check_place(session: Session, what: str, plan: Plan, command: str) -> None:
    """A plan holds where it was made, and nowhere else."""
    if plan.profile != session.profile:
        raise StalePlanError(
            f"{what} is about the cluster of the profile {plan.profile!r}, not of "
            f"{session.profile!r}",
            hint=f"{command} --profile {plan.profile}",
        )
    if plan.cluster != session.cluster:
        raise StalePlanError(
            f"{what} was made for the profile {plan.profile!r} as it was configured then",
            hint="ask for the operation again",
        )


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
    _check_place(session, row.id, plan, f"pve-apply {row.id}")
    if session.is_frozen():
        raise FrozenError("all changes are frozen")


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
        obstacle = session.store.reopen_run(run, lock_keys(session, left))
        if obstacle == "run":
            raise _picked_up(run)
        if obstacle is not None:
            raise held_by(obstacle.rpartition(":")[2])
        run = run._replace(state="running")
    heir = run._replace(pid=mark.pid, pid_started=mark.started, host=mark.host)
    if not session.store.adopt_run(run, heir):
        raise _picked_up(run)


def _carried_by(run: RunRow) -> ConflictError:
    return ConflictError(
        f"{run.id} is being carried out by process {run.pid} on {run.host}",
        hint=f"pve run wait {run.id}",
    )


def _picked_up(run: RunRow) -> ConflictError:
    return ConflictError(f"{run.id} was just picked up elsewhere", hint=f"pve run wait {run.id}")


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
    course.recall(told)
    runs = [
        ItemRun(tools, run.id, plan, index, functools.partial(course.find_trouble, index))
        for index in range(len(plan.items))
    ]

    def work(index: int) -> ItemOutcome:
        try:
            return carry(index)
        except StoreError as error:
            return _lost_with_store(run, plan.items[index], error)

    def carry(index: int) -> ItemOutcome:
        entries = told.get(index)
        if entries is None:
            return course.begin(index, runs[index].execute)
        is_over = is_settled(entries)
        if is_over or is_begun(entries):
            return course.go_on(lambda: runs[index].resume(entries), is_settled=is_over)
        return course.begin(index, lambda: runs[index].resume(entries))

    outcomes = run_in_stages(
        [item.target.node for item in plan.items],
        [item.stage for item in plan.items],
        work,
        per_node=1 if operation.is_one_per_node else PER_NODE,
        in_all=1 if operation.is_sequential else operation.in_flight or IN_ALL,
    )
    return _end(session, run, plan, outcomes, started, course.end(outcomes))


def _lost_with_store(run: RunRow, item: Item, error: StoreError) -> ItemOutcome:
    """The journal ended in the middle: the call may have been sent, and it has no other record."""
    return ItemOutcome(
        target=item.target,
        status="unknown",
        message=f"it cannot be told how far it got: {error.message}",
        exit_code=OutcomeUnknownError.exit_code,
        error=OutcomeUnknownError.code,
        hint=f"do not repeat it; settle it with `pve run resume {run.id}`",
        before=item.before,
    )


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
    try:
        session.store.end_run(
            run.id, msgspec.json.encode(receipt), session.clock.now(), keep_locks=keeps
        )
    except StoreError as error:
        ends = ", ".join(f"{item.target.label}: {item.status}" for item in items)
        raise OutcomeUnknownError(
            f"how {run.id} ended cannot be kept ({ends}): {error.message}",
            hint=f"do not repeat it; settle it with `pve run resume {run.id}`",
            details={"run": run.id},
        ) from error
    return receipt
