"""The one writer: carries a plan's items out, step by step, journal first.

For each call: the intent goes to the audit log and the journal and is on disk; the call is sent
once; the answer goes to the journal; the task is waited for; the target is read back. Whatever
interrupts this leaves a journal from which `ItemRun.resume` can tell what may have happened.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import msgspec

from pveops.api.tasks import OnProgress, OutcomeKind, TaskOutcome, judge_exitstatus, wait_for_task
from pveops.domain.vmid import next_id
from pveops.engine.course import what_was_sent
from pveops.engine.goals import wait_for_goal
from pveops.engine.goals.sight import Sight
from pveops.engine.guard import check_again, check_guards
from pveops.engine.item_record import ItemRecord, scalars_of
from pveops.engine.new_guest import bind_id
from pveops.engine.outcome import ItemOutcome, Status, is_open
from pveops.engine.reconcile import Sent, settle
from pveops.engine.tools import Tools, upload_of
from pveops.errors import (
    BusyError,
    ExistsError,
    FrozenError,
    OutcomeUnknownError,
    PartialError,
    PendingError,
    PveopsError,
    StalePlanError,
    TaskFailedError,
    UnreachableError,
)
from pveops.ids import parse_upid
from pveops.operations.plan import Call, Item, Plan, Scalar, WaitState, WaitTask

if TYPE_CHECKING:
    from pveops.engine.store import Entry

_BUSY_PAUSES_S = (2.0, 5.0)
"""PVE gives a guest's file lock up after 10 s with nothing done; two more tries, no more."""
_MAX_IDS = 5
"""How many ids are tried for a new guest when others take them first."""


