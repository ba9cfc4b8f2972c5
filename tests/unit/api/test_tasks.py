"""Waiting for tasks, on a virtual clock, against a node that behaves as PVE's API was seen to."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any
from urllib.parse import unquote

import pytest

from pveops.api.client import Client
from pveops.api.port import Request, Response
from pveops.api.progress import Amount, find_amount, find_percent
from pveops.api.tasks import (
    OutcomeKind,
    TaskProgress,
    cancel_task,
    get_status,
    judge_exitstatus,
    list_tasks,
    read_log,
    wait_for_task,
)
from pveops.clock import VirtualClock
from pveops.errors import (
    AuthenticationError,
    NotFoundError,
    PveopsError,
    UnreachableError,
    UsageError,
)
from pveops.ids import parse_upid

UPID = "UPID:pve1:0000ABCD:0001C525:6B04699E:qmstart:100:ops@pve!agent:"
PARSED = parse_upid(UPID)
assert PARSED is not None


class TaskNode:
    """One task on one node. Implements the transport port."""

    def __init__(self, clock: VirtualClock) -> None:
        self.clock = clock
        self.ends_at = 10.0
        self.exitstatus = "OK"
        self.lines: list[tuple[float, str]] = []
        self.silent: Callable[[float], bool] = lambda now: False
        self.failure: PveopsError | None = None
        self.is_in_cluster_list = True
        self.is_log_gone = False
        self.seen: list[Request] = []

    def send(self, request: Request) -> Response:
        self.seen.append(request)
        if self.failure is not None:
            raise self.failure
        now = self.clock.monotonic()
        if request.path == "/cluster/tasks":
            return self._ok([self._row(now)] if self.is_in_cluster_list else [])
        if self.silent(now):
            return Response(595, "No route to host", {}, b"")
        path = unquote(request.path)
        params = dict(request.params)
        if path == f"/nodes/pve1/tasks/{UPID}/status":
            return self._status(now)
        if path == f"/nodes/pve1/tasks/{UPID}/log":
            return self._log(now, int(params["start"]), int(params["limit"]))
        if path == f"/nodes/pve1/tasks/{UPID}":
            return self._ok(None)
        if path == "/nodes/pve1/tasks":
            return self._ok([self._row(now), {"upid": "nonsense"}, "nonsense"])
        return Response(501, f"Method '{request.method} {path}' not implemented", {}, b"")

    def close(self) -> None:
        pass

    def count(self, ending: str) -> int:
        return sum(request.path.endswith(ending) for request in self.seen)

    def _status(self, now: float) -> Response:
        if self.is_log_gone:
            body = {"data": None, "errors": {"upid": "no such task"}, "message": "x"}
            return Response(400, "Parameter verification failed.", {}, json.dumps(body).encode())
        if now < self.ends_at:
            return self._ok({"upid": UPID, "status": "running"})
        return self._ok({"upid": UPID, "status": "stopped", "exitstatus": self.exitstatus})

    def _row(self, now: float) -> dict[str, Any]:
        row: dict[str, Any] = {"upid": UPID, "starttime": 1795451294}
        if now >= self.ends_at:
            row |= {"status": self.exitstatus, "endtime": 1795451304}
        return row

    def _log(self, now: float, start: int, limit: int) -> Response:
        if self.is_log_gone:
            return self._ok([{"n": 1, "t": "unable to open file - No such file or directory"}])
        lines = [text for when, text in self.lines if when <= now]
        rows = [{"n": n, "t": text} for n, text in enumerate(lines, 1)][start : start + limit]
        empty = [{"n": 1, "t": "no content"}]
        return self._ok(rows if lines else empty, total=max(1, len(lines)))

    def _ok(self, data: Any, **beside: Any) -> Response:
        return Response(200, "OK", {}, json.dumps({"data": data, **beside}).encode())


@pytest.fixture
def clock() -> VirtualClock:
    return VirtualClock()


@pytest.fixture
def node(clock: VirtualClock) -> TaskNode:
    return TaskNode(clock)


@pytest.fixture
def client(node: TaskNode, clock: VirtualClock) -> Client:
    return Client(node, clock)


@pytest.mark.parametrize(
    ("exitstatus", "kind", "is_success"),
    [
        ("OK", OutcomeKind.OK, True),
        ("WARNINGS: 3", OutcomeKind.WARNINGS, True),
        ("unexpected status", OutcomeKind.UNKNOWN, False),
        ("unable to get last line from task log - x", OutcomeKind.UNKNOWN, False),
        ("", OutcomeKind.UNKNOWN, False),
        ("received interrupt", OutcomeKind.FAILED, False),
        ("VM is locked (backup)", OutcomeKind.FAILED, False),
        ("OK then", OutcomeKind.FAILED, False),
    ],
)
def test_an_exit_status_is_judged_as_pve_does(
    exitstatus: str, kind: OutcomeKind, is_success: bool
) -> None:
    """The classes are those of pve-common UPID.pm."""
    assert PARSED is not None
    outcome = judge_exitstatus(PARSED, exitstatus)
    assert (outcome.kind, outcome.is_success, outcome.exitstatus) == (kind, is_success, exitstatus)
    assert outcome.warnings == (3 if kind is OutcomeKind.WARNINGS else 0)


def test_a_task_that_has_ended_is_asked_for_once(
    client: Client, node: TaskNode, clock: VirtualClock
) -> None:
    node.ends_at = 0
    assert wait_for_task(client, UPID, clock).kind is OutcomeKind.OK
    assert clock.monotonic() == 0
    assert len(node.seen) == 1


def test_the_end_is_noticed_within_two_seconds(
    client: Client, node: TaskNode, clock: VirtualClock
) -> None:
    node.ends_at = 41.0
    wait_for_task(client, UPID, clock)
    assert 41.0 <= clock.monotonic() <= 43.0


def test_a_minute_of_waiting_costs_at_most_seven_questions_in_ten_seconds(
    client: Client, node: TaskNode, clock: VirtualClock
) -> None:
    node.ends_at = 60.0
    node.lines = [(0.0, "INFO: starting new backup job")]
    wait_for_task(client, UPID, clock, on_progress=lambda progress: None)
    assert node.count("/log") >= 8
    assert len(node.seen) <= 0.7 * 60


def test_a_deadline_is_no_failure(client: Client, node: TaskNode, clock: VirtualClock) -> None:
    node.ends_at = 100.0
    outcome = wait_for_task(client, UPID, clock, deadline_s=8)
    assert clock.monotonic() == pytest.approx(8)
    assert (outcome.is_running, outcome.is_success, outcome.is_unknown) == (True, False, False)
    assert outcome.exitstatus == "still running after 8 s"


def test_an_end_right_at_the_deadline_is_seen(
    client: Client, node: TaskNode, clock: VirtualClock
) -> None:
    node.ends_at = 8.0
    assert wait_for_task(client, UPID, clock, deadline_s=8).kind is OutcomeKind.OK


def test_a_failed_task_brings_the_end_of_its_log(
    client: Client, node: TaskNode, clock: VirtualClock
) -> None:
    node.exitstatus = "VM is locked (backup)"
    node.lines = [(float(n) / 10, f"line {n}") for n in range(90)] + [(10.0, "TASK ERROR: x")]
    outcome = wait_for_task(client, UPID, clock)
    assert outcome.kind is OutcomeKind.FAILED
    assert outcome.log_tail[-2:] == ("line 89", "TASK ERROR: x")
    assert len(outcome.log_tail) == 20


def test_progress_tells_each_line_once_and_the_share(
    client: Client, node: TaskNode, clock: VirtualClock
) -> None:
    node.ends_at = 30.0
    node.lines = [
        (0.0, "INFO: starting new backup job"),
        (5.0, "INFO:  10% (1.0 GiB of 10.0 GiB) in 5s, read: 1.0 GiB/s, write: 1.0 GiB/s"),
        (20.0, "INFO:  70% (7.0 GiB of 10.0 GiB) in 20s, read: 1.0 GiB/s, write: 1.0 GiB/s"),
        (30.0, "TASK OK"),
    ]
    told: list[TaskProgress] = []
    wait_for_task(client, UPID, clock, on_progress=told.append)
    assert [line for each in told for line in each.lines] == [text for _, text in node.lines]
    assert [each.share for each in told][-1] == 0.7
    assert told[-1].text == "TASK OK"


def test_an_empty_log_is_no_line(client: Client, node: TaskNode, clock: VirtualClock) -> None:
    """PVE sends one line `no content` for it."""
    assert read_log(client, UPID) == ((), 0)


def test_a_node_that_is_silent_for_a_while_is_waited_for(
    client: Client, node: TaskNode, clock: VirtualClock
) -> None:
    node.silent = lambda now: 3 < now < 60
    node.is_in_cluster_list = False
    assert wait_for_task(client, UPID, clock).kind is OutcomeKind.OK
    assert clock.monotonic() >= 60


def test_another_node_may_know_the_end_of_a_task_on_a_dead_one(
    client: Client, node: TaskNode, clock: VirtualClock
) -> None:
    node.silent = lambda now: now > 3
    assert wait_for_task(client, UPID, clock).kind is OutcomeKind.OK
    assert 10 <= clock.monotonic() < 15


def test_a_task_on_a_node_that_stays_dead_is_lost(
    client: Client, node: TaskNode, clock: VirtualClock
) -> None:
    node.silent = lambda now: now > 3
    node.is_in_cluster_list = False
    outcome = wait_for_task(client, UPID, clock, grace_s=60)
    assert outcome.kind is OutcomeKind.LOST
    assert outcome.is_unknown
    assert not outcome.is_success
    assert 60 <= clock.monotonic() <= 70


def test_a_deadline_on_a_silent_node_does_not_say_that_the_task_runs(
    client: Client, node: TaskNode, clock: VirtualClock
) -> None:
    node.silent = lambda now: now > 3
    node.is_in_cluster_list = False
    assert wait_for_task(client, UPID, clock, deadline_s=20).kind is OutcomeKind.LOST


def test_no_answer_from_any_endpoint_is_put_up_with_too(
    client: Client, node: TaskNode, clock: VirtualClock
) -> None:
    node.failure = UnreachableError("nobody")
    assert wait_for_task(client, UPID, clock, grace_s=30).kind is OutcomeKind.LOST


def test_a_token_that_was_revoked_meanwhile_is_an_error(
    client: Client, node: TaskNode, clock: VirtualClock
) -> None:
    node.failure = AuthenticationError("no")
    with pytest.raises(AuthenticationError):
        wait_for_task(client, UPID, clock)


def test_a_task_that_pve_forgot_is_unknown_unless_the_cluster_remembers(
    client: Client, node: TaskNode, clock: VirtualClock
) -> None:
    node.ends_at = 0
    node.is_log_gone = True
    assert wait_for_task(client, UPID, clock).kind is OutcomeKind.OK
    node.is_in_cluster_list = False
    assert wait_for_task(client, UPID, clock).kind is OutcomeKind.UNKNOWN


def test_a_log_that_is_gone_is_not_found(client: Client, node: TaskNode) -> None:
    node.is_log_gone = True
    with pytest.raises(NotFoundError):
        read_log(client, UPID)


def test_tasks_are_listed_with_the_running_ones(client: Client, node: TaskNode) -> None:
    """PVE leaves running tasks out unless it is asked for `source=all`."""
    (row,) = list_tasks(client, "pve1", since=5, vmid=100, type="qmstart")
    assert (row.upid, row.is_running, row.endtime) == (PARSED, True, None)
    assert dict(node.seen[0].params) == {
        "source": "all",
        "limit": "500",
        "since": "5",
        "vmid": "100",
        "typefilter": "qmstart",
    }


def test_a_cancel_is_a_delete_at_the_tasks_own_node(client: Client, node: TaskNode) -> None:
    cancel_task(client, UPID)
    assert node.seen[0].method == "DELETE"
    assert unquote(node.seen[0].path) == f"/nodes/pve1/tasks/{UPID}"


@pytest.mark.parametrize("upid", ["", "UPID:x", "100"])
def test_what_is_no_task_id_is_refused(client: Client, upid: str) -> None:
    with pytest.raises(UsageError):
        get_status(client, upid)


@pytest.mark.parametrize(
    ("line", "percent"),
    [
        ("INFO:  12% (1.2 GiB of 10.0 GiB) in 3s, read: 1.0 GiB/s, write: 0 B/s", 12),
        ("INFO: 100% (10.0 GiB of 10.0 GiB) in 1m 3s, read: 1.0 GiB/s, write: 0 B/s", 100),
        ("mirror-scsi0: transferred 10.0 GiB of 32.0 GiB (31.25%) in 1m 2s, still busy", 31.25),
        ("drive-scsi0: transferred 0.0 B of 32.0 GiB (0.00%) in 0s", 0),
        ("transferred 1.2 GiB of 10.0 GiB (12.34%)", 12.34),
        ("    (45.01/100%)", 45.01),
        ("progress 7% (read 751632384 bytes, duration 3 sec)", 7),
        (" 51200K .......... .......... 34% 11.2M 9s", 34),
        (
            "2026-01-01 10:00:00 migration active, transferred 1.5 GiB of 6.0 GiB VM-state,"
            " 110.5 MiB/s",
            25,
        ),
        ("migration active, transferred 512.0 MiB of 2.0 GiB VM-state, 1.0 GiB/s", 25),
        ("INFO: backup is sparse: 20.0 GiB (62%) total zero data", None),
        ("INFO: backup was done incrementally, reused 31.0 GiB (96%)", None),
        ("Total bytes written: 1288490188 (1.2GiB, 100MiB/s)", None),
        ("INFO: Starting Backup of VM 100 (qemu)", None),
        ("", None),
    ],
)
def test_the_share_is_read_from_the_forms_that_pve_prints(
    line: str, percent: float | None
) -> None:
    """The lines are of qemu-server (VZDump.pm, QemuMigrate.pm, BlockJob.pm), qemu-img, wget."""
    assert find_percent(line) == (None if percent is None else pytest.approx(percent))


_MIB, _GIB = 1 << 20, 1 << 30


@pytest.mark.parametrize(
    ("line", "amount"),
    [
        (
            "INFO:  12% (1.5 GiB of 10.0 GiB) in 1m 3s, read: 512.0 MiB/s, write: 0 B/s",
            Amount(3 * _GIB // 2, 10 * _GIB, 512 * _MIB),
        ),
        (
            "mirror-scsi0: transferred 10.0 GiB of 32.0 GiB (31.25%) in 1m 2s, still busy",
            Amount(10 * _GIB, 32 * _GIB),
        ),
        (
            "INFO: transferred 1.00 GiB in 12 seconds (64.0 MiB/s)",
            Amount(_GIB, None, 64 * _MIB),
        ),
        (
            "INFO: Total bytes written: 1288490188 (1.2GiB, 100MiB/s)",
            Amount(1_288_490_188, None, 100 * _MIB),
        ),
        ("INFO: root.pxar: processed 2 GiB in 1m, uploaded 512 MiB", Amount(2 * _GIB)),
        (
            "INFO: root.pxar: had to backup 1 GiB of 5 GiB (compressed 500 MiB) in 12.34 s",
            Amount(_GIB, 5 * _GIB),
        ),
        ("progress 7% (read 751632384 bytes, duration 3 sec)", Amount(751_632_384)),
        ("INFO: backup is sparse: 20.0 GiB (62%) total zero data", None),
        ("INFO: archive file size: 1.23GB", None),
        ("INFO: starting first sync /proc/4711/root/ to /var/tmp/x", None),
        ("", None),
    ],
)
def test_bytes_and_rate_are_read_from_the_forms_of_backups(
    line: str, amount: Amount | None
) -> None:
    """The lines are of qemu-server (VZDump), tar, and proxmox-backup-client."""
    assert find_amount(line) == amount


def test_a_watcher_is_told_bytes_and_rate_instead_of_the_line(
    client: Client, node: TaskNode, clock: VirtualClock
) -> None:
    node.ends_at = 30.0
    node.lines = [
        (0.0, "INFO: starting new backup job"),
        (5.0, "INFO:  10% (1.0 GiB of 10.0 GiB) in 5s, read: 1.0 GiB/s, write: 1.0 GiB/s"),
    ]
    told: list[TaskProgress] = []
    wait_for_task(client, UPID, clock, on_progress=told.append)
    assert "1.0 GiB of 10 GiB, 1.0 GiB/s" in [each.text for each in told]
    assert Amount(_GIB, 10 * _GIB, _GIB) in [each.amount for each in told]
