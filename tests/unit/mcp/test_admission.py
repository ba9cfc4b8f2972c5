"""Which commands go through which tool."""

from __future__ import annotations

from collections.abc import Iterator

import click
import pytest

from pveops.cli.app import root
from pveops.cli.commands import Command
from pveops.errors import PolicyRefusedError, PveopsError, UsageError
from pveops.mcp.admission import (
    APPLY,
    CHANGES,
    HELP,
    NOT_SERVED,
    PLAN,
    READ,
    READS,
    RUN,
    admit_with,
)
from pveops.operations.catalog import OPERATIONS, list_changes

TOOLS = (READ, PLAN, APPLY, RUN, HELP)


def leaves(command: click.Command, context: click.Context) -> Iterator[tuple[str, click.Command]]:
    """Every command without commands below it, with its words."""
    if not isinstance(command, click.Group):
        yield context.command_path.partition(" ")[2], command
        return
    for name in command.list_commands(context):
        found = command.get_command(context, name)
        assert found is not None
        yield from leaves(found, click.Context(found, info_name=name, parent=context))


COMMANDS = dict(leaves(root, click.Context(root, info_name="pve")))


def id_of(words: str) -> str:
    command = COMMANDS[words]
    assert isinstance(command, Command), f"nobody is asked before {words} is carried out"
    return command.operation or words.replace(" ", ".")


def passes(tool: str, operation: str) -> bool:
    try:
        admit_with(tool)(operation)
    except PveopsError:
        return False
    return True


@pytest.mark.parametrize("words", COMMANDS)
def test_of_every_command_it_was_decided_whether_it_is_served(words: str) -> None:
    """A new command is not served until `mcp/admission.py` names it."""
    operation = id_of(words)
    places = [operation in group for group in (READS, CHANGES, NOT_SERVED | {"run.resume"})]
    assert places.count(True) == 1, f"{operation}: say in mcp/admission.py what becomes of it"


def test_what_changes_the_cluster_is_never_read() -> None:
    for row in list_changes():
        assert not passes(READ, row.id), row.id
    for row in OPERATIONS:
        assert passes(READ, row.id) is not row.is_change


def test_every_change_but_those_made_of_files_can_be_planned() -> None:
    left = {row.id for row in list_changes() if not passes(PLAN, row.id)}
    assert left == {"storage.upload"}


@pytest.mark.parametrize("operation", sorted(NOT_SERVED))
def test_what_is_for_a_shell_goes_through_no_tool(operation: str) -> None:
    for tool in TOOLS:
        with pytest.raises(PolicyRefusedError) as refused:
            admit_with(tool)(operation)
        assert refused.value.hint


def test_a_plan_is_carried_out_by_one_tool_only() -> None:
    assert [tool for tool in TOOLS if passes(tool, "apply")] == [APPLY]
    assert [tool for tool in TOOLS if passes(tool, "run.resume")] == [RUN]
    for row in OPERATIONS:
        assert not passes(APPLY, row.id)
        assert not passes(RUN, row.id)
        assert not passes(HELP, row.id)


def test_a_tool_that_nobody_knows_lets_nothing_through() -> None:
    for operation in (*READS, *CHANGES, "apply"):
        assert not passes("pve_consent", operation)


def test_the_refusal_of_a_change_names_the_tool_for_it() -> None:
    with pytest.raises(UsageError) as refused:
        admit_with(READ)("guest.stop")
    assert PLAN in refused.value.hint
