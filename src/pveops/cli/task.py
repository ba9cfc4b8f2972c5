"""`pve task`: look at tasks, read their logs, wait for their end."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from pveops.cli.answer import Answer, Facts, Lines, Written
from pveops.cli.call import Call
from pveops.cli.cells import count_of
from pveops.cli.commands import Group, list_options, wait_option

if TYPE_CHECKING:
    from pveops.api.client import Client
    from pveops.api.tasks import TaskOutcome, TaskStatus

_LOG_LINES = 30
_LOG_CHARS = 2_000
_FULL_CHARS = 16_000

group = Group("task", help="Tasks: what PVE is doing and has done. A task is named by its UPID.")


@group.command("list", operation="task.list")
@click.option("--guest", help="About this guest (vmid or name); its node's own list.")
@click.option("--node", help="On this node; its own list, which goes further back.")
@click.option("--failed", is_flag=True, help="Only those that did not end well.")
@click.option("--running", is_flag=True, help="Only those that are running.")
@list_options
@click.pass_obj
def list_tasks(
    call: Call, guest: str | None, node: str | None, failed: bool, running: bool
) -> Answer:
    """List running and recent tasks, the newest first.

    Without --node or --guest: the running ones and the newest 25 of each node.
    """
    from pveops.cli.task_items import task_listing

    reader = call.wiring.reader
    tasks = _read(reader, guest, node)
    shown = [
        task
        for task in tasks
        if (not failed or task.has_failed) and (not running or task.is_running)
    ]
    shown.sort(key=lambda task: -task.upid.starttime)
    bad = sum(task.has_failed for task in shown)
    active = sum(task.is_running for task in shown)
    verdict = f"{count_of(len(shown), 'task')}: {active} running, {bad} not ended well"
    if len(shown) != len(tasks):
        verdict += f" (of {len(tasks)} visible)"
    first = next((task for task in shown if task.has_failed), None)
    next_ = (f"pve task log {first.upid}",) if first is not None else ()
    return Answer(verdict, blocks=(task_listing(shown, reader.server_time()),), next=next_)


def _read(reader: Client, guest: str | None, node: str | None) -> list[TaskStatus]:
    from pveops.api import tasks

    if guest is not None:
        from pveops.domain.inventory import read_inventory
        from pveops.domain.selection import resolve_guest

        found = resolve_guest(read_inventory(reader), guest)
        return tasks.list_tasks(reader, node or found.node, vmid=found.vmid)
    if node is not None:
        return tasks.list_tasks(reader, node)
    return tasks.list_cluster_tasks(reader)


@group.command("show", operation="task.show")
@click.argument("upid")
@click.pass_obj
def show_task(call: Call, upid: str) -> Answer:
    """Show the state of one task."""
    from pveops.api.tasks import get_status
    from pveops.cli.run_progress import task_progress
    from pveops.units import format_utc

    status = get_status(call.wiring.reader, upid)
    told = "is running" if status.is_running else f"ended with {status.exitstatus}"
    parts = status.upid
    progress = task_progress(call.wiring.reader, str(parts)) if status.is_running else None
    if progress is not None and progress["words"]:
        told += f": {progress['words']}"
    facts = Facts(
        (
            ("type", parts.type),
            ("about", parts.id),
            ("node", parts.node),
            ("by", parts.user),
            ("started", format_utc(parts.starttime)),
        )
    )
    data = {**parts._asdict(), "upid": str(parts), "is_running": status.is_running}
    data["exitstatus"] = status.exitstatus
    data["progress"] = progress
    next_ = f"pve task {'wait' if status.is_running else 'log'} {parts}"
    return Answer(f"{parts} {told}", data=data, blocks=(facts,), next=(next_,))


@group.command("log", operation="task.log")
@click.argument("upid")
@click.option(
    "--lines", type=click.IntRange(1, 5000), default=_LOG_LINES, help=f"How many. [{_LOG_LINES}]"
)
@click.pass_obj
def show_log(call: Call, upid: str, lines: int) -> Answer:
    """Show the end of a task's log, which others may have written."""
    from pveops.api.tasks import read_log
    from pveops.sanitize import frame_untrusted

    reader = call.wiring.reader
    total = read_log(reader, upid, 0, 1).total
    page = read_log(reader, upid, max(0, total - lines), lines)
    text = "\n".join(page.lines)
    if not call.options.is_full:
        text = text[-_LOG_CHARS:]
    framed = frame_untrusted(text, f"log of {upid}", limit=_FULL_CHARS)
    data = {"upid": upid, "total": total, "untrusted": {"log": list(page.lines)}}
    return Answer(
        f"log of {upid}: the last {len(page.lines)} of {total} lines",
        data=data,
        blocks=(Lines(tuple(framed.split("\n"))),),
        has_free_text=bool(page.lines),
    )


@group.command("cancel", operation="task.cancel")
@click.argument("upid")
@wait_option
@click.pass_obj
def cancel(call: Call, upid: str) -> Answer | Written:
    """End a running task by force; what it left behind stays.

    Stores a plan and exits with 3 unless the caller is a person at a terminal.
    """
    from pveops.cli.changing import ask_for

    return ask_for(call, "task.cancel", names=(upid,))


@group.command("wait", operation="task.wait")
@click.argument("upid")
@wait_option
@click.pass_obj
def wait(call: Call, upid: str) -> Answer:
    """Wait for the end of a task; the exit code tells how it ended.

    A person waits as long as it takes. Anybody else gets `pending` (exit 8) in time.
    """
    from pveops.cli.task_items import answer_of_outcome

    return answer_of_outcome(_wait(call, upid))


def _wait(call: Call, upid: str) -> TaskOutcome:
    from pveops.api.tasks import TaskProgress, wait_for_task
    from pveops.cli.detach import patience_s

    reader = call.wiring.reader
    if not call.has_rich_view:
        return wait_for_task(reader, upid, call.clock, patience_s(call))
    from pveops.cli.rich_view import run_progress

    with run_progress(call) as on_progress:

        def tell(progress: TaskProgress) -> None:
            on_progress(0, progress.text, progress.share)

        return wait_for_task(reader, upid, call.clock, patience_s(call), tell)
