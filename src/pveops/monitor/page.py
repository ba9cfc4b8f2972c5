"""A digest as one page: nothing from elsewhere, no script, light and dark, for paper too. Pure.

Everything is escaped where it is put in, and the page's own policy lets nothing run and nothing be
loaded, in case that something was forgotten: the one style is named by its hash. Pictures are
inline SVG, drawn here; each says in words what it shows.
"""

from __future__ import annotations

import base64
import hashlib
import html
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from pveops.monitor.chart import format_range
from pveops.monitor.digest import (
    Change,
    Digest,
    NodeLine,
    OthersTasks,
    StorageLine,
    Trouble,
    tell_span,
)
from pveops.monitor.digest_text import describe_backups, is_worth_telling, tell_growth
from pveops.monitor.forecast import tell_forecast
from pveops.monitor.page_style import STYLE
from pveops.monitor.sparkline import draw_bar, draw_sparkline
from pveops.sanitize import sanitize_text
from pveops.units import format_bytes, format_duration, format_percent, format_utc

_MOST = 60
"""Rows of a table."""
_MOST_LINES = 24
"""Rows with pictures."""
_LONGEST = 300
_FINE = frozenset({"done", "already"})
_WORDS = {"block": "problem", "warn": "warning", "info": "note"}
_LEVELS = {
    "bad": "Something is broken",
    "warn": "Something needs attention",
    "unknown": "Nothing wrong in what can be seen",
    "good": "All is well",
}


class Cell(NamedTuple):
    """One cell. markup: safe as it is; kind: its class; `wide` is left out on a phone."""

    markup: str
    kind: str = ""


class Head(NamedTuple):
    """The head of a column."""

    words: str
    kind: str = ""


def render_page(digest: Digest, verdict: str) -> str:
    """The whole document."""
    digest_of_style = base64.b64encode(hashlib.sha256(STYLE.encode()).digest()).decode()
    policy = (
        f"default-src 'none'; style-src 'sha256-{digest_of_style}'; "
        "base-uri 'none'; form-action 'none'"
    )
    title = f"{digest.cluster}: {tell_span(digest.span_s)}"
    return (
        "<!doctype html>\n"
        '<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">\n'
        '<meta name="generator" content="pveops">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta name="color-scheme" content="light dark">\n'
        '<meta name="referrer" content="no-referrer">\n'
        '<meta name="robots" content="noindex">\n'
        f"<title>{text(title)}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n"
        f"{_header(digest, verdict)}<main>\n{''.join(_sections(digest))}</main>\n"
        "<footer><p>Made by pveops from what PVE told it, and from its own records. "
        "Times are UTC.</p></footer>\n</body>\n</html>\n"
    )


def text(words: object) -> str:
    """Whatever it holds, as text in a page."""
    clean = sanitize_text(str(words))
    if len(clean) > _LONGEST:
        clean = clean[: _LONGEST - 1] + "…"
    return html.escape(clean, quote=True)


def _breakable(words: str) -> str:
    """Text that may go on in the next line after its separators, before anywhere else."""
    return re.sub(r"([/:@])(?!$)", r"\1<wbr>", text(words))


def _header(digest: Digest, verdict: str) -> str:
    period = format_range(digest.at - digest.span_s, digest.at)
    return (
        f'<header>\n<p class="period">{text(period)}</p>\n<h1>{text(digest.cluster)}</h1>\n'
        f'<p class="verdict {digest.level}"><strong>{text(_LEVELS[digest.level])}</strong> '
        f"{text(verdict.partition(': ')[2] or verdict)}</p>\n"
        f'<ul class="tiles">\n{"".join(_tiles(digest))}</ul>\n</header>\n'
    )


def _tiles(digest: Digest) -> Iterator[str]:
    problems = sum(each.severity == "block" for each in digest.troubles)
    warnings = sum(each.severity == "warn" for each in digest.troubles)
    yield _tile(str(problems), "problems", "bad" if problems else "")
    yield _tile(str(warnings), "warnings", "warn" if warnings else "")
    running = digest.guests.get("running", 0)
    yield _tile(f"{running} of {sum(digest.guests.values())}", "guests running")
    if digest.backups is None:
        yield _tile("unknown", "guests with a fresh backup", "warn")
        return
    fresh, every = digest.backups.states.get("ok", 0), sum(digest.backups.states.values())
    yield _tile(
        f"{fresh} of {every}", "guests with a fresh backup", "" if fresh == every else "warn"
    )


def _tile(number: str, words: str, kind: str = "") -> str:
    return f'<li class="{kind}"><b>{text(number)}</b> <span>{text(words)}</span></li>\n'


