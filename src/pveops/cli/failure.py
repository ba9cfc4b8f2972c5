"""The one place that makes an answer and an exit code of whatever went wrong."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from pveops.cli.answer import Answer, Column, Listing
from pveops.errors import (
    InternalError,
    OutcomeUnknownError,
    PermissionDeniedError,
    PveopsError,
    UsageError,
)

if TYPE_CHECKING:
    from pveops.cli.call import Call

INTERRUPTED = 130
TERMINATED = 143


class Terminated(BaseException):
    """SIGTERM came."""


def answer_of(call: Call, problem: BaseException) -> Answer:
    """The answer that an exception comes to. Raises nothing."""
    if isinstance(problem, PveopsError):
        return _answer_for(call, problem)
    if isinstance(problem, Terminated):
        return _interrupted(call, TERMINATED)
    if isinstance(problem, KeyboardInterrupt):
        return _interrupted(call, INTERRUPTED)
    from click.exceptions import Abort, ClickException

    if isinstance(problem, Abort):
        return _interrupted(call, INTERRUPTED)
    if isinstance(problem, ClickException):
        return answer_of_error(call.operation, _usage(problem))
    return _answer_for(call, _bug(call, problem))


def _answer_for(call: Call, error: PveopsError) -> Answer:
    """Once a run is claimed, no error says that nothing was changed."""
    run = call.claimed_run
    if not run:
        return answer_of_error(call.operation, error)
    if not isinstance(error, OutcomeUnknownError):
        error = OutcomeUnknownError(
            f"{run} was begun, and it is not known how it ended: {error.message}",
            hint=f"do not repeat it; settle it with `pve run resume {run}`",
            details={**error.details, "run": run, "cause": error.code},
        )
    return answer_of_error(call.operation, error)._replace(changed=None)


def answer_of_error(operation: str, error: PveopsError) -> Answer:
    """An error as an answer: `error E_CODE: message`, then what to do next."""
    details = dict(error.details)
    findings = tuple(details.pop("findings", ()))
    targets = tuple(details.get("targets", ()))
    hint = _hint(operation, error)
    return Answer(
        f"error {error.code}: {error.message}",
        code=error.exit_code,
        operation=operation,
        findings=findings,
        blocks=(_targets(targets),) if len(targets) > 1 else (),
        error={**error_members(error, details), "hint": hint},
        next=(hint,) if hint else (),
    )


def _hint(operation: str, error: PveopsError) -> str:
    """A refusal of PVE's leads to what this very operation lacks."""
    if error.hint != PermissionDeniedError.default_hint:
        return error.hint
    return check_command(operation)


def check_command(operation: str, *guests: str) -> str:
    """The command that compares the token with what an operation needs."""
    from pveops.operations.catalog import OPERATIONS

    is_known = any(row.id == operation for row in OPERATIONS)
    words = (operation, *guests) if is_known else ()
    return " ".join((PermissionDeniedError.default_hint, *words))


def _targets(targets: Sequence[dict[str, str]]) -> Listing:
    """What would become of each of several targets, when some of them stand in the way."""

    def row(target: dict[str, str]) -> dict[str, str]:
        # Why it is blocked stands among the findings.
        is_blocked = target["verdict"].startswith("blocked: ")
        return target | {"verdict": "blocked"} if is_blocked else target

    columns = (Column("id"), Column("name"), Column("verdict"))
    return Listing(targets, row, ("id", "name", "verdict"), columns)


def error_members(error: PveopsError, details: dict[str, Any]) -> dict[str, Any]:
    """The member `error` of the envelope."""
    return {
        "code": error.code,
        "message": error.message,
        "hint": error.hint,
        "retry": error.retry.value,
        "details": details,
    }


def _interrupted(call: Call, code: int) -> Answer:
    run = call.claimed_run
    word = "interrupted" if code == INTERRUPTED else "terminated"
    told = word if call.claimed_run else f"{word}; nothing was changed"
    next_: tuple[str, ...] = ()
    if run and call.is_detaching:
        told, next_ = f"{word}; {run} goes on in the background", (f"pve run wait {run}",)
    elif run:
        told, next_ = (
            f"{word}; {run} is not finished, and what PVE has begun goes on",
            (f"pve run resume {run}",),
        )
    return Answer(
        told,
        code=code,
        operation=call.operation,
        changed=None if run else False,
        error={"code": "E_INTERRUPTED", "message": told, "hint": "", "retry": "probe"},
        next=next_,
    )


def _usage(problem: Any) -> UsageError:
    context = getattr(problem, "ctx", None)
    hint = f"{context.command_path} --help" if context is not None else "pve --help"
    return UsageError(problem.format_message().rstrip("."), hint=hint)


def _bug(call: Call, problem: BaseException) -> InternalError:
    place = _log_traceback(call, problem)
    where = f"; the traceback is in {place}" if place else ""
    return InternalError(f"{type(problem).__name__} in {call.operation or call.program}{where}")


def _log_traceback(call: Call, problem: BaseException) -> str:
    """Append the traceback, redacted, to the log file; its path, or nothing when that failed."""
    import os
    import traceback

    from pveops.config.paths import find_paths
    from pveops.redact import redact

    try:
        path = find_paths(call.environ).crash_file
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        text = redact("".join(traceback.format_exception(problem)))
        descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(f"--- {call.clock.now():.0f} {call.operation}\n{text}")
    except Exception:  # noqa: BLE001 - the bug itself is what has to be told
        return ""
    return str(path)
