"""A process of `pve` or `pve-apply`: run the command, write the answer, give the exit code."""

from __future__ import annotations

import signal
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NoReturn

from pveops.cli.call import Call
from pveops.cli.emit import UnwrittenError
from pveops.cli.failure import Terminated, answer_of
from pveops.errors import InternalError, UsageError

if TYPE_CHECKING:
    import click

    from pveops.cli.answer import Written

_OWN_NOUNS = frozenset(
    {
        "",
        "api",
        "completion",
        "demo",
        "doctor",
        "find",
        "init",
        "mcp",
        "schema",
        "secrets",
        "skill",
        "status",
        "template",
    }
)
"""Never a broker's business, so that not even the profile is read for it."""
_MAX_WORD = 65_536


def run_process(program: str, arguments: Sequence[str]) -> int:
    """Everything between the executable's start and its exit code."""
    signal.signal(signal.SIGTERM, _terminate)
    call = Call.of_process(program, arguments)
    try:
        code = run_call(call)
        sys.stdout.flush()
    except UnwrittenError as problem:
        return _tell_unwritten(problem)
    except BrokenPipeError:
        # Whoever read us has seen enough; the flush at exit must not complain either.
        import os

        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    return code


def run_call(call: Call) -> int:
    """Run one call to its end, whatever happens; its exit code."""
    from pveops.cli.emit import emit

    outcome: Any
    try:
        _check_words(call.arguments)
        written = _forward(call)
        if written is not None:
            return emit(call, written)
        outcome = root_of(call.program).main(
            args=list(call.arguments), prog_name=call.program, standalone_mode=False, obj=call
        )
        if outcome is None or isinstance(outcome, int):
            return outcome or 0
        return emit(call, outcome)
    except (BrokenPipeError, UnwrittenError):
        raise
    except BaseException as problem:  # noqa: BLE001 - the last line of defence
        return _fail(call, problem)
    finally:
        call.close()


def _check_words(words: Sequence[str]) -> None:
    """Raises UsageError for what can be no word of a command: nothing of PVE's is as long."""
    for number, word in enumerate(words, 1):
        if len(word) > _MAX_WORD:
            raise UsageError(
                f"argument {number} has {len(word):,} characters; {_MAX_WORD:,} are the most",
                hint="the longest that PVE takes are notes, with 8,192",
            )
        if not word.isascii() and any("\ud800" <= character <= "\udfff" for character in word):
            raise UsageError(f"argument {number} is no text in UTF-8", hint="pve --help")


def _forward(call: Call) -> Written | None:
    """What the broker says, where the profile has one and the command is its business."""
    first = next((word for word in call.arguments if not word.startswith("-")), "")
    if call.served is not None or first in _OWN_NOUNS:
        return None
    from pveops.cli.forward import forward

    return forward(call)


def _tell_unwritten(problem: UnwrittenError) -> int:
    """The answer is lost, the work is not: say where it stands, and never end with 0."""
    import os

    text = f"error E_OUTPUT: the answer could not be written to stdout: {problem.__cause__}\n"
    if problem.run:
        text += f"next: pve run show {problem.run}\n"
    if sys.stderr is not None:
        sys.stderr.write(text)
    if sys.stdout is not None:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return problem.code or InternalError.exit_code


def root_of(program: str) -> click.Command:
    """The commands of an executable."""
    if program == "pve-apply":
        from pveops.cli.apply import command

        return command
    from pveops.cli.app import root

    return root


def _fail(call: Call, problem: BaseException) -> int:
    from pveops.cli.emit import emit

    if type(problem).__name__ == "NoArgsIsHelpError":
        call.stdout.write(f"{problem}\n")
        return 2
    if "--json" in call.arguments:
        call.options.as_json = True
    call.options.fields = ()
    return emit(call, answer_of(call, problem))


def _terminate(_number: int, _frame: object) -> NoReturn:
    raise Terminated
