"""Writing an answer: as JSON, for a terminal, or as lean text; always redacted."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from pveops.cli.answer import Answer, Written, choose_fields, limit_listing

if TYPE_CHECKING:
    from pveops.cli.call import Call


class UnwrittenError(Exception):
    """stdout takes no answer (closed, or its disk is full). `code` is what it would have been.

    run: the run that the answer was about, if it was about one.
    """

    def __init__(self, code: int, run: str) -> None:
        super().__init__(code)
        self.code = code
        self.run = run


def emit(call: Call, outcome: Answer | Written) -> int:
    """Write it to the call's stdout; the exit code."""
    if isinstance(outcome, Answer) and call.has_rich_view:
        from pveops.cli.rich_view import show

        answer = prepare(call, outcome)
        show(answer, call)
        return answer.code
    written = outcome if isinstance(outcome, Written) else write(call, outcome)
    call.envelope = written.envelope
    try:
        call.stdout.write(written.text)
        call.stdout.flush()
    except BrokenPipeError:
        raise
    except (OSError, AttributeError, ValueError) as error:
        # A closed stdout is None or a closed file, by how it was closed.
        found = re.search(r"run_[0-9a-f]{10}", written.text)
        raise UnwrittenError(written.code, found[0] if found else "") from error
    return written.code


def write(call: Call, answer: Answer) -> Written:
    """The answer as the characters that go out. Raises UsageError for unknown fields."""
    answer = prepare(call, answer)
    envelope = ""
    if call.has_envelope:
        from pveops.cli.jsonout import render_short_json

        envelope = render_short_json(answer, is_full=call.options.is_full)
    if call.options.as_json:
        from pveops.cli.jsonout import render_json

        return Written(envelope or render_json(answer), answer.code, envelope)
    from pveops.cli.text import MAX_CHARS, render_text
    from pveops.redact import redact

    limit = None if call.options.is_full else MAX_CHARS
    more = "a higher --limit" if call.options.limit else f"{call.line} --full"
    shown = render_text(answer, limit=limit, more=more)
    return Written(redact(shown.text), answer.code, envelope)


def prepare(call: Call, answer: Answer) -> Answer:
    """The answer with the fields and rows that were asked for, and with the call's figures."""
    options = call.options
    if answer.has_free_text and not call.is_person:
        from pveops.cli.taint import note_free_text

        note_free_text(call, call.operation)
    if options.fields:
        answer = choose_fields(answer, options.fields)
    answer = limit_listing(answer, options.limit)
    meta = {**answer.meta, "elapsed_ms": round(call.elapsed_s() * 1000)}
    if call.is_wired:
        meta |= call.wiring.meta()
    return answer._replace(operation=answer.operation or call.operation, meta=meta)
