"""Tasks: what became of them, and waiting until they end.

A task belongs to the node in its UPID, whichever node was asked for it. Its exit status is the
text behind `TASK` in the last line of its log (pve-common UPID.pm): `OK` and `WARNINGS: n`
succeed, `unexpected status` means that the worker was killed or its node went down, anything
else is the error. A task that ended well says that PVE did its part, not that the guest is
where it was wanted.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from enum import StrEnum
from typing import Any, NamedTuple

from pveops.api.client import Client
from pveops.api.encode import Value
from pveops.api.port import api_path
from pveops.api.progress import Amount, find_amount, find_percent
from pveops.clock import Clock
from pveops.errors import NotFoundError, ProtocolError, UnreachableError, UsageError
from pveops.ids import Upid, parse_upid

FIRST_PAUSE_S = 0.3
LAST_PAUSE_S = 2.0
GRACE_S = 120.0
"""How long the node of a task may be silent before the task counts as lost."""

_GROWTH = 2.0
_FIRST_LOG_S = 1.0
_LOG_EVERY_S = 7.0
"""With a status every 2 s this makes fewer than 0.7 requests a second over a minute."""
_TAIL_LINES = 20
_LOG_PAGE_LINES = 500
_LIST_LIMIT = 500
_WARNINGS = re.compile(r"WARNINGS: (\d+)")
_EMPTY_LOG = "no content"
_NO_LOG = "unable to open file - "


class TaskStatus(NamedTuple):
    """A task as PVE tells it."""

    upid: Upid
    is_running: bool
    exitstatus: str = ""
    """Empty while it runs."""
    endtime: int | None = None
    """Seconds since the epoch by the node's clock; lists tell it."""

    @property
    def outcome(self) -> OutcomeKind:
        """What is known of it."""
        return OutcomeKind.RUNNING if self.is_running else kind_of(self.exitstatus)

    @property
    def has_failed(self) -> bool:
        """Whether PVE tells that it ended, and not well: a worker that was killed included."""
        return bool(self.exitstatus) and not (self.is_running or self.outcome.is_success)


class LogPage(NamedTuple):
    """Some lines of a log."""

    lines: tuple[str, ...]
    total: int
    """How many lines there are so far."""


class OutcomeKind(StrEnum):
    """What is known of a task."""

    OK = "ok"
    WARNINGS = "warnings"
    FAILED = "failed"
    UNKNOWN = "unknown"
    """It ended, and PVE does not know how."""
    LOST = "lost"
    """Nobody could be asked for as long as we were patient."""
    RUNNING = "running"
    """The deadline came first. The task goes on."""

    @property
    def is_success(self) -> bool:
        """Whether PVE says that the task did its part."""
        return self in (OutcomeKind.OK, OutcomeKind.WARNINGS)


class TaskOutcome(NamedTuple):
    """What became of a task, as far as it is known."""

    upid: Upid
    kind: OutcomeKind
    exitstatus: str = ""
    """PVE's exit status, or what is to be said where there is none."""
    warnings: int = 0
    log_tail: tuple[str, ...] = ()

    @property
    def is_success(self) -> bool:
        """Whether PVE says that it did its part."""
        return self.kind.is_success

    @property
    def is_running(self) -> bool:
        """Whether the task was going on when it was last seen."""
        return self.kind is OutcomeKind.RUNNING

    @property
    def is_unknown(self) -> bool:
        """Whether nobody can say how the task ended, or that it did."""
        return self.kind in (OutcomeKind.UNKNOWN, OutcomeKind.LOST)


class TaskProgress(NamedTuple):
    """One remark while waiting."""

    elapsed_s: float
    share: float | None
    """Between 0 and 1, as far as the log tells; many tasks tell none."""
    text: str
    """The newest line of the log; where it tells bytes or a rate, these alone."""
    lines: tuple[str, ...]
    """The lines since the last remark."""
    amount: Amount | None = None
    """Bytes and rate, as far as the newest line tells them."""


OnProgress = Callable[[TaskProgress], None]


def kind_of(exitstatus: str) -> OutcomeKind:
    """What the exit status of a task that has ended means."""
    if exitstatus == "OK":
        return OutcomeKind.OK
    if _WARNINGS.fullmatch(exitstatus):
        return OutcomeKind.WARNINGS
    is_unknown = exitstatus in ("", "unexpected status") or exitstatus.startswith(
        "unable to get last line from task log"
    )
    return OutcomeKind.UNKNOWN if is_unknown else OutcomeKind.FAILED


def judge_exitstatus(upid: Upid, exitstatus: str) -> TaskOutcome:
    """What became of a task that ended so."""
    warnings = _WARNINGS.fullmatch(exitstatus)
    count = int(warnings[1]) if warnings else 0
    return TaskOutcome(upid, kind_of(exitstatus), exitstatus, count)