def _sections(digest: Digest) -> Iterator[str]:
    yield _section("Health", _health(digest))
    yield _section("Nodes", _nodes(digest.nodes, digest.frame))
    yield _section("Storages", _storages(digest.storages, digest.frame))
    yield _section("Backups", _backups(digest))
    yield _section("Changes through pve", _changes(digest))
    yield _section("Tasks of others", _others(digest.others))
    if digest.blind:
        items = "".join(f"<li>{text(each)}</li>\n" for each in digest.blind[:_MOST])
        yield _section("Not seen", f'<ul class="plain">\n{items}</ul>\n')


def _section(title: str, body: str) -> str:
    name = title.lower().replace(" ", "-")
    heading = f'<h2 id="{name}">{text(title)}</h2>'
    return f'<section aria-labelledby="{name}">\n{heading}\n{body}</section>\n'


def _table(
    caption: str,
    heads: Sequence[Head],
    rows: Sequence[Sequence[Cell]],
    *,
    total: int,
    more: str,
) -> str:
    """The first column names the row. What is left out is counted, with what shows it."""
    head = "".join(f'<th scope="col"{_class(each.kind)}>{text(each.words)}</th>' for each in heads)
    body = "".join(
        f'<tr><th scope="row"{_class(row[0].kind)}>{row[0].markup}</th>'
        + "".join(f"<td{_class(cell.kind)}>{cell.markup}</td>" for cell in row[1:])
        + "</tr>\n"
        for row in rows
    )
    left = total - len(rows)
    note = (
        f'<p class="more">{left} more are not shown: <code>{text(more)}</code></p>\n'
        if left
        else ""
    )
    return (
        f"<table>\n<caption>{text(caption)}</caption>\n<thead><tr>{head}</tr></thead>\n"
        f"<tbody>\n{body}</tbody>\n</table>\n{note}"
    )


def _class(kind: str) -> str:
    return f' class="{kind}"' if kind else ""


def _badge(words: str, kind: str) -> str:
    return f'<span class="badge {kind}">{text(words)}</span>'


def _note(words: str) -> str:
    return f'<p class="note">{text(words)}</p>\n'


# -- sections ------------------------------------------------------------------------


def _health(digest: Digest) -> str:
    if digest.looked:
        events = digest.events
        told = (
            f"In the time {events.get('raised', 0)} alerts were raised, {events.get('worse', 0)} "
            f"grew worse, {events.get('cleared', 0)} were cleared."
        )
    else:
        told = "The monitor never ran, so nobody knows since when: pve monitor install."
    if not digest.troubles:
        return _note(f"Nothing is wrong in what can be seen. {told}")
    rows = [_trouble(each, digest.at) for each in digest.troubles[:_MOST]]
    heads: tuple[Head, ...] = (Head("What"), Head("How bad"), Head("What is wrong"))
    if any(each.since for each in digest.troubles):
        heads = (*heads, Head("For", "wide"))
    rows = [row[: len(heads)] for row in rows]
    table = _table(
        "What is wrong now, the worst first",
        heads,
        rows,
        total=len(digest.troubles),
        more="pve status",
    )
    return table + _note(told)


def _trouble(each: Trouble, now: int) -> tuple[Cell, ...]:
    since = format_duration(now - each.since) if each.since else "not known"
    known = " (acknowledged)" if each.is_acked else ""
    word = _WORDS[each.severity]
    return (
        Cell(_breakable(each.subject.rstrip("/"))),
        Cell(_badge(word, word)),
        Cell(text(each.message + known)),
        Cell(text(since), "wide"),
    )


def _nodes(nodes: Sequence[NodeLine], frame: str) -> str:
    heads = (
        Head("Node"),
        Head("CPU, average", "number"),
        Head(f"CPU, a {frame}", "wide"),
        Head("Memory", "number"),
        Head(f"Memory, a {frame}"),
    )
    rows = [_node(each) for each in nodes[:_MOST_LINES]]
    return _table(
        "Load of nodes; what is not online comes first, then the fullest memory",
        heads,
        rows,
        total=len(nodes),
        more="pve node list",
    )


def _node(each: NodeLine) -> tuple[Cell, ...]:
    state = (
        ""
        if each.status == "online"
        else f' <span class="badge problem">{text(each.status)}</span>'
    )
    return (
        Cell(text(each.name) + state),
        Cell(_percent(each.cpu_average), "number"),
        Cell(draw_sparkline(each.cpu_points, f"CPU of {text(each.name)}", top=None), "wide"),
        Cell(
            _percent(each.memory)
            + (
                f" <small>of {text(format_bytes(each.memory_bytes))}</small>"
                if each.memory
                else ""
            ),
            "number",
        ),
        Cell(draw_sparkline(each.memory_points, f"memory of {text(each.name)}")),
    )


