"""What a client is offered, and what it costs."""

from __future__ import annotations

import json

import click
import pytest
from mcp import types

from pveops.cli.commands import Command
from pveops.errors import ConfigError
from pveops.mcp.admission import APPLY, HELP, READ, RUN
from pveops.mcp.command import _check_sdk
from pveops.mcp.tools import (
    INSTRUCTIONS,
    MAX_TOKENS,
    MAX_TOOLS,
    TOOLS,
    estimate_tokens,
    list_json,
)


def test_the_list_stays_within_its_budget() -> None:
    """English and JSON take some 4 characters a token; 3.5 is counted."""
    assert len(TOOLS) <= MAX_TOOLS == 8
    assert estimate_tokens(list_json()) <= MAX_TOKENS == 1500
    assert len(INSTRUCTIONS) <= 1000


def test_what_is_counted_is_what_the_sdk_sends() -> None:
    tools = [types.Tool.model_validate(tool) for tool in TOOLS]
    sent = types.ListToolsResult(tools=tools).model_dump(by_alias=True, exclude_none=True)
    assert sent == json.loads(list_json())


def test_annotations_tell_who_only_looks_and_who_may_destroy() -> None:
    hints = {tool["name"]: tool["annotations"] for tool in TOOLS}
    assert {name for name, hint in hints.items() if hint["readOnlyHint"]} == {READ, HELP}
    assert {name for name, hint in hints.items() if hint["destructiveHint"]} == {APPLY, RUN}
    assert not [name for name, hint in hints.items() if len(hint) != 4]


def test_no_tool_takes_anything_that_consents_but_what_a_person_was_sent() -> None:
    taken = {name for tool in TOOLS for name in tool["inputSchema"]["properties"]}
    assert taken == {"command", "reason", "stdin", "plan", "code", "signature", "run", "action"}


@pytest.mark.parametrize("found", ["", "1.9.4", "2.0.1", "3.1"])
def test_an_sdk_that_is_missing_or_unknown_is_named_with_the_way_to_another(
    found: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    import importlib.metadata

    def version(name: str) -> str:
        if not found:
            raise importlib.metadata.PackageNotFoundError(name)
        return found

    monkeypatch.setattr(importlib.metadata, "version", version)
    with pytest.raises(ConfigError, match="MCP SDK") as refused:
        _check_sdk()
    assert refused.value.hint.startswith("pip install ")
    assert refused.value.exit_code == 7


def test_the_commands_of_the_server_have_help_with_examples() -> None:
    from pveops.mcp.command import serve

    assert isinstance(serve, Command)
    assert "pve mcp serve" in serve.get_help(click.Context(serve, info_name="serve"))