def get_status(client: Client, upid: Upid | str) -> TaskStatus:
    """The task's own status.

    Raises NotFoundError when its log is gone, NodeUnreachableError when its node is.
    """
    upid = _upid_of(upid)
    data = client.get(_path(upid, "status"))
    if not isinstance(data, Mapping) or data.get("status") not in ("running", "stopped"):
        raise ProtocolError(f"the status of {upid} is not what PVE sends")
    is_running = data["status"] == "running"
    return TaskStatus(upid, is_running, "" if is_running else str(data.get("exitstatus") or ""))


def list_tasks(
    client: Client,
    node: str,
    *,
    since: int | None = None,
    vmid: int | str | None = None,
    type: str | None = None,  # noqa: A002
    source: str = "all",
    limit: int = _LIST_LIMIT,
) -> list[TaskStatus]:
    """A node's tasks, newest first.

    source: `archive` alone (PVE's default) leaves out what is running.
    """
    params: dict[str, Value] = {
        "source": source,
        "limit": limit,
        "since": since,
        "vmid": vmid,
        "typefilter": type,
    }
    return _read_rows(client.get(api_path("nodes", node, "tasks"), params))


def list_cluster_tasks(client: Client) -> list[TaskStatus]:
    """The running and the newest 25 tasks of each node, dead ones too, up to 10 s old."""
    return _read_rows(client.get("/cluster/tasks"))


def read_log(
    client: Client, upid: Upid | str, start: int = 0, limit: int = _LOG_PAGE_LINES
) -> LogPage:
    """The log's lines after the first `start`. Raises NotFoundError when the log is gone."""
    params = {"start": start, "limit": limit}
    answer = client.get_answer(_path(_upid_of(upid), "log"), params)
    rows = answer.data if isinstance(answer.data, list) else []
    lines = tuple(str(row.get("t", "")) for row in rows if isinstance(row, Mapping))
    if start == 0 and len(lines) == 1:
        if lines[0].startswith(_NO_LOG):
            raise NotFoundError(f"the log of {upid} is gone")
        if lines[0] == _EMPTY_LOG:
            return LogPage((), 0)
    return LogPage(lines, answer.total if answer.total is not None else start + len(lines))


def read_progress(client: Client, upid: Upid | str) -> TaskProgress:
    """How far a task is by the end of its log. Two requests.

    `elapsed_s` counts from the task's start by the server's clock. Raises NotFoundError when the
    log is gone.
    """
    upid = _upid_of(upid)
    total = read_log(client, upid, 0, 1).total
    lines = read_log(client, upid, max(0, total - _TAIL_LINES), _TAIL_LINES).lines
    share, amount = None, None
    for line in lines:
        percent = find_percent(line)
        share = share if percent is None else percent / 100
        amount = find_amount(line) or amount
    text = amount.words if amount else (lines[-1] if lines else "")
    elapsed_s = max(0.0, client.server_time() - upid.starttime)
    return TaskProgress(elapsed_s, share, text, lines, amount)


def cancel_task(client: Client, upid: Upid | str) -> None:
    """Ask PVE to stop a task: a signal, and after 5 s a kill, which may leave locks behind.

    A write: for the executor. A task that has ended takes it too. Look at the status afterwards.
    """
    client.write("DELETE", _path(_upid_of(upid)))


def wait_for_task(
    client: Client,
    upid: Upid | str,
    clock: Clock,
    deadline_s: float | None = None,
    on_progress: OnProgress | None = None,
    *,
    grace_s: float = GRACE_S,
    is_fresh: bool = False,
) -> TaskOutcome:
    """Ask until the task has ended, its node stays silent, or `deadline_s` seconds are over.

    The first question goes at once, the next after 0.3 s, growing to 2 s. Of a task that was
    begun just now (is_fresh) nothing is asked before those 0.3 s: hardly one is over by then. A
    silent node is put up with for `grace_s` seconds, while `/cluster/tasks` may still tell the
    end.

    Raises AccessError and the like; a task that still runs at the deadline is an outcome.
    """
    wait = _Wait(client, _upid_of(upid), clock, deadline_s, on_progress, grace_s)
    return wait.run(is_fresh=is_fresh)


