"""From a tool's arguments to a command line. Pure."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping, Sequence
from typing import Any

from pveops.cli.broker_message import Asked
from pveops.errors import UsageError
from pveops.mcp.admission import APPLY, HELP, PLAN, READ, RUN
from pveops.mcp.tools import TOOLS

_MAX_CHARS = {"command": 8_000, "reason": 2_000, "stdin": 200_000, "signature": 16_000}
_MAX_OTHER = 200
_PLAN = re.compile(r"pl_[0-9a-f]{4,64}")
_RUN = re.compile(r"run_[0-9a-f]{4,64}")
_WORD = re.compile(r"[a-z][a-z-]{0,40}")


def make_asked(tool: str, arguments: Mapping[str, Any], shared: Sequence[str] = ()) -> Asked:
    """The command line that a call of a tool comes to.

    shared: options that the server was started with. Raises UsageError for what does not fit.
    """
    given = _check(tool, arguments)
    make = {READ: _read, PLAN: _plan, APPLY: _apply, RUN: _run, HELP: _help}[tool]
    program, words, stdin = make(given)
    # Before the words: behind a `--` among them they would be words themselves.
    return Asked(program, (*shared, *words), stdin, has_envelope=tool != HELP)


def _check(tool: str, arguments: Mapping[str, Any]) -> dict[str, str]:
    """The arguments as they may be given. `confirm`, `yes` and the like are none."""
    schema = next((each["inputSchema"] for each in TOOLS if each["name"] == tool), None)
    if schema is None:
        names = ", ".join(each["name"] for each in TOOLS)
        raise UsageError(f"there is no tool {tool[:60]!r}", hint=f"the tools are: {names}")
    takes = ", ".join(schema["properties"])
    for name in arguments:
        if name not in schema["properties"]:
            raise UsageError(f"{tool} takes no {str(name)[:60]!r}", hint=f"it takes: {takes}")
    for name in schema["required"]:
        if not str(arguments.get(name) or "").strip():
            raise UsageError(f"{tool} needs {name!r}", hint=f"it takes: {takes}")
    return {
        name: _text(tool, name, value) for name, value in arguments.items() if value is not None
    }


def _text(tool: str, name: str, value: object) -> str:
    if not isinstance(value, str):
        raise UsageError(f"{name!r} of {tool} is a text")
    if len(value) > _MAX_CHARS.get(name, _MAX_OTHER):
        raise UsageError(f"{name!r} of {tool} is too long")
    if "\0" in value or any("\ud800" <= char <= "\udfff" for char in value):
        raise UsageError(f"{name!r} of {tool} holds what is no text")
    return value


Line = tuple[str, list[str], str]
"""(program, words, standard input)"""


def _read(given: Mapping[str, str]) -> Line:
    return "pve", _split(given["command"]), ""


def _plan(given: Mapping[str, str]) -> Line:
    words = [f"--reason={given['reason']}", *_split(given["command"])]
    return "pve", words, given.get("stdin", "")


def _split(command: str) -> list[str]:
    """The words of a line as a shell splits them; nothing in it is carried out by one."""
    try:
        words = shlex.split(command)
    except ValueError as error:
        raise UsageError(f"the command cannot be split into words: {error}") from error
    if words[:1] == ["pve"]:
        words = words[1:]
    if words[:1] == ["pve-apply"]:
        raise UsageError("a plan is carried out by a tool of its own", hint=APPLY)
    return words


def _apply(given: Mapping[str, str]) -> Line:
    words = [_id(given["plan"], _PLAN, "plan", "pl_...")]
    if "signature" in given and "code" in given:
        raise UsageError("a code and a signature are two ways; one of them")
    if "signature" in given:
        return "pve-apply", ["--signature=-", *words], given["signature"]
    if "code" in given:
        words = [f"--code={given['code'].strip()}", *words]
    return "pve-apply", words, ""


def _run(given: Mapping[str, str]) -> Line:
    action = given.get("action", "wait")
    if action not in {"wait", "show", "explain", "resume"}:
        raise UsageError(f"{RUN} has no {action[:40]!r}", hint="wait, show, explain or resume")
    return "pve", ["run", action, _id(given["run"], _RUN, "run", "run_...")], ""


def _id(text: str, pattern: re.Pattern[str], noun: str, form: str) -> str:
    if not pattern.fullmatch(text.strip()):
        raise UsageError(f"{text[:40]!r} names no {noun}", hint=f"{form}; {READ} `{noun} list`")
    return text.strip()


def _help(given: Mapping[str, str]) -> Line:
    words = given.get("command", "").split()
    if words[:1] == ["pve"]:
        words = words[1:]
    if words in (["pve-apply"], ["apply"]):
        return "pve-apply", ["--help"], ""
    if len(words) > 3 or not all(_WORD.fullmatch(word) for word in words):
        raise UsageError(f"{HELP} takes the words of a command", hint="guest clone")
    return "pve", [*words, "--help"], ""
