"""Workers: what a method starts and answers with a UPID.

A task's body is a generator. It writes its log in PVE's words and yields virtual seconds where
a real worker would be busy; raising `ApiError` (or `TaskError`) ends it with TASK ERROR. When it
is aborted, `AbortedError` is thrown in at the point where it waits, so that its clean-up, or the
residue that PVE leaves, is written where it belongs.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import TYPE_CHECKING

from pveops.ids import Upid
from pveops.sim.refusal import ApiError

if TYPE_CHECKING:
    from pveops.sim.model import Node

Body = Callable[["Task"], Generator[float, None, None]]


class TaskError(Exception):
    """Ends a task: `TASK ERROR: text`."""


class AbortedError(Exception):
    """Thrown into a task's body by DELETE on the task, or when its node dies."""


class Task:
    """One worker of one node."""

    def __init__(self, node: Node, upid: Upid, body: Body) -> None:
        self.node = node
        self.upid = upid
        self.log_lines: list[str] = []
        self.warnings = 0
        self.exitstatus: str | None = None
        """None while it runs."""
        self.endtime: float | None = None
        self.on_end: list[Callable[[], None]] = []
        self._steps = body(self)

    @property
    def is_running(self) -> bool:
        """Whether the worker lives."""
        return self.exitstatus is None

    def log(self, *lines: str) -> None:
        """Append to the log."""
        self.log_lines.extend(lines)

    def warn(self, line: str) -> None:
        """log_warn: counts towards `WARNINGS: n`."""
        self.warnings += 1
        self.log(f"WARN: {line}")

    def step(self) -> None:
        """Go on to the next wait, or to the end."""
        if self.is_running:
            self._drive(lambda: next(self._steps))

    def abort(self) -> None:
        """SIGTERM to the worker's group; a body that lets it through leaves no TASK line."""
        if self.is_running:
            self._drive(lambda: self._steps.throw(AbortedError()))

    def fail(self, text: str) -> None:
        """A fault: the worker ends here with an error."""
        if self.is_running:
            self.log(f"TASK ERROR: {text}")
            self._finish(text)

    def vanish(self) -> None:
        """The node lost power: no clean-up, no last line."""
        if self.is_running:
            self._finish("unexpected status")

    def _drive(self, go_on: Callable[[], float]) -> None:
        try:
            delay = go_on()
        except StopIteration:
            self._succeed()
        except AbortedError:
            self._finish("unexpected status")
        except (TaskError, ApiError) as error:
            text = error.message if isinstance(error, ApiError) else str(error)
            # RESTEnvironment.pm puts an error of several lines on one.
            text = " ".join(text.rstrip().split("\n"))
            self.log(f"TASK ERROR: {text}")
            self._finish(text)
        else:
            self.node.cluster.timeline.after(delay, self.step)

    def _succeed(self) -> None:
        if self.warnings:
            self.log(f"TASK WARNINGS: {self.warnings}")
            self._finish(f"WARNINGS: {self.warnings}")
        else:
            self.log("TASK OK")
            self._finish("OK")

    def _finish(self, exitstatus: str) -> None:
        self.exitstatus = exitstatus
        self.endtime = self.node.cluster.timeline.now()
        for callback in self.on_end:
            callback()


def start_task(node: Node, kind: str, subject: str | int, auth_id: str, body: Body) -> Task:
    """Fork a worker on `node`: registers it, takes its first step at once, returns it.

    `str(task.upid)` is what the method answers.
    """
    now = node.cluster.timeline.now()
    upid = Upid(
        node=node.name,
        pid=node.next_pid(),
        pstart=int((now - node.boot_time) * 100) & 0xFFFFFFFF,
        starttime=int(now + node.clock_offset_s),
        type=kind,
        id=str(subject),
        user=auth_id,
    )
    task = Task(node, upid, body)
    node.tasks[str(upid)] = task
    task.step()
    return task