class _Wait:
    """One task being waited for."""

    def __init__(
        self,
        client: Client,
        upid: Upid,
        clock: Clock,
        deadline_s: float | None,
        on_progress: OnProgress | None,
        grace_s: float,
    ) -> None:
        self._client = client
        self._upid = upid
        self._clock = clock
        self._began = clock.monotonic()
        self._ends = None if deadline_s is None else self._began + deadline_s
        self._on_progress = on_progress
        self._grace_s = grace_s
        self._silent_since: float | None = None
        self._silence = ""
        self._seen_lines = 0
        self._share: float | None = None
        self._last_line = ""
        self._amount: Amount | None = None
        self._log_due = self._began + _FIRST_LOG_S

    def run(self, *, is_fresh: bool) -> TaskOutcome:
        """Until there is something to say."""
        pause = FIRST_PAUSE_S
        if is_fresh:
            pause = self._rest(pause)
        while True:
            outcome = self._ask()
            if outcome is not None:
                return self._with_log(outcome)
            now = self._clock.monotonic()
            if self._ends is not None and now >= self._ends:
                return self._at_deadline()
            self._tell(now)
            pause = self._rest(pause)

    def _rest(self, pause: float) -> float:
        """Wait for so long, or as long as there is; how long to wait the next time."""
        now = self._clock.monotonic()
        left = pause if self._ends is None else max(0.0, self._ends - now)
        self._clock.sleep(min(pause, left))
        return min(LAST_PAUSE_S, pause * _GROWTH)

    def _ask(self) -> TaskOutcome | None:
        """The outcome if there is one by now."""
        try:
            status = get_status(self._client, self._upid)
        except NotFoundError:
            text = "PVE has no such task any more: its log was cleaned up"
            return self._from_cluster() or TaskOutcome(self._upid, OutcomeKind.UNKNOWN, text)
        except (UnreachableError, ProtocolError) as error:
            return self._in_silence(error.message)
        self._silent_since = None
        return None if status.is_running else judge_exitstatus(self._upid, status.exitstatus)

    def _in_silence(self, reason: str) -> TaskOutcome | None:
        """The task's node does not answer; another may know the end of the task."""
        now = self._clock.monotonic()
        self._silence = reason
        if self._silent_since is None:
            self._silent_since = now
        known = self._from_cluster()
        if known is not None:
            return known
        if now - self._silent_since < self._grace_s:
            return None
        text = f"no news from node {self._upid.node} for {self._grace_s:.0f} s: {reason}"
        return TaskOutcome(self._upid, OutcomeKind.LOST, text)

    def _from_cluster(self) -> TaskOutcome | None:
        try:
            known = list_cluster_tasks(self._client)
        except (UnreachableError, ProtocolError):
            return None
        for status in known:
            if status.upid == self._upid and not status.is_running:
                return judge_exitstatus(self._upid, status.exitstatus)
        return None

    def _at_deadline(self) -> TaskOutcome:
        elapsed = self._clock.monotonic() - self._began
        if self._silent_since is not None:
            text = f"no news from node {self._upid.node}: {self._silence}"
            return TaskOutcome(self._upid, OutcomeKind.LOST, text)
        text = f"still running after {elapsed:.0f} s"
        return TaskOutcome(self._upid, OutcomeKind.RUNNING, text)

    def _tell(self, now: float) -> None:
        """Read the new lines and pass them on; less often than the status is asked for."""
        if self._on_progress is None or self._silent_since is not None or now < self._log_due:
            return
        self._log_due = now + _LOG_EVERY_S
        self._pass_on(self._read_new_lines())

    def _pass_on(self, lines: tuple[str, ...]) -> None:
        if self._on_progress is None:
            return
        for line in lines:
            percent = find_percent(line)
            self._share = self._share if percent is None else percent / 100
            self._amount = find_amount(line)
            self._last_line = self._amount.words if self._amount else line
        elapsed = self._clock.monotonic() - self._began
        self._on_progress(TaskProgress(elapsed, self._share, self._last_line, lines, self._amount))

    def _read_new_lines(self) -> tuple[str, ...]:
        """What came since the last look; nothing when the log cannot be read."""
        try:
            page = read_log(self._client, self._upid, self._seen_lines)
        except (NotFoundError, UnreachableError, ProtocolError):
            return ()
        self._seen_lines += len(page.lines)
        return page.lines

    def _with_log(self, outcome: TaskOutcome) -> TaskOutcome:
        """What the log got after the last look; for a task that simply went well, nothing."""
        if outcome.kind in (OutcomeKind.RUNNING, OutcomeKind.LOST):
            return outcome
        if outcome.kind is OutcomeKind.OK and not self._seen_lines:
            return outcome
        lines = self._read_new_lines()
        while lines and len(lines) % _LOG_PAGE_LINES == 0:
            more = self._read_new_lines()
            if not more:
                break
            lines += more
        self._pass_on(lines)
        return outcome._replace(log_tail=lines[-_TAIL_LINES:])


def _upid_of(upid: Upid | str) -> Upid:
    parsed = upid if isinstance(upid, Upid) else parse_upid(upid)
    if parsed is None:
        raise UsageError(f"{upid!r} is no task id", hint="it looks like `UPID:pve1:...:`")
    return parsed


def _path(upid: Upid, *rest: str) -> str:
    return api_path("nodes", upid.node, "tasks", str(upid), *rest)


def _read_rows(data: Any) -> list[TaskStatus]:
    """Rows of a list of tasks. Running ones have no status, or `RUNNING`."""
    rows = data if isinstance(data, list) else []
    found = []
    for row in rows:
        upid = parse_upid(row.get("upid")) if isinstance(row, Mapping) else None
        if upid is None:
            continue
        status = str(row.get("status") or "")
        is_running = status == "RUNNING" or (not status and not row.get("endtime"))
        endtime = row.get("endtime")
        found.append(
            TaskStatus(
                upid,
                is_running,
                "" if is_running else status,
                int(endtime) if str(endtime or "").isdecimal() else None,
            )
        )
    return found
