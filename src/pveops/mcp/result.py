"""What a command came to, as a tool's result. Pure."""

from __future__ import annotations

import json
from typing import Any, NamedTuple

from pveops.cli.broker_message import Told
from pveops.errors import PveopsError, Retry
from pveops.mcp.admission import HELP, READ

_NO_FAILURES = frozenset({0, 3, 8})
"""Done; consent is needed and nothing was changed; it goes on."""


class Result(NamedTuple):
    """text: what a command prints for an agent. data: the envelope that `--json` prints."""

    text: str
    data: dict[str, Any] | None
    is_error: bool


def result_of(tool: str, told: Told) -> Result:
    """The result of a tool's call."""
    text = _plain(told.stdout)
    data = None if tool == HELP else _envelope(tool, told, text)
    return Result(text, data, told.code not in _NO_FAILURES)


def result_of_error(tool: str, error: PveopsError) -> Result:
    """The result where no command was run."""
    from pveops.cli.failure import answer_of_error
    from pveops.cli.jsonout import render_json
    from pveops.cli.text import render_text
    from pveops.redact import redact

    changed = None if error.retry is Retry.PROBE else False
    answer = answer_of_error("", error)._replace(changed=changed)
    told = Told(answer.code, redact(render_text(answer).text), "", render_json(answer))
    return result_of(tool, told)


def _envelope(tool: str, told: Told, text: str) -> dict[str, Any]:
    """What has no envelope of its own, such as help, is told as text."""
    if told.envelope:
        found: dict[str, Any] = json.loads(told.envelope)
        return found
    return {
        "ok": told.code == 0,
        "operation": "",
        "changed": False if tool == READ else None,
        "data": {"text": text},
        "meta": {"exit_code": told.code},
    }


def _plain(text: str) -> str:
    """Half a character that some name ends with must not end the server."""
    return text.encode("utf-8", "backslashreplace").decode()
