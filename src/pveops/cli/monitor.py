"""`pve monitor`: what is wrong, told when it changes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click

from pveops.cli.answer import Answer, Column, Lines, Listing, Written
from pveops.cli.call import Call
from pveops.cli.cells import SEVERITIES, count_of
from pveops.cli.commands import Group, list_options
from pveops.errors import ConfigError, UsageError

if TYPE_CHECKING:
    from pveops.engine.senders import Sender
    from pveops.monitor.alerts import Alert, News, Rules, Seen, Silence
    from pveops.monitor.book import Book, Page
    from pveops.monitor.owed import Listener
    from pveops.operations.limits import Limits

WARNINGS, PROBLEMS = 20, 21
"""Exit codes of a look that leaves something open."""
_CODES = {"block": PROBLEMS, "warn": WARNINGS}

group = Group(
    "monitor",
    help="Watch the cluster: what is wrong is told when it changes.",
    lazy={
        "export": ("pveops.cli.monitor_export:command", "metrics for Prometheus"),
        "install": ("pveops.cli.monitor_install:command", "make looking a regular job"),
    },
)

_COLUMNS = (
    Column("id"),
    Column("severity", kind="severity"),
    Column("subject"),
    Column("message"),
    Column("since", kind="time"),
    Column("acked", label="acknowledged", kind="time", is_sparse=True),
    Column("why", is_sparse=True),
    Column("silenced", kind="flag", is_sparse=True),
    Column("state", is_sparse=True),
    Column("remedy", is_sparse=True, is_wide=True),
)
_FIELDS = (*(column.key for column in _COLUMNS), "finding", "evidence", "raised", "gone")
_HISTORY_COLUMNS = (
    Column("at", kind="time"),
    Column("kind"),
    Column("severity", kind="severity"),
    Column("subject"),
    Column("message"),
    Column("id"),
)
_HISTORY_FIELDS = (*(column.key for column in _HISTORY_COLUMNS), "finding", "since", "number")
_LAST = 20
_MOST_SENT = 25
_ROOM, _LONGEST_LINE = 3800, 400
"""Lines and characters of one message: a chat takes some 4,000."""


@group.command(
    "run",
    operation="monitor.run",
    examples=(
        "pve monitor run",
        "pve monitor run --all",
        "pve monitor run --tell",
        "pve monitor run --if-quiet NO_REPLY",
    ),
)
@click.option("--all", "is_whole", is_flag=True, help="Take every slow look now, at every guest.")
@click.option("--tell", is_flag=True, help="Send what changed to the profile's person.")
@click.option("--job", "is_job", is_flag=True, help="For schedulers that pass on what is printed.")
@click.option(
    "--if-quiet",
    "quiet_word",
    metavar="WORD",
    default="",
    help="As --job, for agents: say this when nothing changed, and always exit with 0.",
)
@click.pass_obj
def run(call: Call, is_whole: bool, tell: bool, is_job: bool, quiet_word: str) -> Answer | Written:
    """Look once, and tell what is new, worse or over since the last look; else be silent.

    Exit 0: nothing is open; 20: warnings are; 21: problems are. The person of --tell, the job
    (--job, --if-quiet) and who looks by hand are each told everything once. What could not be
    looked at stays as it was. Disks, certificates, backups and the like are looked at every few
    hours, and guests' snapshots and agents a few at a time.
    """
    from pveops.monitor.survey import survey

    is_job = is_job or bool(quiet_word)
    book = book_of(call)
    sender = sender_of(call) if tell else None
    now = int(call.clock.now())
    limits, rules = limits_of(call), _rules(call)
    found = survey(call.wiring.reader, now, limits, book.read_memory(now), is_whole=is_whole)
    after = int(call.clock.now())
    seen, blind = see_own_runs(call, found.seen, found.blind)
    book.enter(seen, blind, rules, memory=found.memory, now=after)
    if sender is not None:
        news = _send(call, book, sender)
    else:
        listener: Listener = "job" if is_job else "hand"
        news = book.take(listener, after)
        book.settle(listener, news, after)
    page = book.read()
    code = 0 if quiet_word else _code_of(page.alerts)
    if not news and not call.options.as_json:
        return Written(f"{quiet_word}\n" if quiet_word else "", code)
    return Answer(
        _verdict(page.alerts, len(news)),
        code=code,
        data={
            "news": [_event(each) for each in news],
            "active": sum(alert.is_active for alert in page.alerts),
            "blind_spots": list(blind),
        },
        # What a job prints goes to a chat.
        blocks=(Lines(tuple(message_of(news).split("\n") if is_job else map(line_of, news))),),
        next=() if is_job else _next(news),
    )


def _send(call: Call, book: Book, sender: Sender) -> tuple[News, ...]:
    """Send the person what they were not told. Meanwhile another look may find more."""
    sent: list[News] = []
    while news := book.take("person", int(call.clock.now())):
        arrived: tuple[News, ...] = ()
        try:
            sender(message_of(news))
            arrived = news
        finally:
            book.settle("person", arrived, int(call.clock.now()))
        sent.extend(news)
    return tuple(sent)


@group.command("status", operation="monitor.status")
@list_options
@click.pass_obj
def status(call: Call) -> Answer:
    """List the open alerts as the last look left them, the worst first; nothing is asked now."""
    page = book_of(call).read()
    if not page.looked:
        return Answer("nobody has looked yet", next=("pve monitor run",))
    silences = [each for each in page.silences if each.until > call.clock.now()]
    open_ = sorted(
        (alert for alert in page.alerts if alert.is_active or alert.gone == 0),
        key=lambda alert: (alert.severity != "block", alert.severity != "warn", alert.subject),
    )

    def item(alert: Alert) -> dict[str, Any]:
        from msgspec import structs

        is_quiet = any(silence.covers(alert) for silence in silences)
        times = {name: getattr(alert, name) or None for name in ("raised", "gone", "acked")}
        facts = structs.asdict(alert) | times | {"silenced": is_quiet, "finding": alert.code}
        facts["state"] = _state_of(alert)
        return {name: facts[name] for name in _FIELDS}

    count = sum(not alert.is_active for alert in open_)
    young = f", {count} not told yet" if count else ""
    seen = tuple(f"blind spot: {text}" for text in page.blind)
    quiet = tuple(_describe(each) for each in silences)
    return Answer(
        f"{_verdict(page.alerts, None)}{young}; {_looked(call, page)}",
        blocks=(Listing(open_, item, _FIELDS, _COLUMNS), Lines((*quiet, *seen))),
        beside={"looked": page.looked, "blind_spots": list(page.blind)},
    )


@group.command("history", operation="monitor.history")
@list_options
@click.pass_obj
def history(call: Call) -> Answer:
    """List what was found, the newest look first; `number` grows with each piece of news."""
    page = book_of(call).read()
    events = page.numbered_history()
    wanted = call.options.limit or (len(events) if call.options.is_full else _LAST)
    listing = Listing(
        events[:wanted], _numbered_event, _HISTORY_FIELDS, _HISTORY_COLUMNS, total=len(events)
    )
    last = max(page.count, len(events))
    return Answer(count_of(len(events), "event"), blocks=(listing,), beside={"last": last})


@group.command(
    "ack",
    operation="monitor.ack",
    examples=("pve monitor ack al_1f2e3d4c --why 'disk is ordered'", "pve monitor ack vm/101"),
)
@click.argument("alert", metavar="ALERT")
@click.option("--why", default="", help="What is known about it.")
@click.pass_obj
def ack(call: Call, alert: str, why: str) -> Answer:
    """Say that an alert, or every alert of a subject, is known.

    It is told again only when it grows worse or is over. Of a problem only a person says so.
    """
    found = book_of(call).acknowledge(alert, why, int(call.clock.now()), is_person=call.is_person)
    lines = tuple(f"{each.subject}: {each.message} [{each.id}]" for each in found)
    return Answer(
        f"acknowledged: {count_of(len(found), 'alert')}",
        data={"id": found[0].id, "ids": [each.id for each in found]},
        blocks=(Lines(lines),),
    )


@group.command(
    "silence",
    operation="monitor.silence",
    examples=(
        "pve monitor silence 'storage.*' --for 2h --why 'moving disks'",
        "pve monitor silence vm/101 --for 0",
    ),
)
@click.argument("pattern", metavar="PATTERN")
@click.option("--for", "duration", required=True, metavar="2h", help="How long; 0 ends it.")
@click.option("--why", default="", help="What for.")
@click.pass_obj
def silence(call: Call, pattern: str, duration: str, why: str) -> Answer:
    """Keep alerts quiet for a time: by code, subject or id, with * and ?; at most 30 days.

    Problems are told all the same, unless a person at a terminal silences them.
    """
    from pveops.cli.verbs import parse_duration
    from pveops.units import DAY_S

    seconds = parse_duration(duration)
    if seconds is None or seconds > 30 * DAY_S:
        raise UsageError(f"{duration!r} is no duration up to 30d", hint="--for 2h")
    now = int(call.clock.now())
    book_of(call).silence(pattern, now + seconds, why, now, is_person=call.is_person)
    text = f"silenced for {duration}: {pattern}" if seconds else f"not silenced: {pattern}"
    if seconds and not call.is_person:
        text += "; problems are told all the same"
    data = {"pattern": pattern, "until": now + seconds, "with_problems": call.is_person}
    return Answer(text, data=data)


def limits_of(call: Call) -> Limits:
    """The profile's, where percent and minutes are written."""
    from pveops.operations.limits import Limits

    config = call.wiring.connection.monitor
    return Limits(
        config.nearly_full / 100,
        config.full / 100,
        config.memory / 100,
        config.cpu / 100,
        config.pressure / 100,
        config.filling_days,
        config.certificate_days,
        config.snapshot_days,
        config.backup_days,
        config.clock_s,
    )


