"""`pve run`: what was begun, what became of it, and picking up what was left."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from pveops.cli.answer import Answer, Column, Facts, Lines, Listing, Written
from pveops.cli.call import Call
from pveops.cli.cells import count_of
from pveops.cli.commands import Group, list_options, wait_option
from pveops.errors import PendingError

if TYPE_CHECKING:
    from pveops.cli.detach import OnClaimed
    from pveops.engine.explain import Explanation
    from pveops.engine.store import RunRow, Store

group = Group("run", help="Runs: plans being carried out, and their receipts.")

_COLUMNS = (
    Column("id"),
    Column("state"),
    Column("operation"),
    Column("targets"),
    Column("created", "begun", kind="time"),
    Column("plan"),
)
_FIELDS = (*(column.key for column in _COLUMNS), "ended", "consent", "exit_code")
_EXPLAINED = ("id", "name", "status", "happened", "missing", "why", "steps")
_EXPLAINED_COLUMNS = (
    Column("id"),
    Column("name"),
    Column("status"),
    Column("happened", "has happened", is_sparse=True),
    Column("missing", "has not, or is not known", is_sparse=True),
    Column("why", is_sparse=True),
)
_FIRST_LOOK_S = 0.2
_LOOK_S = 1.0


@group.command("list", operation="run.list")
@list_options
@click.pass_obj
def list_runs(call: Call) -> Answer:
    """List runs, the newest first."""
    store = call.wiring.store
    rows = [look_at(store, row) for row in store.list_runs(500)]
    open_ = sum(row.state == "running" for row, _ in rows)
    listing = Listing(rows, lambda seen: _item(call, *seen), _FIELDS, _COLUMNS)
    lost = next((row for row, state in rows if state == "abandoned"), None)
    next_ = (f"pve run resume {lost.id}",) if lost is not None else ()
    return Answer(
        f"{count_of(len(rows), 'run')}, {open_} not ended", blocks=(listing,), next=next_
    )


def _state(row: RunRow) -> str:
    """`running`, `abandoned` (its process is gone), or the receipt's word."""
    from pveops.engine.apply import read_receipt
    from pveops.engine.process import ProcessMark, is_alive

    if row.state == "running":
        mark = ProcessMark(row.pid, row.pid_started, row.host)
        return "abandoned" if is_alive(mark) is False else "running"
    receipt = read_receipt(row)
    return receipt.status if receipt is not None else row.state


def look_at(store: Store, row: RunRow) -> tuple[RunRow, str]:
    """The row, and its state. Where its process is gone it may have ended since it was read."""
    state = _state(row)
    if state != "abandoned":
        return row, state
    again = store.get_run(row.id)
    return again, _state(again)


def _item(call: Call, row: RunRow, state: str) -> dict[str, Any]:
    from pveops.engine.apply import read_receipt
    from pveops.operations.plan import decode_plan

    plan_row = call.wiring.store.get_plan(row.plan)
    plan = decode_plan(plan_row.json)
    receipt = read_receipt(row)
    return {
        "id": row.id,
        "state": state,
        "operation": plan.operation,
        "targets": ",".join(item.target.id for item in plan.items[:8]),
        "created": row.created,
        "plan": row.plan,
        "ended": row.ended,
        "consent": row.consent,
        "exit_code": receipt.exit_code if receipt is not None else None,
    }


@group.command("show", operation="run.show")
@click.argument("run")
@click.pass_obj
def show_run(call: Call, run: str) -> Answer:
    """Show what became of a run. Exit 0 whatever that was: this only looks."""
    store = call.wiring.store
    return _told(call, *look_at(store, store.get_run(run)))._replace(code=0, error=None)


@group.command("explain", operation="run.explain")
@click.argument("run")
@click.pass_obj
def explain(call: Call, run: str) -> Answer:
    """Explain what a run has left behind, and which steps make it whole.

    What may have happened is never offered for repetition; what only a person can decide is
    marked so.
    """
    from pveops.engine.apply import read_receipt
    from pveops.engine.explain import explain_run
    from pveops.operations.plan import decode_plan

    store = call.wiring.store
    row, state = look_at(store, store.get_run(run))
    plan = decode_plan(store.get_plan(row.plan).json)
    entries, is_at_work = store.read_entries(row.id), state == "running"
    receipt = None if is_at_work else read_receipt(row)
    rows = explain_run(row.id, plan, receipt, entries, is_at_work=is_at_work)
    open_ = [each for each in rows if each.status not in {"done", "already"}]
    steps = tuple(dict.fromkeys(step for each in open_ for step in each.steps))
    commands = tuple(step for step in steps if step.startswith("pve "))
    people = tuple(step for step in steps if not step.startswith("pve "))
    verdict = (
        f"{row.id} ({plan.operation}): {len(rows) - len(open_)} of {len(rows)} are whole"
        if open_
        else f"{row.id} ({plan.operation}) is whole: nothing is left to do"
    )
    listing = Listing(rows, _explained, _EXPLAINED, _EXPLAINED_COLUMNS)
    return Answer(verdict, blocks=(listing, Lines(people)), next=commands[:6])