class ItemRun:
    """One target's way through its steps, in one run."""

    def __init__(
        self,
        tools: Tools,
        run_id: str,
        plan: Plan,
        index: int,
        find_trouble: Callable[[], str] = str,
    ) -> None:
        """find_trouble: what is wrong with the cluster, asked before a call that relies on it."""
        self._tools = tools
        self._run_id = run_id
        self._plan = plan
        self._index = index
        self._find_trouble = find_trouble
        self._record = ItemRecord(tools, run_id, plan, index)
        self._item: Item = self._bound(plan.items[index].target.id)
        self._began = 0.0
        self._sent = Sent(0.0, 0.0)
        self._auth_id = tools.auth_id
        """Who sent the last call: a token may have been replaced since."""
        self._upid = ""
        self._task: TaskOutcome | None = None
        self._is_resumed = False
        self._answer: dict[str, Scalar] = {}
        """What the last call was answered with, when that was no task."""
        self._verdict: Sight | None = None
        """What a step that decides the outcome has shown."""
        self._done: list[str] = []
        """What has taken effect so far, in words."""
        self._identity = ""
        """What the guest was like that this run has made; empty: nobody has looked yet."""

    def execute(self) -> ItemOutcome:
        """From the first step on; the guards are read right before."""
        self._began = self._tools.clock.monotonic()
        try:
            check_guards(self._tools.reader, self._item)
        except PveopsError as error:
            return self._refused(error)
        return self._go_on(0)

    def resume(self, entries: Sequence[Entry]) -> ItemOutcome:
        """From where the journal ends. What may have been sent is looked for, never sent again."""
        self._began = self._tools.clock.monotonic()
        ended = next((entry for entry in reversed(entries) if entry.kind == "outcome"), None)
        if ended and not is_open(ended.data["status"], ended.data.get("error", "")):
            return msgspec.convert(ended.data, ItemOutcome)
        told = what_was_sent(entries)
        refused = [entry for entry in entries if entry.kind == "refused"]
        self._is_resumed = True
        self._remember(told)
        if refused and (not told or refused[-1].seq > told[-1].seq):
            text = str(refused[-1].data["message"])
            return self._stopped(text, error="E_REFUSED", code=4, hint="")
        if not told and self._tools.clock.now() >= self._plan.expires:
            return self._refused(StalePlanError("the plan expired before this was begun"))
        if not told:
            return self.execute()
        last = told[-1]
        step = int(last.data["step"])
        if last.kind in {"intent", "lost"}:
            return self._settle(step, Sent(**last.data["sent"]))
        self._upid = str(last.data.get("upid", ""))
        return self._go_on(step + 1)

    # -- the steps -----------------------------------------------------------

    def _remember(self, told: Sequence[Entry]) -> None:
        """Take over from the journal what an earlier process had come to know."""
        for entry in told:
            if "vmid" in entry.data:
                self._item = self._bound(str(entry.data["vmid"]))
            self._identity = str(entry.data.get("identity") or self._identity)
            self._auth_id = str(entry.data.get("auth_id") or self._auth_id)
            step = self._item.steps[int(entry.data["step"])]
            if entry.kind == "answer":
                self._answer = dict(entry.data.get("answer") or {})
                self._task = None
                self._note_effect(step)
            if entry.kind == "verdict":
                is_reached = bool(entry.data["is_reached"])
                self._verdict = Sight(is_reached, str(entry.data["word"]), {})
            ended = parse_upid(str(entry.data.get("upid") or ""))
            if entry.kind == "task" and ended is not None:
                self._task = judge_exitstatus(ended, str(entry.data.get("exitstatus") or ""))

    def _go_on(self, start: int) -> ItemOutcome:
        sight = None
        for number in range(start, len(self._item.steps)):
            step = self._item.steps[number]
            ending = None
            if isinstance(step, Call):
                ending = self._call(number, step)
            elif isinstance(step, WaitTask):
                ending = self._wait_task(number, step)
            elif isinstance(step, WaitState):
                ending, seen = self._wait_state(step)
                sight = seen or sight
                if step.is_verdict and seen is not None:
                    self._verdict = seen
                    told = {"is_reached": seen.is_reached, "word": seen.word}
                    self._record.write("verdict", step=number, **told)
            if ending is not None:
                return ending
        if self._verdict is not None:
            return self._end_by_verdict(self._verdict, sight)
        return self._end("done", self._words_of_success(sight), sight=sight)

    def _end_by_verdict(self, verdict: Sight, last: Sight | None) -> ItemOutcome:
        """All was carried out and cleared away; what was found out on the way decides."""
        words = f"{verdict.word}; {last.word}" if last and last is not verdict else verdict.word
        if verdict.is_reached:
            return self._end("done", words, sight=last)
        return self._end(
            "failed",
            words,
            error=TaskFailedError.code,
            code=TaskFailedError.exit_code,
            sight=last,
            undoes=False,
        )

    def _call(self, number: int, call: Call) -> ItemOutcome | None:
        if self._is_resumed or self._done:
            try:
                self._look_before_going_on(call)
            except PveopsError as changed:
                return self._refused(changed)
        if call.new_id:
            return self._call_for_new_guest(number)
        for pause_s in (*_BUSY_PAUSES_S, None):
            error = self._send(number, call)
            if error is None:
                return None
            if isinstance(error, OutcomeUnknownError):
                return self._settle(number, self._sent)
            if pause_s is None or not isinstance(error, BusyError):
                return self._refused(error)
            self._tools.clock.sleep(pause_s)
            try:
                self._look_again(call)
            except PveopsError as changed:
                return self._refused(changed)
        return None

    def _look_before_going_on(self, call: Call) -> None:
        """Before a call that is not the first, or the first of a process that took the run over.

        Nobody knows how long the run lay: its consent may have ended, its target may differ. The
        steps before may have taken their time, too.
        """
        if self._is_resumed and self._tools.clock.now() >= self._plan.expires:
            raise StalePlanError(
                "the plan expired before this was begun", hint="ask for what is left again"
            )
        if self._is_resumed or call.holds or self._item.target.is_new:
            self._look_again(call)
        trouble = self._find_trouble() if self._done and call.holds else ""
        if trouble:
            raise PartialError(
                f"not gone on with, because of {trouble}",
                hint=f"when that is mended: `pve run resume {self._run_id}`",
            )

    def _look_again(self, call: Call) -> None:
        """At the guards, or at what our own steps have left of them."""
        self._identity = check_again(
            self._tools.reader, self._item, call, self._identity, is_changed=bool(self._done)
        )

    def _call_for_new_guest(self, number: int) -> ItemOutcome | None:
        """A free id is not reserved by PVE: when it was taken first, another one is used."""
        for attempt in range(_MAX_IDS):
            call = self._item.steps[number]
            error = self._send(number, call) if isinstance(call, Call) else None
            if error is None:
                return None
            if isinstance(error, OutcomeUnknownError):
                return self._settle(number, self._sent)
            is_last = attempt == _MAX_IDS - 1
            if isinstance(error, BusyError) and not is_last:
                self._tools.clock.sleep(_BUSY_PAUSES_S[min(attempt, len(_BUSY_PAUSES_S) - 1)])
                continue
            if not isinstance(error, ExistsError) or is_last:
                return self._refused(error)
            try:
                self._item = self._bound(str(next_id(self._tools.reader)))
            except PveopsError as trouble:
                return self._refused(trouble)
        return None

    def _note_effect(self, step: object) -> None:
        if isinstance(step, Call):
            self._done.append(step.does or self._plan.operation)

    def _send(self, number: int, call: Call) -> PveopsError | None:
        """Send once; what came of it is in the journal when this returns."""
        try:
            self._announce(number, call)
            data = self._tools.writer.write(
                call.method, call.path, dict(call.params), upload_of(call, self._progress)
            )
        except OutcomeUnknownError as error:
            self._record.write(
                "lost", step=number, sent=self._sent._asdict(), message=error.message
            )
            return error
        except FrozenError as error:
            self._record.write("held", step=number, message=error.message)
            return error
        except PveopsError as error:
            self._record.write("refused", step=number, message=error.message)
            return error
        self._upid = data if isinstance(data, str) and parse_upid(data) else ""
        self._task = None
        self._answer = scalars_of(data)
        self._record.write("answer", step=number, upid=self._upid, answer=self._answer)
        self._note_effect(call)
        return None

    def _announce(self, number: int, call: Call) -> None:
        """Record the intent, in both books, before a byte is sent."""
        self._refuse_frozen()
        tools = self._tools
        self._sent = Sent(tools.clock.now(), tools.reader.server_time())
        self._auth_id = tools.auth_id
        self._record.intend(self._item, number, call, self._sent, self._identity)
        self._progress(f"{call.method} {call.path}", None)
        # The books may have been waited for.
        self._refuse_frozen()

    def _refuse_frozen(self) -> None:
        if self._tools.is_frozen():
            raise FrozenError(
                "all changes are frozen",
                hint=f"when that is lifted: `pve run resume {self._run_id}`",
            )

    def _bound(self, vmid: str) -> Item:
        return bind_id(self._plan.items[self._index], vmid)

    def _settle(self, number: int, sent: Sent) -> ItemOutcome:
        """The answer to a call is not known: look what the cluster says."""
        call = self._item.steps[number]
        if not isinstance(call, Call):
            raise TypeError(f"step {number} is no call")
        self._progress("the answer was lost; looking for what became of the call", None)
        found = settle(
            self._tools.reader,
            self._tools.clock,
            self._item,
            number,
            sent=sent,
            auth_id=self._auth_id,
            known_upids=self._tools.store.known_upids(),
        )
        if found.verdict == "adopted":
            self._upid = found.upid
            self._record.write("answer", step=number, upid=found.upid, adopted=True)
            self._note_effect(call)
            return self._go_on(number + 1)
        if found.verdict == "reached" and found.sight:
            self._record.write("answer", step=number, upid="", adopted=True)
            self._note_effect(call)
            return self._go_on_after_loss(number, found.sight)
        if found.verdict == "not-executed":
            return self._stopped(
                "the call never took effect: no task of ours exists and the state is as before",
                error=UnreachableError.code,
                code=UnreachableError.exit_code,
                hint="ask for the operation again to get a fresh plan",
                sight=found.sight,
            )
        return self._unknown(f"the answer was lost, and it cannot be settled: {found.why}")

    def _go_on_after_loss(self, number: int, sight: Sight) -> ItemOutcome:
        """The call has had its effect; what is left are the calls that come after it."""
        rest = range(number + 1, len(self._item.steps))
        following = next((n for n in rest if isinstance(self._item.steps[n], Call)), None)
        if following is None:
            words = "the answer was lost, but the state is as wanted"
            return self._end("done", words, sight=sight)
        return self._go_on(following)

    def _wait_task(self, number: int, step: WaitTask) -> ItemOutcome | None:
        upid = parse_upid(self._upid)
        if upid is None:
            return None
        self._progress("waiting for the task", None)
        tools, tell = self._tools, self._task_progress()
        try:
            task = wait_for_task(
                tools.reader, upid, tools.clock, step.timeout_s, tell, is_fresh=True
            )
        except PveopsError as error:
            return self._unknown(f"the task cannot be followed: {error.message}")
        self._task = task
        if task.kind is OutcomeKind.RUNNING:
            return self._pending(f"its task is {task.exitstatus}")
        if task.kind is OutcomeKind.LOST:
            return self._unknown(f"the task is lost: {task.exitstatus}")
        self._record.write("task", step=number, upid=self._upid, exitstatus=task.exitstatus)
        return None

    def _task_progress(self) -> OnProgress | None:
        if self._tools.on_progress is None:
            return None
        return lambda seen: self._progress(seen.text, seen.share)

    def _wait_state(self, step: WaitState) -> tuple[ItemOutcome | None, Sight | None]:
        """(an outcome that ends the item, None) or (None, the sight of the goal)."""
        task = self._task
        is_good = task is None or task.is_success
        self._progress("reading the state back", None)
        try:
            sight = wait_for_goal(
                self._tools.reader,
                self._tools.clock,
                self._item.target,
                step,
                self._item.before,
                step.timeout_s if is_good else 0.0,
                self._answer,
            )
        except PveopsError as error:
            return self._unknown(f"the state cannot be read back: {error.message}"), None
        # A state that was there before tells nothing: then the task's own word decides.
        if sight.is_reached and (is_good or not step.holds_already):
            return None, sight
        if step.is_verdict:
            return None, sight
        if step.is_optional:
            return None, sight if sight.is_known else None
        if not sight.is_known:
            return self._unknown(f"the state cannot be read back: {sight.why}", sight), None
        if task is not None and task.kind is OutcomeKind.UNKNOWN:
            return self._unknown(f"the task ended with {task.exitstatus!r}", sight), None
        return self._not_reached(step, sight), None

    def _words_of_success(self, sight: Sight | None) -> str:
        if sight is None:
            return "done"
        task = self._task
        if task is None or task.is_success:
            return sight.word
        return f"{sight.word} (its task said: {task.exitstatus})"

    def _not_reached(self, step: WaitState, sight: Sight) -> ItemOutcome:
        task, state = self._task, sight.word
        upid = parse_upid(self._upid)
        if task is not None and not task.is_success:
            return self._end(
                "failed",
                f"{self._so_far(but_last=True)}the task failed: {task.exitstatus}; it is {state}",
                error=TaskFailedError.code,
                code=TaskFailedError.exit_code,
                hint=f"pve task log {self._upid}",
                sight=sight,
                undoes=len(self._done) > 1,
            )
        if upid is not None and upid.type.startswith("ha"):
            return self._pending(f"HA has taken the request, but it is still {state}", sight)
        return self._end(
            "failed",
            f"{self._so_far(but_last=True)}PVE reports success, but it is {state} "
            f"after {step.timeout_s:.0f} s",
            error=TaskFailedError.code,
            code=TaskFailedError.exit_code,
            hint=self._item.target.show,
            sight=sight,
            undoes=len(self._done) > 1,
        )

    # -- the end ---------------------------------------------------------------

    def _refused(self, error: PveopsError) -> ItemOutcome:
        return self._stopped(
            error.message, error=error.code, code=error.exit_code, hint=error.hint
        )

    def _stopped(
        self, message: str, *, error: str, code: int, hint: str, sight: Sight | None = None
    ) -> ItemOutcome:
        """The call that was next has not happened; earlier ones of this target may have."""
        status: Status = "failed" if self._done else "not-executed"
        message = f"{self._so_far()}{message}"
        return self._end(status, message, error=error, code=code, hint=hint, sight=sight)

    def _so_far(self, *, but_last: bool = False) -> str:
        """`done before that: set onboot=0; ` when a target has had several calls."""
        done = self._done[:-1] if but_last else self._done
        return f"done before that: {', '.join(done)}; then " if done else ""

    def _pending(self, message: str, sight: Sight | None = None) -> ItemOutcome:
        return self._end(
            "pending",
            message,
            error=PendingError.code,
            code=PendingError.exit_code,
            hint=f"pve run resume {self._run_id}",
            sight=sight,
        )

    def _unknown(self, message: str, sight: Sight | None = None) -> ItemOutcome:
        return self._end(
            "unknown",
            message,
            error=OutcomeUnknownError.code,
            code=OutcomeUnknownError.exit_code,
            hint=f"do not repeat it; settle it with `pve run resume {self._run_id}`",
            sight=sight,
        )

    def _end(
        self,
        status: Status,
        message: str,
        *,
        error: str = "",
        code: int = 0,
        hint: str = "",
        sight: Sight | None = None,
        undoes: bool = True,
    ) -> ItemOutcome:
        """`undoes`: what was done is there to be taken back."""
        outcome = ItemOutcome(
            target=self._item.target,
            status=status,
            message=message,
            exit_code=code,
            error=error,
            hint=hint,
            undo=self._item.undo if undoes and self._done else "",
            upid=self._upid,
            exitstatus=self._task.exitstatus if self._task else "",
            log_tail=tuple(self._task.log_tail) if self._task and code else (),
            before=self._item.before,
            said=sight.said if sight else "",
            after=sight.after if sight else {},
            duration_s=round(self._tools.clock.monotonic() - self._began, 1),
        )
        return self._record.end(self._item, outcome)

    def _progress(self, text: str, share: float | None) -> None:
        if self._tools.on_progress is not None:
            self._tools.on_progress(self._index, text, share)
