"""Changes that outlive the process that asked for them.

An agent's shell gives up on a command after some seconds and may kill it; a change must neither
be cut off nor be forgotten by that. So the work is done by a child that was forked before any
thread, socket or database handle existed and that holds nothing of the caller: a session of its
own, and none of the caller's pipes. It reports over a pipe; what becomes of it stands in the
store, whoever listens. When nobody listens any more at its end, a person is told
(`engine.telling`).
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import select
import signal
import sys
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, NamedTuple, NoReturn

from pveops.cli.answer import Answer, Lines, Written
from pveops.cli.failure import Terminated, answer_of
from pveops.errors import InternalError, OutcomeUnknownError, PendingError, StoreError

if TYPE_CHECKING:
    from pveops.cli.call import Call

WAIT_S = 7.0
"""From the start of the process, so that the answer is there within 8 s."""
_LAST_WORDS_S = 2.0
_STOP_IF_UNCLAIMED = signal.SIGUSR1
_ENDING_SIGNALS = (signal.SIGINT, signal.SIGTERM)

OnClaimed = Callable[[str], None]
Work = Callable[[OnClaimed], Answer]


def patience_s(call: Call) -> float | None:
    """How much longer this call may wait for something to end; None: as long as it takes."""
    wait_s = call.options.wait_s
    if wait_s is None:
        if call.is_person:
            return None
        wait_s = WAIT_S
    return max(0.0, wait_s - call.elapsed_s())


def carry(call: Call, work: Work) -> Answer | Written:
    """Do the work: in the foreground for a person, else in a worker that is waited for a while."""
    if not call.is_detaching:
        return _in_foreground(call, work)
    return _Worker(call, work).watch()


def _in_foreground(call: Call, work: Work) -> Answer:
    def note(run: str) -> None:
        call.claimed_run = run

    def at_work() -> Answer:
        if not call.has_rich_view:
            return work(note)
        from pveops.cli.rich_view import run_progress

        with run_progress(call) as on_progress:
            call.on_progress = on_progress
            return work(note)

    answer = at_work()
    if call.claimed_run:
        _tell_person(call, answer)
    return answer


class _Worker:
    """The child, as its parent sees it."""

    def __init__(self, call: Call, work: Work) -> None:
        self._call = call
        self._buffer = b""
        self._final: Written | None = None
        self._is_over = False
        sys.stdout.flush()
        sys.stderr.flush()
        self._tells = False
        self._pipe, writing = os.pipe()
        listening, self._ear = os.pipe()
        # From the fork until somebody listens, a signal must not lose what the worker has begun.
        self._mask = signal.pthread_sigmask(signal.SIG_BLOCK, _ENDING_SIGNALS)
        self._pid = os.fork()
        if self._pid == 0:
            _work_and_leave(call, work, _Ends(writing, listening), self._mask)
        os.close(writing)
        os.close(listening)

    def watch(self) -> Answer | Written:
        """The worker's answer, or "pending" when it takes longer than the caller has time."""
        wait_s = self._call.options.wait_s
        ends = self._call.started + (WAIT_S if wait_s is None else wait_s)
        try:
            signal.pthread_sigmask(signal.SIG_SETMASK, self._mask)
            while self._listen(ends):
                pass
        except (KeyboardInterrupt, Terminated):
            self._stop_unclaimed()
            raise
        finally:
            self._stop_listening()
        if self._final is not None:
            if not self._tells:  # else it may still have a message to send, which takes seconds
                os.waitpid(self._pid, 0)
            return self._final
        return self._without_answer()

    def _stop_listening(self) -> None:
        """Confirm what was heard. What was not heard is promised to the person, where one is told.

        The worker learns it by the closed pipe. The promise is for when it is killed before.
        """
        if self._final is not None:
            with contextlib.suppress(BrokenPipeError):
                os.write(self._ear, b"\n")
        elif self._tells and not self._is_over:
            from pveops.engine.telling import promise

            with contextlib.suppress(StoreError):
                promise(self._call.wiring.store, self._call.claimed_run, self._call.clock.now())
        os.close(self._ear)
        os.close(self._pipe)

    def _listen(self, ends: float) -> bool:
        """Take one message; False when there is nothing more to wait for.

        As long as no run is claimed there is no id to come back with, so it is waited for.
        """
        left = None
        if self._call.claimed_run:
            left = max(0.0, ends - self._call.clock.monotonic())
        ready, _, _ = select.select([self._pipe], [], [], left)
        if not ready:
            return False
        with _signals_held():
            self._read()
        return not self._is_over and self._final is None

    def _read(self) -> None:
        chunk = os.read(self._pipe, 65_536)
        self._is_over = not chunk
        self._buffer += chunk
        while b"\n" in self._buffer:
            line, _, self._buffer = self._buffer.partition(b"\n")
            self._take(json.loads(line))

    def _take(self, message: dict[str, Any]) -> None:
        if "run" in message:
            self._call.claimed_run = message["run"]
            self._tells = message["tells"]
        elif "said" in message:
            self._call.stderr.write(message["said"])
        else:
            self._final = Written(message["text"], message["code"], message["envelope"])

    def _stop_unclaimed(self) -> None:
        """The caller has left: what has not begun does not begin; what has, goes on.

        The worker itself decides which it is, because its claim may be on its way to us.
        """
        os.kill(self._pid, _STOP_IF_UNCLAIMED)
        ends = self._call.clock.monotonic() + _LAST_WORDS_S
        while self._final is None and not self._call.claimed_run:
            left = ends - self._call.clock.monotonic()
            ready, _, _ = select.select([self._pipe], [], [], max(0.0, left))
            if not ready or not self._listen(0.0):
                return

    def _without_answer(self) -> Answer:
        from pveops.cli.failure import answer_of_error

        run = self._call.claimed_run
        if run and not self._is_over:
            error = PendingError(
                f"{run} goes on in the background",
                hint=f"pve run wait {run}",
                details={"run": run, "is_told_at_end": self._tells},
            )
            pending = answer_of_error(self._call.operation, error)
            told = ("the person gets a message when it ends",) if self._tells else ()
            return pending._replace(
                verdict=f"pending: {error.message}", changed=None, blocks=(Lines(told),)
            )
        if run:
            lost = OutcomeUnknownError(
                f"the worker of {run} ended without a word",
                hint=f"pve run resume {run}",
                details={"run": run},
            )
            return answer_of_error(self._call.operation, lost)._replace(changed=None)
        return answer_of_error(
            self._call.operation,
            InternalError("the worker ended without a word; nothing was begun"),
        )


