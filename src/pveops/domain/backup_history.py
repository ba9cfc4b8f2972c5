"""The backups that nodes have tried to make, from their lists of tasks and the logs."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from pveops.api.tasks import TaskStatus, kind_of, list_tasks, read_log
from pveops.domain.access import Permissions
from pveops.domain.vzdump_log import GuestResult, VzdumpLog, read_vzdump_log
from pveops.errors import PveopsError

if TYPE_CHECKING:
    from pveops.api.client import Client
    from pveops.domain.inventory import Inventory

MAX_LOGS = 20
"""So many logs are read of a node, the newest."""
_PAGE_LINES = 5000


class BackupRun(NamedTuple):
    """One run of vzdump on one node."""

    upid: str
    node: str
    starttime: int
    """Seconds since the epoch."""
    is_running: bool
    exitstatus: str
    log: VzdumpLog | None
    """None: it could not be read, or was not needed."""

    @property
    def is_ok(self) -> bool:
        """Whether it ended well, with or without warnings."""
        return not self.is_running and kind_of(self.exitstatus).is_success


class BackupHistory(NamedTuple):
    """The runs since some moment, the newest first, and the nodes that told nothing."""

    runs: tuple[BackupRun, ...]
    unseen: tuple[str, ...]
    """Nodes that do not answer, or whose tasks the token may not see; in words."""

    def latest_results(self) -> dict[int, tuple[BackupRun, GuestResult]]:
        """What the newest run that tells of a guest says, by vmid."""
        found: dict[int, tuple[BackupRun, GuestResult]] = {}
        for run in self.runs:
            for result in run.log.results if run.log else ():
                found.setdefault(result.vmid, (run, result))
        return found


def read_history(
    client: Client,
    inventory: Inventory,
    permissions: Permissions | None,
    since: int,
    *,
    max_logs: int = MAX_LOGS,
) -> BackupHistory:
    """One request a node, and one or more for each log."""
    runs: list[BackupRun] = []
    unseen: list[str] = []
    for node in inventory.nodes:
        if not node.is_online:
            unseen.append(f"{node.name} does not answer")
            continue
        if permissions is None or not permissions.allows(f"/nodes/{node.name}", "Sys.Audit"):
            unseen.append(f"{node.name} shows our own tasks only")
        try:
            tasks = list_tasks(client, node.name, since=since, type="vzdump")
        except PveopsError:
            unseen.append(f"{node.name} does not answer")
            continue
        tasks = [task for task in tasks if task.upid.type == "vzdump"]
        tasks.sort(key=lambda task: -task.upid.starttime)
        mine = [_run_of(client, task, is_read=n < max_logs) for n, task in enumerate(tasks)]
        runs += mine
        if len(tasks) > max_logs:
            unseen.append(f"{node.name} has {len(tasks) - max_logs} older runs that were not read")
        unread = sum(run.log is None for run in mine[:max_logs])
        if unread:
            unseen.append(f"{node.name} does not show the logs of {unread} runs")
    runs.sort(key=lambda run: -run.starttime)
    return BackupHistory(tuple(runs), tuple(unseen))


def _run_of(client: Client, task: TaskStatus, *, is_read: bool) -> BackupRun:
    upid = task.upid
    log = None
    if task.exitstatus == "OK" and upid.id.isdecimal():
        log = VzdumpLog((GuestResult(int(upid.id), True, ""),), "")
    elif is_read:
        log = _read_log(client, task)
    return BackupRun(str(upid), upid.node, upid.starttime, task.is_running, task.exitstatus, log)


def _read_log(client: Client, task: TaskStatus) -> VzdumpLog | None:
    lines: list[str] = []
    try:
        page = read_log(client, task.upid, 0, _PAGE_LINES)
        while page.lines:
            lines += page.lines
            if len(lines) >= page.total:
                break
            page = read_log(client, task.upid, len(lines), _PAGE_LINES)
    except PveopsError:
        return None
    return read_vzdump_log(lines)
