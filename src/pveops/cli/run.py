"""`pve run`: what was begun, what became of it, and picking up what was left."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from pveops.cli.answer import Answer, Column, Facts, Lines, Listing, Written
from pveops.cli.call import Call
from pveops.cli.cells import count_of, first_of
from pveops.cli.commands import Group, list_options, wait_option
from pveops.errors import PartialError, PendingError, PveopsError

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
    # However long ago it was begun, what has not ended is listed.
    known = {row.id: row for row in (*store.list_runs(500), *store.list_open_runs()[::-1])}
    rows = [look_at(store, row) for row in known.values()]
    open_ = sum(row.state == "running" for row, _ in rows)
    listing = Listing(rows, lambda seen: _item(call, *seen), _FIELDS, _COLUMNS)
    lost = next((row for row, state in rows if state == "abandoned"), None)
    next_ = (f"pve run resume {lost.id}",) if lost is not None else ()
    return Answer(
        f"{count_of(len(rows), 'run')}, {open_} not ended", blocks=(listing,), next=next_
    )


def _state(store: Store, row: RunRow) -> str:
    """`running`, `abandoned`, `elsewhere`, `closed`, or the receipt's word.

    Abandoned: its process is gone. Elsewhere: it is another host's, and cannot be seen from here.
    """
    from pveops.engine.apply import read_receipt
    from pveops.engine.process import is_carried

    if row.state == "running":
        carried = is_carried(store.folder, row)
        return {True: "running", False: "abandoned", None: "elsewhere"}[carried]
    receipt = read_receipt(row)
    return receipt.status if receipt is not None and row.state == "ended" else row.state


def look_at(store: Store, row: RunRow) -> tuple[RunRow, str]:
    """The row, and its state. Where its process is gone it may have ended since it was read."""
    state = _state(store, row)
    if state != "abandoned":
        return row, state
    again = store.get_run(row.id)
    return again, _state(store, again)


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
        "targets": first_of([item.target.id for item in plan.items]),
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
    return _told(call, *look_at(call.wiring.store, _find(call, run)))._replace(code=0, error=None)


def _find(call: Call, run: str) -> RunRow:
    """The run; what is asked of the cluster from now on is asked of its own."""
    from pveops.operations.plan import decode_plan

    store = call.wiring.store
    row = store.get_run(run)
    call.wiring.follow(decode_plan(store.get_plan(row.plan).json).profile)
    return row


@group.command("explain", operation="run.explain")
@click.argument("run")
@click.pass_obj
def explain(call: Call, run: str) -> Answer:
    """Explain what a run has left behind, and which steps make it whole.

    What may have happened is never offered for repetition; what only a person can decide is
    marked so.
    """
    from pveops.engine.apply import read_receipt
    from pveops.engine.explain import Progress, explain_run
    from pveops.operations.plan import decode_plan

    store = call.wiring.store
    row, state = look_at(store, store.get_run(run))
    plan = decode_plan(store.get_plan(row.plan).json)
    is_at_work = state in {"running", "elsewhere"}
    progress = Progress(
        None if is_at_work else read_receipt(row),
        store.read_entries(row.id),
        is_at_work=is_at_work,
        is_closed=state == "closed",
    )
    rows = explain_run(row.id, plan, progress)
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
    _find(call, run)
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
    if state not in {"running", "abandoned", "elsewhere"} and receipt is not None:
        answer = _with_message(call, row, answer_of_receipt(receipt))
        if state != "closed":
            return answer
        verdict = f"{answer.verdict}; a person has closed it, and nothing more is done of it"
        return answer._replace(verdict=verdict, next=(f"pve run explain {row.id}",))
    from pveops.cli.run_progress import describe_progress, list_progress

    facts = _item(call, row, state)
    progress = list_progress(call, row)
    what = f"{row.id} ({facts['operation']} of {facts['targets']})"
    error: PveopsError
    if state == "running":
        error = PendingError(
            f"{what} is being carried out: {describe_progress(progress)}",
            hint=f"pve run wait {row.id}",
            details={"run": row.id},
        )
    elif state == "closed":
        error = PartialError(
            f"{what} was closed by a person ({describe_progress(progress)}); nothing more is done",
            hint=f"pve run explain {row.id}",
            details={"run": row.id},
        )
    elif state == "elsewhere":
        error = PendingError(
            f"{what} was begun on {row.host}, and from here nobody sees whether it goes on there "
            f"({describe_progress(progress)})",
            hint=f"on {row.host}: `pve run wait {row.id}`; a person who knows that it is gone, at "
            f"a terminal: `pve run close {row.id}`",
            details={"run": row.id},
        )
    else:
        error = PendingError(
            f"{what} was left unfinished ({describe_progress(progress)}): its process is gone",
            hint=f"pve run resume {row.id}",
            details={"run": row.id},
        )
    verdict = f"{'closed' if state == 'closed' else 'pending'}: {error.message}"
    answer = answer_of_error("", error)
    answer = answer._replace(verdict=verdict, data=facts, changed=None, blocks=(progress,))
    return _with_message(call, row, answer)


def _with_message(call: Call, row: RunRow, answer: Answer) -> Answer:
    """The answer, with what became of the message to the person, where one was called for."""
    from pveops.engine.telling import find_telling
    from pveops.units import format_utc

    telling = find_telling(call.wiring.store, row.id)
    if telling is None:
        return answer
    when = format_utc(telling.at)
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

        row = _find(call, run)
        return answer_of_receipt(resume_run(call.wiring.session(), row.id, claimed))

    return carry(call, work)


@group.command("close", operation="run.close")
@click.argument("run")
@click.pass_obj
def close(call: Call, run: str) -> Answer:
    """End a run for good and let go of its targets. For a person who has looked.

    For an outcome that stays unknown, or to withdraw what was agreed to and was left unfinished.
    """
    from pveops.engine.apply import close_run
    from pveops.errors import PolicyRefusedError

    if not call.is_person:
        raise PolicyRefusedError(
            "only a person at a terminal closes a run", hint="ask your human to look and do it"
        )
    if call.ask(f"type {run} to say that you have looked at its targets") != run:
        raise PolicyRefusedError("not confirmed; the run stays as it is")
    _find(call, run)
    count = close_run(call.wiring.session(), run)
    told = f"; it holds none of its {count_of(count, 'target')} any more" if count else ""
    return Answer(f"closed: nothing more is done of {run}{told}")
