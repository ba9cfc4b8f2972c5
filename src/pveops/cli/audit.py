"""`pve audit`: the record of every change."""

from __future__ import annotations

from typing import Any

import click

from pveops.cli.answer import Answer, Column, Listing
from pveops.cli.call import Call
from pveops.cli.cells import count_of
from pveops.cli.commands import Group, list_options
from pveops.errors import AuditError

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
_LAST = 20


@group.command("verify", operation="audit.verify")
@click.pass_obj
def verify(call: Call) -> Answer:
    """Recompute the chain of the audit log; a broken one exits with 7."""
    verdict = call.wiring.audit.verify()
    path = call.wiring.paths.audit_file
    if not verdict.is_whole:
        raise AuditError(
            f"the audit log {path} is not whole: {verdict.problem}",
            hint="keep the file as it is; compare it with a copy of its head kept elsewhere",
            details={"records": verdict.records, "problem": verdict.problem},
        )
    head = f"head {verdict.head.seq} {verdict.head.hash[:16]}"
    return Answer(
        f"whole: {count_of(verdict.records, 'record')}, {head}",
        data={
            "records": verdict.records,
            "head": {"seq": verdict.head.seq, "hash": verdict.head.hash},
            "file": str(path),
        },
    )


@group.command("show", operation="audit.show")
@click.option("--guest", help="About this vmid.")
@click.option("--plan", help="About this plan.")
@click.option("--run", help="About this run.")
@click.option("--last", type=click.IntRange(min=1), default=_LAST, help=f"How many. [{_LAST}]")
@list_options
@click.pass_obj
def show(call: Call, guest: str | None, plan: str | None, run: str | None, last: int) -> Answer:
    """Show the newest records, oldest of them first; --json has them whole."""
    from collections import deque

    def fits(record: dict[str, Any]) -> bool:
        return (
            (guest is None or guest in _ids(record))
            and (plan is None or record.get("plan") == plan)
            and (run is None or record.get("run") == run)
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


def _ids(record: dict[str, Any]) -> set[str]:
    target = record.get("target")
    ids = {str(target.get("id"))} if isinstance(target, dict) else set()
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
