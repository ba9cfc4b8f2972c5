"""Copying a disk while its VM runs: the lines of QEMU's mirror job (BlockJob.pm)."""

from __future__ import annotations

from collections.abc import Generator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pveops.sim.tasks import Task

_RATE = 1 << 30


def mirror(
    task: Task, key: str, size_bytes: int, *, completes: bool
) -> Generator[float, None, None]:
    """Copy a disk until both sides agree. completes: QEMU goes on with the copy."""
    is_recent = task.node.version.at_least("9.0")
    job = f"mirror-{key}" if is_recent else f"drive-{key}"
    shown = f"{size_bytes / (1 << 30):.1f} GiB"
    task.log(f"drive mirror is starting for drive-{key}")
    task.log(f"{job}: transferred 0.0 B of {shown} (0.00%) in 0s")
    duration_s = max(1, size_bytes // _RATE)
    yield float(duration_s)
    task.log(f"{job}: transferred {shown} of {shown} (100.00%) in {duration_s}s, ready")
    task.log("all 'mirror' jobs are ready")
    if completes:
        task.log(f"{job}: Completing block job...", f"{job}: Completed successfully.")
        task.log(f"{job}: mirror-job finished")


def cancel_mirror(task: Task, key: str) -> None:
    """The copy is left as it is, and the VM goes on with its own disk."""
    job = f"mirror-{key}" if task.node.version.at_least("9.0") else f"drive-{key}"
    task.log(f"{job}: Cancelling block job", f"{job}: Done.")
