"""`pve report`: a digest of a day or a week, as text for a chat and as one page."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from pveops.cli.answer import Answer, Lines
from pveops.cli.call import Call
from pveops.cli.commands import Command
from pveops.errors import AuditError, UnreachableError, UsageError

if TYPE_CHECKING:
    from pveops.monitor.digest import Digest

_ROOM = 2900
"""Characters below the verdict: the whole answer stays within what a chat takes."""
_LONGEST_DAYS = 31
_BACKUP_DAYS = 2
"""For a profile whose monitor looks at no backups."""


@click.command(
    "report",
    cls=Command,
    operation="report",
    examples=(
        "pve report",
        "pve report --since 7d --html /tmp/week.html",
        "pve report --since 1d --tell",
    ),
)
@click.option("--since", default="1d", show_default=True, help="Of how long: 1d, 7d.")
@click.option("--html", metavar="FILE", default="", help="A page, too: FILE.html, or a folder.")
@click.option("--replace", is_flag=True, help="Over a page that was not made by this command.")
@click.option("--tell", is_flag=True, help="Send the text to the profile's person.")
@click.option("--job", "is_job", is_flag=True, help="For schedulers that pass on what is printed.")
@click.pass_obj
def command(call: Call, since: str, html: str, replace: bool, tell: bool, is_job: bool) -> Answer:
    """Digest a day or a week: health, capacity, backups, changes by whom, tasks of others.

    Nothing is changed, and no alert counts as told. What could not be seen is told as such.
    Forecasts and backups are as of now; see `pve backup audit` for what a digest does not look at.
    """
    from pveops.cli.outfile import PAGE, claim_path
    from pveops.monitor.digest_text import judge_digest, tell_digest

    span = _span(since)
    if tell and (call.served is not None or call.options.is_look_only):
        raise UsageError("a message to the person is more than a look", hint="without --tell")
    name = f"pve-report-{since}"
    path = claim_path(call, html, PAGE, name, may_replace=replace) if html else None
    sender = _sender(call) if tell else None
    try:
        digest = _digest(call, span)
    except UnreachableError as error:
        if sender is not None:
            sender(message_of(f"PROBLEM: no report, the cluster is not reached: {error.message}"))
        raise
    verdict, lines = judge_digest(digest), tell_digest(digest, _ROOM)
    if path is not None:
        from pveops.cli.outfile import write_file
        from pveops.monitor.page import render_page

        write_file(path, render_page(digest, verdict).encode())
    if sender is not None:
        sender(message_of(verdict, lines))
    if is_job:
        verdict, *rest = message_of(verdict, lines).split("\n")
        lines = tuple(rest)
    page = (f"page: {path.absolute()}",) if path is not None else ()
    return Answer(
        verdict,
        data=_data(digest, str(path.absolute()) if path else None),
        blocks=(Lines((*page, *lines)),),
    )


def _span(since: str) -> int:
    from pveops.cli.verbs import parse_duration
    from pveops.units import DAY_S, HOUR_S

    seconds = parse_duration(since)
    if seconds is None or not HOUR_S <= seconds <= _LONGEST_DAYS * DAY_S:
        raise UsageError(
            f"{since!r} is no duration from 1h to {_LONGEST_DAYS}d", hint="--since 1d, or 7d"
        )
    return seconds


def _sender(call: Call) -> Any:
    from pveops.cli.monitor import sender_of

    return sender_of(call)


def _digest(call: Call, span: int) -> Digest:
    from pveops.cli.monitor import book_of, limits_of, see_own_runs
    from pveops.monitor.alerts import Rules, advance
    from pveops.monitor.digest import Records, make_digest
    from pveops.monitor.gather import gather
    from pveops.monitor.survey import recall
    from pveops.units import DAY_S

    connection, limits = call.wiring.connection, limits_of(call)
    facts = gather(call.wiring.reader, span)
    book = book_of(call)
    page, memory = book.read(), book.read_memory(facts.now)
    found = recall(call.wiring.reader, facts.look, facts.now, limits, memory)
    seen, blind = see_own_runs(call, found.seen, found.blind)
    # As the monitor would go on from its page; nothing of it is kept.
    alerts, _ = advance(page.alerts, seen, Rules())
    books = Records(page, alerts, _audit(call), connection.auth_id)
    limit_s = int((limits.backup_days or _BACKUP_DAYS) * DAY_S)
    return make_digest(facts, blind, books, connection.profile, limit_s)


def _audit(call: Call) -> list[dict[str, Any]] | None:
    """Every record; the log is read once, and may be large. None: it cannot be read here."""
    if call.wiring.connection.broker and not call.is_brokered:
        return None
    try:
        return list(call.wiring.audit.read())
    except AuditError:
        return None


def message_of(verdict: str, lines: tuple[str, ...] = ()) -> str:
    """What goes to a person: names of the cluster can neither link nor mention there."""
    from pveops.sanitize import neutralize_markup

    return neutralize_markup("\n".join((verdict, *lines)))


def _data(digest: Digest, file: str | None) -> dict[str, Any]:
    """Without the courses: those are for `pve graph`."""
    return {
        "file": file,
        "cluster": digest.cluster,
        "at": digest.at,
        "span_s": digest.span_s,
        "level": digest.level,
        "guests": dict(digest.guests),
        "troubles": [each._asdict() for each in digest.troubles],
        "events": dict(digest.events),
        "course": digest.frame,
        "monitor_looked": digest.looked or None,
        "nodes": [_without_points(each) for each in digest.nodes],
        "storages": [
            {
                **_without_points(each),
                "forecast": each.forecast._asdict() if each.forecast else None,
                "is_filling": each.is_filling,
            }
            for each in digest.storages
        ],
        "backups": _backups(digest),
        "changes": None if digest.changes is None else [e._asdict() for e in digest.changes],
        "refused": digest.refused,
        "others": [{**each._asdict(), "kinds": dict(each.kinds)} for each in digest.others],
        "blind_spots": list(digest.blind),
    }


def _without_points(line: Any) -> dict[str, Any]:
    return {name: value for name, value in line._asdict().items() if not name.endswith("points")}


def _backups(digest: Digest) -> dict[str, Any] | None:
    found = digest.backups
    if found is None:
        return None
    return {
        "states": dict(found.states),
        "runs": dict(found.runs),
        "bad": [{"guest": g, "state": s, "age_s": age} for g, s, age in found.bad],
        "unseen": list(found.unseen),
        "limit_s": found.limit_s,
    }