def _rules(call: Call) -> Rules:
    from pveops.monitor.alerts import Rules

    config = call.wiring.connection.monitor
    return Rules(
        config.raise_after_s,
        config.clear_after_s,
        slow_to_raise={"guest.locked": config.lock_s},
    )


def see_own_runs(call: Call, seen: Seen, blind: tuple[str, ...]) -> tuple[Seen, tuple[str, ...]]:
    """A look and its blind spots, with the runs of ours that were left unfinished."""
    from pveops.monitor.own_runs import see_runs

    connection = call.wiring.connection
    if connection.broker and not call.is_brokered:
        blind = (*blind, "runs that were left unfinished: the broker keeps them")
    return see_runs(call.wiring.store, connection.profile, seen), blind


def book_of(call: Call) -> Book:
    """What the monitor remembers of the profile's cluster."""
    from pveops.monitor.book import Book

    return Book(call.wiring.store, call.wiring.connection.profile)


def sender_of(call: Call) -> Sender:
    """The way to the profile's person. Raises ConfigError when it names nobody."""
    from pveops.engine.senders import make_sender

    sender = make_sender(call.wiring.connection.consent)
    if sender is None:
        raise ConfigError(
            "the profile names nobody to tell",
            hint="docs/howto/consent.md: consent in config.yaml",
        )
    return sender


