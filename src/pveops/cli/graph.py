"""`pve graph`: how much of something was used, as blocks in text or as a PNG."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import click

from pveops.cli.answer import Answer, Lines
from pveops.cli.call import Call
from pveops.cli.commands import Group
from pveops.errors import NotFoundError, UnsupportedError, UsageError

if TYPE_CHECKING:
    from pveops.domain.inventory import Inventory
    from pveops.domain.rrd import Measured
    from pveops.domain.storage import Storage
    from pveops.monitor.chart import Chart
    from pveops.monitor.measures import Kind, Metric

_MOST = 6
_LONGEST_DAYS = 360

group = Group("graph", help="How much was used: as blocks in text, or as a PNG (--out).")


class Subject(NamedTuple):
    """One thing: where its series are, and what it is called alone and beside others."""

    path: str
    title: str
    label: str


def _options(function: Callable[..., Any]) -> Callable[..., Any]:
    for option in reversed(
        (
            click.option(
                "--metric", metavar="NAME", default="", help="What; an unknown one lists all."
            ),
            click.option("--since", default="1d", show_default=True, help="How far back: 2h, 7d."),
            click.option("--peak", is_flag=True, help="The highest of each step, not the mean."),
            click.option(
                "--out", metavar="FILE", default="", help="Draw a PNG: FILE.png, or a folder."
            ),
            click.option(
                "--replace", is_flag=True, help="Over a PNG that was not made by this command."
            ),
        )
    ):
        function = option(function)
    return function


@group.command(
    "guest",
    operation="graph.guest",
    examples=(
        "pve graph guest web01 --metric memory --since 7d",
        "pve graph guest web01 web02 --metric cpu --out /tmp",
    ),
)
@click.argument("guests", nargs=-1, required=True, metavar="GUEST...")
@_options
@click.pass_obj
def guest(call: Call, /, guests: tuple[str, ...], **options: Any) -> Answer:
    """Graph guests: CPU, memory, disk and network traffic, pressure.

    What was not measured, because the guest was off or its node down, is a gap.
    """
    from pveops.domain.rrd import guest_path
    from pveops.domain.selection import resolve_guest

    def choose(inventory: Inventory) -> list[Subject]:
        found = [resolve_guest(inventory, name) for name in guests]
        is_unknown = options["metric"] in {"rootfs", "root"}
        if is_unknown and any(each.kind == "qemu" for each in found):
            raise UnsupportedError(
                "PVE does not know how full the disks of a VM are, only containers'",
                hint="ask inside: `df` by pve guest exec, where the policy lists it",
            )
        return [
            Subject(
                guest_path(each.node, each.kind, each.vmid),
                each.ref.label,
                f"{each.name or 'no name'} ({each.vmid})",
            )
            for each in dict.fromkeys(found)
        ]

    return _graph(call, "guest", choose, **options)


@group.command(
    "node",
    operation="graph.node",
    examples=("pve graph node pve1 --metric iowait", "pve graph node pve1 pve2 --metric load"),
)
@click.argument("nodes", nargs=-1, required=True, metavar="NODE...")
@_options
@click.pass_obj
def node(call: Call, /, nodes: tuple[str, ...], **options: Any) -> Answer:
    """Graph nodes: CPU, memory, load, I/O wait, swap, rootfs, traffic, pressure."""
    from pveops.domain.rrd import node_path

    def choose(inventory: Inventory) -> list[Subject]:
        known = [each.name for each in inventory.nodes]
        for name in nodes:
            if name not in known:
                raise NotFoundError(
                    f"there is no node {name!r}", hint=f"the nodes are: {', '.join(known[:20])}"
                )
        return [Subject(node_path(name), name, name) for name in dict.fromkeys(nodes)]

    return _graph(call, "node", choose, **options)


@group.command(
    "storage",
    operation="graph.storage",
    examples=(
        "pve graph storage backups --since 30d --out backups.png",
        "pve graph storage pve1/local",
    ),
)
@click.argument("storages", nargs=-1, required=True, metavar="[NODE/]STORAGE...")
@_options
@click.pass_obj
def storage(call: Call, /, storages: tuple[str, ...], **options: Any) -> Answer:
    """Graph how full storages are, and when they are full.

    That is: if they go on like this. A storage that each node has is one line a node.
    """

    def choose(inventory: Inventory) -> list[Subject]:
        found = [each for name in storages for each in _find_storages(inventory, name)]
        return [_storage_subject(each) for each in dict.fromkeys(found)]

    return _graph(call, "storage", choose, **options)


def _find_storages(inventory: Inventory, text: str) -> list[Storage]:
    """A shared storage once, as a node sees it where it is available; others on each node."""
    node, _, name = text.rpartition("/")
    rows = [
        each
        for each in inventory.storages
        if each.storage == name and (not node or each.node == node)
    ]
    if not rows:
        places = sorted({each.storage for each in inventory.storages})
        raise NotFoundError(
            f"there is no storage {text!r} among those that are visible",
            hint=f"the storages are: {', '.join(places[:20])}" if places else "pve status",
        )
    if rows[0].is_shared and not node:
        return sorted(rows, key=lambda each: each.status != "available")[:1]
    return rows


def _storage_subject(row: Storage) -> Subject:
    from pveops.domain.rrd import storage_path

    return Subject(storage_path(row.node, row.storage), row.label, row.label)


# -- from subjects to a picture ------------------------------------------------------


def _graph(
    call: Call,
    kind: Kind,
    choose: Callable[[Inventory], list[Subject]],
    *,
    metric: str,
    since: str,
    peak: bool,
    out: str,
    replace: bool,
) -> Answer:
    from pveops.cli.outfile import PICTURE, claim_path
    from pveops.domain.inventory import read_inventory
    from pveops.monitor.chart import format_range, make_chart

    chosen = _metric(kind, metric)
    span = _span(since)
    subjects = choose(read_inventory(call.wiring.reader))
    _check_count(subjects, chosen)
    name = f"pve-{chosen.name}-{'-'.join(each.label for each in subjects[:2])}"
    path = claim_path(call, out, PICTURE, name, may_replace=replace) if out else None
    measured = _read(call, subjects, span, peak=peak)
    end = int(call.wiring.reader.server_time())
    pairs = [(each.label, found) for each, found in zip(subjects, measured, strict=True)]
    chart = make_chart(chosen, pairs, end - span, end)
    if chart.is_empty:
        raise _nothing(chosen, subjects, measured, since)
    title = _title(chosen, subjects, peak=peak)
    where = format_range(chart.start, chart.end)
    forecasts = _forecasts(subjects, measured, end) if kind == "storage" else ()
    data = _data(chart, chosen, subjects, forecasts)
    if path is None:
        from pveops.monitor.blocks import draw_blocks

        lines = (where, *draw_blocks(chart), *forecasts)
        return Answer(title, data=data, blocks=(Lines(lines),))
    _draw(call, path, chart, title, where)
    return Answer(
        str(path.absolute()),
        data={"file": str(path.absolute()), **data},
        blocks=(Lines((f"{title}, {where}", *_told(chart), *forecasts)),),
    )


def _metric(kind: Kind, name: str) -> Metric:
    from pveops.monitor.measures import METRICS, find_metric, names_of

    if not name:
        return METRICS[kind][0]
    found = find_metric(kind, name)
    if found is None:
        import difflib

        near = difflib.get_close_matches(name.lower(), names_of(kind), n=1)
        meant = f"did you mean {near[0]}? " if near else ""
        raise UsageError(
            f"a {kind} has no metric {name!r}",
            hint=f"{meant}there are: {', '.join(names_of(kind))}",
        )
    return found


def _span(since: str) -> int:
    from pveops.cli.verbs import parse_duration
    from pveops.units import DAY_S, MINUTE_S

    seconds = parse_duration(since)
    if seconds is None or not 5 * MINUTE_S <= seconds <= _LONGEST_DAYS * DAY_S:
        raise UsageError(
            f"{since!r} is no duration from 5m to {_LONGEST_DAYS}d", hint="--since 2h, 1d, 30d"
        )
    return seconds


def _check_count(subjects: Sequence[Subject], metric: Metric) -> None:
    if len(subjects) > _MOST:
        raise UsageError(
            f"{len(subjects)} in one picture are too many",
            hint=f"name up to {_MOST}; of a storage that each node has: pve1/local",
        )
    if len(subjects) > 1 and len(metric.curves) > 1:
        raise UsageError(
            f"{metric.name} has {len(metric.curves)} lines each, too many for several things",
            hint="choose one direction: disk-read, disk-write, net-in, net-out; or one thing",
        )


def _read(call: Call, subjects: Sequence[Subject], span: int, *, peak: bool) -> list[Measured]:
    from pveops.domain.rrd import read_measured, timeframe_for

    return [
        read_measured(
            call.wiring.reader, each.path, timeframe_for(span), "MAX" if peak else "AVERAGE"
        )
        for each in subjects
    ]


def _nothing(
    metric: Metric, subjects: Sequence[Subject], measured: Sequence[Measured], since: str
) -> NotFoundError | UnsupportedError:
    names = ", ".join(each.title for each in subjects)
    if metric.since and any(each.members for each in measured):
        return UnsupportedError(
            f"{metric.name} of {names} is not measured",
            hint=f"PVE measures it from {metric.since} on, while the thing runs",
        )
    return NotFoundError(
        f"nothing was measured of {names} in the last {since}",
        hint="a longer --since, or another --metric; while it was off there is nothing",
    )


def _title(metric: Metric, subjects: Sequence[Subject], *, peak: bool) -> str:
    what = metric.words[0].upper() + metric.words[1:]
    names = subjects[0].title if len(subjects) == 1 else ", ".join(s.label for s in subjects)
    return f"{what}{' (peaks)' if peak else ''}: {names}"


def _draw(call: Call, path: Any, chart: Chart, title: str, where: str) -> None:
    from pveops.cli.outfile import write_file
    from pveops.monitor.plot import draw_png, keep_fonts_in

    keep_fonts_in(call.wiring.paths.state_dir / "cache" / "plots")
    write_file(path, draw_png(chart, title, where))


def _told(chart: Chart) -> list[str]:
    from pveops.monitor.chart import tell_numbers

    lines = []
    for line in chart.lines:
        numbers = ", ".join(tell_numbers(chart, line)) or "nothing was measured"
        lines.append(f"{line.label}: {numbers}")
    return lines


def _forecasts(
    subjects: Sequence[Subject], measured: Sequence[Measured], now: int
) -> tuple[str, ...]:
    from pveops.monitor.forecast import foresee, tell_forecast

    return tuple(
        f"{subject.label}: {tell_forecast(foresee(found, now))}"
        for subject, found in zip(subjects, measured, strict=True)
    )


def _data(
    chart: Chart, metric: Metric, subjects: Sequence[Subject], forecasts: tuple[str, ...]
) -> dict[str, Any]:
    """The points too: whoever asks for JSON wants to reckon with them."""
    from pveops.monitor.chart import summarize

    lines = []
    for line in chart.lines:
        found = summarize(line)
        lines.append(
            {
                "label": line.label,
                **(found._asdict() if found else {}),
                "points": [
                    [at, None if value is None else round(value, 4)] for at, value in line.points
                ],
            }
        )
    return {
        "metric": metric.name,
        "subjects": [each.title for each in subjects],
        "unit": chart.unit,
        "ceiling": chart.ceiling,
        "start": chart.start,
        "end": chart.end,
        "step_s": chart.step_s,
        "lines": lines,
        **({"forecast": list(forecasts)} if forecasts else {}),
    }
