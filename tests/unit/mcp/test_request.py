"""From a tool's arguments to a command line."""

from __future__ import annotations

from typing import Any

import pytest

from pveops.errors import UsageError
from pveops.mcp.admission import APPLY, HELP, PLAN, READ, RUN
from pveops.mcp.request import make_asked


def line(tool: str, **arguments: Any) -> tuple[str, ...]:
    asked = make_asked(tool, arguments)
    return asked.program, *asked.arguments


def test_a_command_is_split_as_a_shell_does_and_nothing_more() -> None:
    assert line(READ, command="guest list --name 'web*'") == (
        "pve",
        "guest",
        "list",
        "--name",
        "web*",
    )
    assert line(READ, command="status; $(id) | sh") == ("pve", "status;", "$(id)", "|", "sh")
    assert line(READ, command="status # note") == ("pve", "status", "#", "note")


def test_the_word_pve_may_stand_before_it_as_answers_print_it() -> None:
    assert line(READ, command="pve guest list") == line(READ, command="guest list")
    with pytest.raises(UsageError, match="tool of its own"):
        make_asked(PLAN, {"command": "pve-apply pl_1a2b3c --code A", "reason": "x"})


def test_the_reason_is_one_word_before_the_others() -> None:
    asked = line(PLAN, command="guest exec web01 -- uptime", reason="--unattended -- x")
    assert asked == ("pve", "--reason=--unattended -- x", "guest", "exec", "web01", "--", "uptime")


def test_input_for_an_option_comes_beside_the_command() -> None:
    asked = make_asked(
        PLAN, {"command": "guest note web01 --text -", "reason": "x", "stdin": "hi"}
    )
    assert asked.stdin == "hi"


def test_a_plan_and_its_code_are_no_options() -> None:
    assert line(APPLY, plan="pl_1a2b3c", code="--receipt=-") == (
        "pve-apply",
        "--code=--receipt=-",
        "pl_1a2b3c",
    )
    for plan in ("--help", "pl_1a2b3c --code X", "-", "pl_", "pl_1a2b3c\n--x"):
        with pytest.raises(UsageError, match="names no plan"):
            make_asked(APPLY, {"plan": plan, "code": "A"})


def test_a_signature_goes_where_no_file_is_read() -> None:
    asked = make_asked(APPLY, {"plan": "pl_1a2b3c", "signature": "-----BEGIN"})
    assert (asked.arguments, asked.stdin) == (("--signature=-", "pl_1a2b3c"), "-----BEGIN")
    with pytest.raises(UsageError, match="two ways"):
        make_asked(APPLY, {"plan": "pl_1a2b3c", "signature": "x", "code": "y"})


def test_a_run_is_waited_for_unless_said_otherwise() -> None:
    assert line(RUN, run="run_1a2b") == ("pve", "run", "wait", "run_1a2b")
    assert line(RUN, run="run_1a2b", action="resume")[2] == "resume"
    for wrong in ({"run": "run_1a2b", "action": "close"}, {"run": "run_1a2b --x"}):
        with pytest.raises(UsageError):
            make_asked(RUN, wrong)


def test_help_takes_words_only() -> None:
    assert line(HELP) == ("pve", "--help")
    assert line(HELP, command="pve guest clone") == ("pve", "guest", "clone", "--help")
    assert line(HELP, command="pve-apply") == ("pve-apply", "--help")
    for words in ("guest list --tag x", "--version", "api get /access", "a b c d"):
        with pytest.raises(UsageError):
            make_asked(HELP, {"command": words})


@pytest.mark.parametrize("name", ["confirm", "yes", "force", "approved", "actor", "tier"])
@pytest.mark.parametrize("tool", [READ, PLAN, APPLY, RUN, HELP])
def test_no_tool_takes_a_confirmation(tool: str, name: str) -> None:
    with pytest.raises(UsageError, match=f"takes no '{name}'"):
        make_asked(tool, {name: True})


@pytest.mark.parametrize(
    ("tool", "arguments"),
    [
        (READ, {}),
        (READ, {"command": " "}),
        (READ, {"command": ["guest", "list"]}),
        (READ, {"command": "guest list 'web"}),
        (READ, {"command": "guest list \0"}),
        (READ, {"command": "guest list \udc80"}),
        (READ, {"command": "x" * 9000}),
        (PLAN, {"command": "guest start web01"}),
        (PLAN, {"command": "guest start web01", "reason": ""}),
        (APPLY, {"code": "ABCD-EFGH"}),
        ("pve_consent", {"plan": "pl_1a2b3c"}),
    ],
)
def test_what_does_not_fit_is_refused(tool: str, arguments: dict[str, Any]) -> None:
    with pytest.raises(UsageError):
        make_asked(tool, arguments)


def test_options_of_the_server_come_first() -> None:
    asked = make_asked(READ, {"command": "status"}, ("--profile=lab", "--unattended"))
    assert asked.arguments == ("--profile=lab", "--unattended", "status")
