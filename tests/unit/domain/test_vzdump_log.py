"""Reading logs of backups. The lines are those of pve-manager's VZDump.pm, as recorded."""

from __future__ import annotations

from pveops.domain.vzdump_log import GuestResult, read_vzdump_log

GOOD = (
    "INFO: starting new backup job: vzdump 100 200 --storage local",
    "INFO: Starting Backup of VM 100 (qemu)",
    "INFO: Backup started at 2026-11-23 16:29:34",
    "INFO:  45% (4.5 GiB of 10.0 GiB) in 3s, read: 1.5 GiB/s, write: 0 B/s",
    "INFO: Finished Backup of VM 100 (00:00:12)",
    "INFO: Starting Backup of VM 200 (lxc)",
)


def test_each_guest_has_its_own_result() -> None:
    lines = (
        *GOOD,
        "WARN: something odd",
        "ERROR: Backup of VM 200 failed - CT is locked (snapshot)",
        "INFO: Failed at 2026-11-23 16:30:00",
        "INFO: Backup job finished with errors",
        "TASK ERROR: job errors",
    )
    log = read_vzdump_log(lines)
    assert log.results == (
        GuestResult(100, True, ""),
        GuestResult(
            200,
            False,
            "ERROR: Backup of VM 200 failed - CT is locked (snapshot)",
            ("WARN: something odd",),
        ),
    )
    assert log.whole_line == ""


def test_a_log_that_ends_too_early_leaves_the_guest_open() -> None:
    assert read_vzdump_log(GOOD).results[-1] == GuestResult(200, None, "")


def test_a_guest_that_never_began_has_failed() -> None:
    line = "ERROR: Backup of VM 999 failed - unable to find VM '999'"
    assert read_vzdump_log((line,)).results == (GuestResult(999, False, line),)


def test_what_ends_the_whole_run_is_kept() -> None:
    line = "TASK ERROR: could not activate storage 'x': storage 'x' is not online"
    assert read_vzdump_log((line,)) == ((), line)
    aborted = "ERROR: Backup job failed - interrupted by signal"
    assert read_vzdump_log((*GOOD, aborted)).whole_line == aborted


def test_who_got_no_lock_of_the_node_waited_to_the_end() -> None:
    """VZDump.pm getlock; the worker ends with exit(-1), so no line follows."""
    waiting = "INFO: trying to get global lock - waiting..."
    assert read_vzdump_log((waiting,)).whole_line == waiting
    assert read_vzdump_log((waiting, "INFO: got global lock", *GOOD)).whole_line == ""


def test_no_line_of_a_guest_can_pose_as_another_result() -> None:
    """A name or a hook's output may hold anything; only lines that begin so count."""
    lines = (*GOOD, "INFO: x ERROR: Backup of VM 100 failed - lies")
    assert read_vzdump_log(lines).results[0].is_ok is True
