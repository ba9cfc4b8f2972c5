"""Lean text: for agents, pipes and files.

The verdict first, then what was seen, one header row a list, totals always, and `next:` with
whole commands last. What does not fit is counted, never silently missing.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from pveops.cli.answer import Answer, Block, Column, Facts, Lines, Listing
from pveops.cli.cells import cell

MAX_CHARS = 3500
_MAX_VERDICT = 900
_LONG_LIST_CHARS = 1000
"""From here on a list leaves out what its header can say once."""
_SHORTEST_ROW = 4
_MAX_SUBJECTS = 12
_WORDS = {"block": "problem"}


class Text(NamedTuple):
    """An answer in words. `shown` and `total` are set when something was left out."""

    text: str
    shown: int = 0
    total: int = 0


class _Part(NamedTuple):
    lines: list[str]
    shown: int
    total: int
    noun: str


def render_text(answer: Answer, *, limit: int | None = MAX_CHARS, more: str = "--full") -> Text:
    """The answer, in at most `limit` characters; None: whole.

    more: what shows the rest.
    """
    head = [_shorten(answer.verdict, _MAX_VERDICT)] if answer.verdict else []
    tail = [f"next: {_shorten(command, _MAX_VERDICT)}" for command in answer.next]
    room = None
    if limit is not None:
        room = limit - sum(len(line) + 1 for line in (*head, *tail)) - len(more) - 50
    findings = Lines(finding_lines(answer.findings, answer.next, answer.verdict))
    blocks: list[Block] = [*([findings] if answer.findings else ()), *answer.blocks]
    body, cut = _fill(blocks, room, more)
    if cut is not None:
        body.append(f"showing {cut.shown} of {cut.total} {cut.noun}; more: {more}")
    text = "\n".join([*head, *body, *tail]) + "\n"
    if limit is not None and len(text) > limit:
        text = text[: limit - 2] + "…\n"
    return Text(text, cut.shown, cut.total) if cut is not None else Text(text)


def _fill(blocks: Sequence[Block], room: int | None, more: str) -> tuple[list[str], _Part | None]:
    """The lines that fit, and the part that did not."""
    body: list[str] = []
    for number, block in enumerate(blocks):
        part = _render(block, room, more)
        body += part.lines
        if room is not None:
            room -= sum(len(line) + 1 for line in part.lines)
        if part.shown < part.total:
            left = len(blocks) - number - 1
            noun = f"{part.noun}, and nothing of {left} more parts" if left else part.noun
            return body, part._replace(noun=noun)
    return body, None


def _render(block: Block, room: int | None, more: str) -> _Part:
    if isinstance(block, Listing):
        if block.is_usual is not None and room is not None:
            return _unusual(block, room, more)
        return _table(block, room)
    if isinstance(block, Facts):
        lines = [f"{name}: {value}" for name, value in block.pairs if value]
        return _cut([block.title, *lines] if block.title else lines, room, "lines")
    return _cut(list(block.lines), room, "lines")


def _cut(lines: list[str], room: int | None, noun: str) -> _Part:
    total = len(lines)
    if room is None:
        return _Part(lines, total, total, noun)
    used = 0
    for count, line in enumerate(lines):
        used += len(line) + 1
        if used > room:
            return _Part(lines[:count], count, total, noun)
    return _Part(lines, total, total, noun)


def _table(listing: Listing, room: int | None) -> _Part:
    title = [listing.title] if listing.title else []
    if not listing.rows:
        return _Part(title, 0, 0, "rows")
    rows = listing.rows if room is None else listing.rows[: max(1, room // _SHORTEST_ROW)]
    items = [listing.to_item(row) for row in rows]
    lines = _shape(listing.columns, items)
    part = _cut([*title, *lines], room, "rows")
    above = len(title) + 1
    return part._replace(shown=max(0, part.shown - above), total=listing.size)


def _unusual(listing: Listing, room: int, more: str) -> _Part:
    """The rows that need a look, and how many do not."""
    is_usual = listing.is_usual or bool
    rows = [row for row in listing.rows if not is_usual(row)]
    left = len(listing.rows) - len(rows)
    if not left:
        return _table(listing, room)
    count = f"not listed: {left} that are {listing.usual}; all: {more}"
    cut = listing.size - len(listing.rows)
    shown = listing._replace(rows=rows, total=len(rows) + cut)
    part = _table(shown, room - len(count) - 1) if rows else _Part([], 0, 0, "rows")
    return part._replace(lines=[*part.lines, count])


def _shape(columns: Sequence[Column], items: Sequence[Mapping[str, Any]]) -> list[str]:
    columns = [column for column in columns if not column.is_wide]
    grid = [[cell(column, item) for column in columns] for item in items]
    kept = [
        index
        for index, column in enumerate(columns)
        if not column.is_sparse or any(row[index] for row in grid)
    ]
    columns = [columns[index] for index in kept]
    grid = [[row[index] for index in kept] for row in grid]
    plain = _smaller([[column.title for column in columns], *grid])
    if sum(map(len, plain)) < _LONG_LIST_CHARS or not any(column.common for column in columns):
        return plain
    titles = [
        f"{column.title}({column.common} if blank)" if column.common else column.title
        for column in columns
    ]
    common = [column.common for column in columns]
    blanked = [
        ["" if usual and text == usual else text for usual, text in zip(common, row, strict=True)]
        for row in grid
    ]
    return _smaller([titles, *blanked])


def _smaller(grid: Sequence[Sequence[str]]) -> list[str]:
    """Aligned where that costs nothing, else with tabs."""
    widths = [max(len(row[index]) for row in grid) for index in range(len(grid[0]))]
    aligned = [
        " ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)).rstrip()
        for row in grid
    ]
    tabbed = ["\t".join(row).rstrip("\t") for row in grid]
    return aligned if sum(map(len, aligned)) <= sum(map(len, tabbed)) else tabbed


def finding_lines(
    findings: Sequence[Any], told: Sequence[str] = (), verdict: str = ""
) -> tuple[str, ...]:
    """Each finding in one line: how bad, about whom, what, where it was seen, what to do.

    What is the same of several is told once, with all of them. told: remedies told elsewhere.
    verdict: the first line; of what it says itself, only the evidence is told again.
    """
    alike: dict[tuple[str, str, str, str], list[Any]] = {}
    for finding in findings:
        evidence = finding.evidence if _is_news(finding) else ""
        key = (finding.severity, finding.message, evidence, _remedy_of_any(finding))
        alike.setdefault(key, []).append(finding)
    lines = []
    for (severity, message, evidence, remedy), group in alike.items():
        shown = remedy if len(group) > 1 else group[0].remedy
        seen = f" [{evidence}]" if evidence else ""
        todo = f" -> {shown}" if shown and shown not in told else ""
        if severity == "block" and len(group) == 1 and f": {message}" in verdict and not todo:
            lines += [f"evidence: {evidence}"] if evidence else []
            continue
        whom = _whom([finding.subject for finding in group])
        lines.append(f"{_WORDS.get(severity, severity)} {whom}: {message}{seen}{todo}")
    return tuple(lines)


def _remedy_of_any(finding: Any) -> str:
    """What to do, in words that fit every guest with the same finding."""
    vmid = finding.subject.rpartition("/")[2]
    if not vmid.isdecimal():
        return str(finding.remedy)
    return re.sub(rf"(?<![\w:.-]){vmid}(?![\w:.-])", "GUEST", finding.remedy)


def _is_news(finding: Any) -> bool:
    """Whether its evidence is not in the remedy, too, such as the task to wait for."""
    return bool(finding.evidence) and finding.evidence not in finding.remedy


def _whom(subjects: Sequence[str]) -> str:
    """`vm/101, vm/102 and 7 more`."""
    names = list(dict.fromkeys(subjects))
    more = f" and {len(names) - _MAX_SUBJECTS} more" if len(names) > _MAX_SUBJECTS else ""
    return ", ".join(names[:_MAX_SUBJECTS]) + more


def _shorten(text: str, length: int) -> str:
    return text if len(text) <= length else text[: length - 1] + "…"