def _explained(row: Explanation) -> dict[str, Any]:
    return {
        key: list(value) if isinstance(value, tuple) else value
        for key, value in row._asdict().items()
    }


@group.command("wait", operation="run.wait")
@click.argument("run")
@wait_option
@click.pass_obj
def wait_run(call: Call, run: str) -> Answer:
    """Wait for the end of a run; the exit code is the run's own.

    A person waits as long as it takes. Anybody else gets `pending` (exit 8) in time.
    """
    from pveops.cli.detach import patience_s

    store = call.wiring.store
    pause_s = _FIRST_LOOK_S
    while True:
        row, state = look_at(store, store.get_run(run))
        left_s = patience_s(call)
        if state != "running" or (left_s is not None and left_s <= 0):
            return _told(call, row, state)
        call.clock.sleep(pause_s if left_s is None else min(pause_s, left_s))
        pause_s = min(_LOOK_S, pause_s * 2)


def _told(call: Call, row: RunRow, state: str) -> Answer:
    from pveops.cli.changes import answer_of_receipt
    from pveops.cli.failure import answer_of_error
    from pveops.engine.apply import read_receipt

    receipt = read_receipt(row)
    if state not in {"running", "abandoned"} and receipt is not None:
        return _with_message(call, row, answer_of_receipt(receipt))
    from pveops.cli.run_progress import describe_progress, list_progress

    facts = _item(call, row, state)
    progress = list_progress(call, row)
    what = f"{row.id} ({facts['operation']} of {facts['targets']})"
    if state == "running":
        error = PendingError(
            f"{what} is being carried out: {describe_progress(progress)}",
            hint=f"pve run wait {row.id}",
            details={"run": row.id},
        )
    else:
        error = PendingError(
            f"{what} was left unfinished ({describe_progress(progress)}): its process is gone",
            hint=f"pve run resume {row.id}",
            details={"run": row.id},
        )
    verdict = f"pending: {error.message}"
    answer = answer_of_error("", error)
    answer = answer._replace(verdict=verdict, data=facts, changed=None, blocks=(progress,))
    return _with_message(call, row, answer)


def _with_message(call: Call, row: RunRow, answer: Answer) -> Answer:
    """The answer, with what became of the message to the person, where one was called for."""
    from pveops.cli.cells import format_time
    from pveops.engine.telling import find_telling

    telling = find_telling(call.wiring.store, row.id)
    if telling is None:
        return answer
    when = format_time(telling.at)
    text = {
        "promised": "the person gets one when it ends",
        "sending": f"begun {when}; whether it arrived is not known",
        "sent": f"the person got one ({when})",
        "failed": f"the person could not be told ({when}): {telling.problem}",
        "seen": f"none: a person was there at the end ({when})",
    }[telling.state]
    data = {**(answer.data or {}), "message": telling._asdict()}
    return answer._replace(data=data, blocks=(*answer.blocks, Facts((("message", text),))))


@group.command("resume", operation="run.resume")
@click.argument("run")
@wait_option
@click.pass_obj
def resume(call: Call, run: str) -> Answer | Written:
    """Pick up a run whose process is gone, or whose outcome is not known.

    It looks what has happened before it does anything; nothing is ever sent twice.
    """
    from pveops.cli.detach import carry

    def work(claimed: OnClaimed) -> Answer:
        from pveops.cli.changes import answer_of_receipt
        from pveops.engine.apply import resume_run

        session = call.wiring.session()
        row = session.store.get_run(run)
        claimed(row.id)
        return answer_of_receipt(resume_run(session, row.id))

    return carry(call, work)


@group.command("close", operation="run.close")
@click.argument("run")
@click.pass_obj
def close(call: Call, run: str) -> Answer:
    """Let go of the targets of a run whose outcome stays unknown. For a person who has looked."""
    from pveops.engine.apply import close_run
    from pveops.errors import PolicyRefusedError

    if not call.is_person:
        raise PolicyRefusedError(
            "only a person at a terminal closes a run", hint="ask your human to look and do it"
        )
    if call.ask(f"type {run} to say that you have looked at its targets") != run:
        raise PolicyRefusedError("not confirmed; the run stays as it is")
    count = close_run(call.wiring.session(), run)
    return Answer(f"closed: {run} holds none of its {count_of(count, 'target')} any more")
