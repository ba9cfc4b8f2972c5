"""`pve audit`: the record of every change."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click

from pveops.cli.answer import Answer, Column, Lines, Listing
from pveops.cli.call import Call
from pveops.cli.cells import count_of
from pveops.cli.commands import Group, list_options
from pveops.errors import AuditError, UnreachableError, UsageError

group = Group("audit", help="The audit log: who did what, when, why, and what came of it.")

_COLUMNS = (
    Column("seq", kind="number"),
    Column("at", kind="time"),
    Column("kind"),
    Column("operation"),
    Column("about"),
    Column("actor"),
    Column("result"),
    Column("plan", is_sparse=True),
    Column("upid", is_sparse=True, is_wide=True),
)
_TASK_COLUMNS = (
    Column("at", kind="time"),
    Column("what"),
    Column("about"),
    Column("node"),
    Column("result"),
    Column("upid", is_wide=True),
)
_LAST = 20


@group.command(
    "verify",
    operation="audit.verify",
    examples=("pve audit verify", "pve audit verify --anchor /mnt/elsewhere/heads"),
)
@click.option("--anchor", metavar="FILE", help="Compare with the heads that were kept there.")
@click.pass_obj
def verify(call: Call, anchor: str | None) -> Answer:
    """Recompute the chain of the audit log; a broken one exits with 7.

    What it proves: that nothing in it was changed, put in or taken out by somebody who did not
    make the rest of the chain anew. Against whoever can write the whole file, only heads prove
    something that were kept elsewhere: on approval cards, and at the policy's anchor.
    """
    log, path = call.wiring.audit, call.wiring.paths.audit_file
    verdict = log.verify()
    if not verdict.is_whole:
        raise AuditError(
            f"the audit log {path} is not whole: {verdict.problem}",
            hint="keep the file as it is; compare it with a copy of its head kept elsewhere",
            details={"records": verdict.records, "problem": verdict.problem},
        )
    heads = _compare(call, anchor) if anchor else None
    head = f"head {verdict.head.seq} {verdict.head.hash[:16]}"
    return Answer(
        f"whole: {count_of(verdict.records, 'record')}, {head}",
        data={
            "records": verdict.records,
            "first": verdict.first,
            "head": {"seq": verdict.head.seq, "hash": verdict.head.hash},
            "files": [str(part) for part in log.parts()],
            "anchored": heads,
        },
        blocks=(Lines(tuple(_what_it_proves(call, verdict.first, heads))),),
    )


def _compare(call: Call, place: str) -> int:
    """How many heads were found in the log. Raises AuditError for the first that is not."""
    from pveops.engine.audit_anchor import compare

    if call.served is not None:
        raise UsageError(
            call.served.no_files, hint="its owner compares: pve audit verify --anchor FILE"
        )
    try:
        with Path(place).open(encoding="utf-8", errors="replace") as file:
            found = compare(call.wiring.audit, iter(file))
    except OSError as error:
        raise UsageError(f"{place} cannot be read: {error.strerror}") from error
    if not found.heads:
        raise UsageError(
            f"{place} holds no head of an audit log, so it proves nothing",
            hint="journalctl -t pveops > FILE; or the file that the policy names as the anchor",
        )
    if found.problem:
        raise AuditError(
            f"the audit log is not what {place} says: {found.problem}",
            hint="somebody has rewritten it: keep both, and look at PVE's own task lists",
        )
    return found.heads


def _what_it_proves(call: Call, first: int, heads: int | None) -> Iterator[str]:
    if first > 1:
        yield f"the records before {first} are not here any more"
    if heads is not None:
        yield f"{count_of(heads, 'head')} that were kept elsewhere are in it, unchanged"
    elif call.wiring.policy.audit.anchor:
        yield f"heads are kept at {call.wiring.policy.audit.anchor}: --anchor FILE compares"
    else:
        yield (
            "no head is kept elsewhere: whoever can write the file can have made all of it anew "
            "(policy: audit: {anchor: ...})"
        )


@group.command("reconcile", operation="audit.reconcile")
@click.option("--since", default="7d", show_default=True, help="How far back: 12h, 7d.")
@click.pass_obj
def reconcile(call: Call, since: str) -> Answer:
    """Find tasks of our tokens in PVE that our records do not know, and what never ended.

    Exits with 7 when something is found, and with 12 when nothing is, but a node could not be
    asked. Changes that make no task, such as those of a configuration, cannot be found this way.
    """
    from pveops.cli.verbs import parse_duration
    from pveops.engine.audit_reconcile import reconcile as compare_books

    seconds = parse_duration(since)
    if seconds is None:
        raise UsageError(f"{since!r} is no duration", hint="--since 12h, or 7d")
    session = call.wiring.session()
    now = session.clock.now()
    found = compare_books(session, call.wiring.connection.writer_tiers, now - seconds)
    rows = [
        {
            "upid": str(task.upid),
            "what": task.upid.type,
            "about": task.upid.id,
            "node": task.upid.node,
            "at": task.upid.starttime,
            "result": task.exitstatus or "running",
        }
        for task in found.tasks
    ]
    problems = len(found.tasks) + len(found.intents)
    verdict = (
        f"{count_of(found.looked_at, 'task')} of {', '.join(found.auth_ids)}: "
        f"{len(found.tasks)} unknown to our records, {len(found.intents)} of ours without an end"
    )
    lines = [f"unknown: the tasks of {what}: {why}" for what, why in found.unseen.items()]
    lines += [
        f"without an end: {intent.operation} of {intent.target} (record {intent.seq})"
        for intent in found.intents
    ]
    code = AuditError.exit_code if problems else UnreachableError.exit_code if found.unseen else 0
    next_ = [f"pve task log {row['upid']}" for row in rows[:3]]
    next_ += [f"pve run explain {intent.run}" for intent in found.intents[:3]]
    return Answer(
        verdict,
        code=code,
        data={
            "tasks": rows,
            "intents": [intent._asdict() for intent in found.intents],
            "unseen": found.unseen,
            "tokens": list(found.auth_ids),
        },
        blocks=(
            Listing(rows, dict, tuple(c.key for c in _TASK_COLUMNS), _TASK_COLUMNS),
            Lines(tuple(lines)),
        ),
        next=tuple(next_),
    )


@group.command("show", operation="audit.show")
@click.option("--guest", help="About this guest, by vmid or name.")
@click.option("--since", metavar="DURATION", help="Not older than this: 12h, 7d.")
@click.option("--actor", help="Asked by: agent, person, unattended, or a part of the name.")
@click.option("--operation", help="Of this operation: guest.stop, or a noun: backup.")
@click.option("--plan", help="About this plan.")
@click.option("--run", help="About this run.")
@click.option("--last", type=click.IntRange(min=1), default=_LAST, help=f"How many. [{_LAST}]")
@list_options
@click.pass_obj
def show(
    call: Call,
    guest: str | None,
    since: str | None,
    actor: str | None,
    operation: str | None,
    plan: str | None,
    run: str | None,
    last: int,
) -> Answer:
    """Show the newest records, oldest of them first; --json has them whole."""
    from collections import deque

    begin = _begin(call, since)

    def fits(record: dict[str, Any]) -> bool:
        return (
            (guest is None or guest in _ids(record))
            and (plan is None or record.get("plan") == plan)
            and (run is None or record.get("run") == run)
            and (actor is None or actor in str(record.get("actor") or ""))
            and (operation is None or _is_of(record, operation))
            and float(record.get("at") or 0) >= begin
        )

    last = min(last, call.options.limit or last)
    count = 0
    newest: deque[dict[str, Any]] = deque(maxlen=last)
    for record in call.wiring.audit.read():
        if fits(record):
            count += 1
            newest.append(record)
    rows = tuple(newest)
    fields = tuple(dict.fromkeys((*(c.key for c in _COLUMNS), *(key for r in rows for key in r))))
    listing = Listing(rows, _item, fields, _COLUMNS, total=count)
    return Answer(f"{count_of(count, 'record')}, the last {len(rows)} shown", blocks=(listing,))


def _begin(call: Call, since: str | None) -> float:
    from pveops.cli.verbs import parse_duration

    if since is None:
        return 0.0
    seconds = parse_duration(since)
    if seconds is None:
        raise UsageError(f"{since!r} is no duration", hint="--since 12h, or 7d")
    return call.clock.now() - seconds


def _is_of(record: dict[str, Any], operation: str) -> bool:
    name = str(record.get("operation") or "")
    return name == operation or name.startswith(f"{operation}.")


def _ids(record: dict[str, Any]) -> set[str]:
    target = record.get("target")
    ids = {str(target.get("id")), str(target.get("name"))} if isinstance(target, dict) else set()
    targets = record.get("targets")
    if isinstance(targets, list):
        ids |= {str(each).rpartition("/")[2] for each in targets}
    return ids


def _item(record: dict[str, Any]) -> dict[str, Any]:
    target = record.get("target")
    if isinstance(target, dict):
        words = f"{target.get('kind')}/{target.get('id')} {target.get('name')}"
    else:
        words = ",".join(map(str, record.get("targets") or ()))
    outcome = record.get("outcome") or record.get("error") or ""
    return {**record, "about": words, "result": outcome}