@contextlib.contextmanager
def _signals_held() -> Iterator[None]:
    """What was read from the worker is also kept before a signal may interrupt us."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _ENDING_SIGNALS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


class _Voice(io.TextIOBase):
    """The worker's stderr: the parent says it, for as long as it listens."""

    def __init__(self, pipe: int) -> None:
        self._pipe = pipe

    def write(self, text: str, /) -> int:
        _report(self._pipe, {"said": text})
        return len(text)


class _Ends(NamedTuple):
    """What the worker holds of its caller: where it speaks, and where it learns it was heard."""

    voice: int
    ear: int

    def was_heard(self) -> bool:
        """Waits until the caller has taken the answer, or has gone without it."""
        return bool(os.read(self.ear, 1))


def _work_and_leave(
    call: Call, work: Work, ends: _Ends, mask: set[signal.Signals | int]
) -> NoReturn:
    """The child's whole life. It never returns into the parent's stack."""
    code = 1
    try:
        os.setsid()
        _let_go_of_the_caller(ends)
        call.stderr = _Voice(ends.voice)  # type: ignore[assignment]
        signal.signal(signal.SIGINT, signal.SIG_IGN)

        def stop_if_unclaimed(_number: int, _frame: object) -> None:
            if not call.claimed_run:
                raise Terminated

        signal.signal(_STOP_IF_UNCLAIMED, stop_if_unclaimed)
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)

        def claimed(run: str) -> None:
            call.claimed_run = run
            _report(ends.voice, {"run": run, "tells": _tells(call)})

        answer, written = _answer(call, work, claimed)
        code = written.code
        _report(ends.voice, written._asdict())
        if call.claimed_run:
            _tell_person(call, answer, is_heard=ends.was_heard())
        call.close()
    finally:
        os._exit(code)


def _answer(call: Call, work: Work, claimed: OnClaimed) -> tuple[Answer, Written]:
    from pveops.cli.emit import write

    try:
        answer = work(claimed)
        return answer, write(call, answer)
    except BaseException as problem:  # noqa: BLE001 - the parent prints what it came to
        call.options.fields = ()
        answer = answer_of(call, problem)
        return answer, write(call, answer)


def _tells(call: Call) -> bool:
    """Whether the profile names a way to a person, and wants the ends of runs told there."""
    if not call.is_wired:
        return False
    connection = call.wiring.connection
    return connection.tells_runs and connection.consent.is_set


def _tell_person(call: Call, answer: Answer, *, is_heard: bool = True) -> None:
    """Send the message about the run's end where one is owed.

    It is when nobody heard the answer now, or when whoever began the run had gone. A run that
    goes on in the cluster has not ended; what is owed stays owed.
    """
    from pveops.engine.senders import make_sender
    from pveops.engine.telling import compose, keep_promise, promise, waive

    if answer.code == PendingError.exit_code or not _tells(call):
        return
    store, run, now = call.wiring.store, call.claimed_run, call.clock.now()
    sender = make_sender(call.wiring.connection.consent)
    if sender is None:
        return
    try:
        if not is_heard:
            promise(store, run, now)
        if call.is_person:
            waive(store, run, now)
            return
        next_ = answer.next[0] if answer.code and answer.next else ""
        keep_promise(store, run, sender, compose(answer.verdict, run, next_), now)
    except StoreError:
        return  # the run's own end is in the store, or was told to have been lost


def _let_go_of_the_caller(ends: _Ends) -> None:
    """The caller's shell waits until nobody holds its pipes any more."""
    nothing = os.open(os.devnull, os.O_RDWR)
    for descriptor in (0, 1, 2):
        os.dup2(nothing, descriptor)
    low, high = sorted(ends)
    os.closerange(3, low)
    os.closerange(low + 1, high)
    os.closerange(high + 1, 256)


def _report(pipe: int, message: dict[str, Any]) -> None:
    """One line to whoever still listens."""
    line = json.dumps(message).encode() + b"\n"
    try:
        while line:
            line = line[os.write(pipe, line) :]
    except BrokenPipeError:
        return