def message_of(news: Sequence[News]) -> str:
    """What goes to a person: names of the cluster can neither link nor mention there."""
    from pveops.sanitize import neutralize_markup

    lines: list[str] = []
    room = _ROOM
    for each in news[:_MOST_SENT]:
        line = neutralize_markup(line_of(each, _LONGEST_LINE))
        if len(line) >= room:
            break
        lines.append(line)
        room -= len(line) + 1
    if len(news) > len(lines):
        lines.append(f"and {len(news) - len(lines)} more: pve monitor status, pve monitor history")
    return "\n".join(lines)


def line_of(news: News, longest: int | None = None) -> str:
    """One event in one line, whatever a name in it holds. longest: characters of what it says."""
    from pveops.sanitize import sanitize_text

    alert = news.alert
    if news.kind == "cleared":
        word = "cleared"
    else:
        word = f"{SEVERITIES[alert.severity]}{' (worse)' if news.kind == 'worse' else ''}"
    return f"{word} {sanitize_text(f'{alert.subject}: {alert.message}', longest)} [{alert.id}]"


def _state_of(alert: Alert) -> str:
    """Empty for one that was told and holds."""
    if alert.gone:
        return "seems over"
    return "" if alert.is_active else "not told yet"


def _verdict(alerts: Sequence[Alert], news: int | None) -> str:
    active = [alert.severity for alert in alerts if alert.is_active]
    parts = [
        count_of(active.count(severity), noun)
        for severity, noun in (("block", "problem"), ("warn", "warning"), ("info", "note"))
        if severity in active
    ]
    told = ", ".join(parts) + " open" if parts else "nothing is open"
    return told if news is None else f"{count_of(news, 'change')}; {told}"


def _code_of(alerts: Sequence[Alert]) -> int:
    codes = [_CODES.get(alert.severity, 0) for alert in alerts if alert.is_active]
    return max(codes, default=0)


def _numbered_event(numbered: tuple[int, News]) -> dict[str, Any]:
    number, news = numbered
    return {**_event(news), "number": number}


def _event(news: News) -> dict[str, Any]:
    alert = news.alert
    return {
        "at": news.at,
        "kind": news.kind,
        "severity": alert.severity,
        "subject": alert.subject,
        "message": alert.message,
        "id": alert.id,
        "finding": alert.code,
        "since": alert.since,
    }


def _next(news: Sequence[News]) -> tuple[str, ...]:
    remedies = [each.alert.remedy for each in news if each.kind != "cleared" and each.alert.remedy]
    return tuple(dict.fromkeys(remedies))[:3]


def _describe(silence: Silence) -> str:
    but = "" if silence.with_problems else ", but for problems"
    return f"silenced{but}: {silence.pattern} {silence.why}".rstrip()


def _looked(call: Call, page: Page) -> str:
    from pveops.units import format_duration

    now = int(call.clock.now())
    if page.is_ahead(now):
        ahead = format_duration(page.looked - now)
        return f"last looked {ahead} from now: this machine's clock was or is wrong"
    return f"looked {format_duration(max(0, now - page.looked))} ago"