def _percent(share: float | None) -> str:
    return '<span class="unknown">unknown</span>' if share is None else text(format_percent(share))


def _storages(storages: Sequence[StorageLine], frame: str) -> str:
    heads = (
        Head("Storage"),
        Head("In use", "number"),
        Head("How full", "wide"),
        Head(f"A {frame}", "wide"),
        Head("If it goes on like this"),
    )
    rows = [_storage(each) for each in storages[:_MOST_LINES]]
    return _table(
        "Space; what is not known comes first, then what is full soon, then the fullest",
        heads,
        rows,
        total=len(storages),
        more="pve storage list",
    )


def _storage(each: StorageLine) -> tuple[Cell, ...]:
    if each.used_share is None:
        used, bar, told = _percent(None), "", "unknown"
    else:
        size = f"<small>of {text(format_bytes(each.total_bytes))}</small>"
        growth = f" <small>{text(told)}</small>" if (told := tell_growth(each)) else ""
        used = f"{_percent(each.used_share)} {size}{growth}"
        bar = draw_bar(each.used_share, f"{format_percent(each.used_share)} in use")
        told = tell_forecast(each.forecast) if is_worth_telling(each) else "not full soon"
        told = told.replace(" if it goes on like this", "")
    kind = "soon" if each.is_filling else ""
    return (
        Cell(text(each.label)),
        Cell(used, "number"),
        Cell(bar, "wide"),
        Cell(draw_sparkline(each.points, f"space in use on {text(each.label)}"), "wide"),
        Cell(text(told), kind),
    )


def _backups(digest: Digest) -> str:
    note = _note(f"Guests: {describe_backups(digest.backups)}.")
    if digest.backups is None or not digest.backups.bad:
        return note
    words = {"old": "too old", "none": "none", "unknown": "unknown"}
    rows = [
        (
            Cell(text(guest)),
            Cell(_badge(words[state], "problem" if state == "none" else "warning")),
            Cell(text(f"{format_duration(age)} ago") if age else "none seen"),
        )
        for guest, state, age in digest.backups.bad[:_MOST_LINES]
    ]
    return note + _table(
        "Guests without a fresh backup",
        (Head("Guest"), Head("Backup"), Head("Newest")),
        rows,
        total=len(digest.backups.bad),
        more="pve backup audit --bad",
    )


def _changes(digest: Digest) -> str:
    if digest.changes is None:
        return _note(
            "Unknown: the records cannot be read from where the page was made (pve audit show)."
        )
    refused = f" {digest.refused} were refused." if digest.refused else ""
    if not digest.changes:
        return _note(f"Nothing was changed.{refused}")
    heads = (
        Head("When"),
        Head("By whom"),
        Head("What, and why"),
        Head("Result"),
    )
    table = _table(
        "What was changed, the newest first",
        heads,
        [_change(each) for each in digest.changes[:_MOST]],
        total=len(digest.changes),
        more="pve audit show --last 200",
    )
    return table + (_note(refused.strip()) if refused else "")


def _change(each: Change) -> tuple[Cell, ...]:
    when = format_utc(each.at, "%d %b %H:%M").lstrip("0")
    why = f"<br><small>{text(each.reason)}</small>" if each.reason else ""
    return (
        Cell(text(when)),
        Cell(_breakable(each.actor)),
        Cell(f"<b>{text(each.operation)}</b> {text(each.target)}{why}"),
        Cell(_result(each.result)),
    )


def _result(words: str) -> str:
    return text(words) if words in _FINE else _badge(words, "problem")


def _others(others: Sequence[OthersTasks]) -> str:
    if not others:
        return _note("None was seen.")
    rows = [
        (
            Cell(text(each.user)),
            Cell(text(each.tasks), "number"),
            Cell(text(each.failed), "number"),
            Cell(text(_kinds(dict(each.kinds)))),
        )
        for each in others[:_MOST_LINES]
    ]
    return _table(
        "Tasks in PVE that were not started through pve",
        (Head("User"), Head("Tasks", "number"), Head("Failed", "number"), Head("What")),
        rows,
        total=len(others),
        more="pve task list",
    )


def _kinds(kinds: Mapping[str, int], most: int = 6) -> str:
    told = [f"{number} {kind}" for kind, number in list(kinds.items())[:most]]
    left = len(kinds) - most
    return ", ".join(told) + (f" and {left} more kinds" if left > 0 else "")
