"""Answers on a terminal: colour, tables, progress. Imported only there."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.progress import TimeRemainingColumn as EtaColumn
from rich.table import Table
from rich.text import Text

from pveops.cli.answer import Answer, Block, Column, Facts, Listing
from pveops.cli.cells import cell
from pveops.redact import redact

if TYPE_CHECKING:
    from pveops.cli.call import Call
    from pveops.engine.tools import Progress as OnProgress

_GAP = 2
"""Spaces between columns."""
_MAX_ROWS = 500
_STYLES = {
    "running": "green",
    "online": "green",
    "available": "green",
    "done": "green",
    "OK": "green",
    "stopped": "dim",
    "paused": "yellow",
    "pending": "yellow",
    "unknown": "yellow",
    "offline": "red",
    "io-error": "red",
    "failed": "red",
}
_SEVERITIES = {
    "block": ("problem", "bold red"),
    "warn": ("warn", "yellow"),
    "info": ("info", "cyan"),
}
_NUMBERS = frozenset({"number", "bytes", "percent", "duration"})
_MAX_NOTE = 70


def show(answer: Answer, call: Call) -> None:
    """Write the answer to the call's stdout."""
    console = Console(file=call.stdout, highlight=False)
    console.print(_verdict(answer))
    for finding in answer.findings:
        console.print(_finding(finding))
    for block in answer.blocks:
        _show_block(console, block, is_full=call.options.is_full)
    for command in answer.next:
        console.print(Text.assemble(("next: ", "bold cyan"), redact(command)), soft_wrap=True)


def _verdict(answer: Answer) -> Text:
    style = "bold" if answer.ok else ("bold yellow" if answer.code in {3, 8} else "bold red")
    return Text(redact(answer.verdict), style=style)


def _finding(finding: Any) -> Text:
    word, style = _SEVERITIES.get(finding.severity, (finding.severity, ""))
    line = Text.assemble((f"{word:8}", style), f"{finding.subject}: {redact(finding.message)}")
    if finding.evidence:
        line.append(f" [{redact(finding.evidence)}]", style="dim")
    if finding.remedy:
        line.append(f"\n         {redact(finding.remedy)}", style="cyan")
    return line


def _show_block(console: Console, block: Block, *, is_full: bool) -> None:
    if isinstance(block, Listing):
        _show_listing(console, block, is_full=is_full)
    elif isinstance(block, Facts):
        _show_facts(console, block)
    else:
        for line in block.lines:
            console.print(Text(redact(line)), soft_wrap=True)


def _show_facts(console: Console, facts: Facts) -> None:
    if facts.title:
        console.print(Text(redact(facts.title), style="bold"))
    grid = Table.grid(padding=(0, 2))
    for name, value in facts.pairs:
        if value:
            grid.add_row(Text(name, style="dim"), _styled(redact(value)))
    console.print(grid)


def _show_listing(console: Console, listing: Listing, *, is_full: bool) -> None:
    if not listing.rows:
        return
    rows = listing.rows if is_full else listing.rows[:_MAX_ROWS]
    items = [listing.to_item(row) for row in rows]
    grid = [[cell(column, item) for column in listing.columns] for item in items]
    kept = _columns_that_fit(listing.columns, grid, console.width)
    table = Table(
        box=None, header_style="bold", padding=(0, _GAP, 0, 0), title=listing.title or None
    )
    for index in kept:
        column = listing.columns[index]
        table.add_column(column.title, justify=_side(column), overflow="fold")
    for row in grid:
        table.add_row(*(_styled(redact(row[index])) for index in kept))
    console.print(table)
    if len(rows) < listing.size:
        console.print(Text(f"showing {len(rows)} of {listing.size}; more: --full", style="dim"))


def _columns_that_fit(
    columns: Sequence[Column], grid: Sequence[Sequence[str]], width: int
) -> list[int]:
    """Sparse columns without a value go, and wide ones, from the right, until the rest fits."""
    kept = [
        index
        for index, column in enumerate(columns)
        if not column.is_sparse or any(row[index] for row in grid)
    ]
    widths = {
        index: max(len(columns[index].title), *(len(row[index]) for row in grid)) + _GAP
        for index in kept
    }
    for index in reversed([index for index in kept if columns[index].is_wide]):
        if sum(widths[each] for each in kept) <= width:
            break
        kept.remove(index)
    return kept


def _side(column: Column) -> Any:
    return "right" if column.kind in _NUMBERS else "left"


def _styled(text: str) -> Text:
    return Text(text, style=_STYLES.get(text.partition(" ")[0], ""))


@contextmanager
def run_progress(call: Call) -> Iterator[OnProgress]:
    """Bars on stderr, one a target, from the first remark on; they vanish at the end."""
    progress = Progress(
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(bar_width=24),
        TextColumn("{task.fields[percent]}"),
        TimeElapsedColumn(),
        EtaColumn(),
        console=Console(file=call.stderr),
        transient=True,
    )
    bars: dict[int, Any] = {}

    def on_progress(index: int, text: str, share: float | None) -> None:
        if not bars:
            progress.start()
        if index not in bars:
            bars[index] = progress.add_task("", total=None, percent="")
        bar = bars[index]
        if text:
            words = Text(redact(text))
            words.truncate(_MAX_NOTE, overflow="ellipsis")
            progress.update(bar, description=words.markup)
        if share is not None:
            progress.update(bar, completed=share, total=1.0, percent=f"{share:4.0%}")

    try:
        yield on_progress
    finally:
        progress.stop()
