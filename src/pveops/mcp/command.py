"""`pve mcp`: serve agents that speak MCP, and show what they are offered."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from typing import Any

import click

from pveops.cli.answer import Answer, Column, Lines, Listing
from pveops.cli.call import Call
from pveops.cli.commands import Group, list_options
from pveops.errors import ConfigError

group = Group("mcp", help="MCP (Model Context Protocol): serve agents over standard streams.")

_LEAST, _FIRST_UNKNOWN = (1, 10), (2,)
_INSTALL = "pip install 'mcp>=1.10,<2'"
_COLUMNS = (
    Column("name"),
    Column("reads", label="only looks", kind="flag"),
    Column("destroys", label="may destroy", kind="flag"),
    Column("takes"),
    Column("characters", kind="number"),
)
_FIELDS = (*(column.key for column in _COLUMNS), "description")


@group.command("serve", examples=("pve mcp serve", "pve --profile lab mcp serve"))
@click.pass_obj
def serve(call: Call) -> int:
    """Serve one client on standard input and output until it leaves.

    A client starts this command; docs/howto/mcp.md shows how. `--profile` is for every command
    that does not name another, `--unattended` for all.
    """
    _check_sdk()
    if call.stdin.isatty():
        call.stderr.write("pve mcp serve: a client speaks MCP here; Ctrl-C ends it\n")
    from pveops.mcp.processes import Processes

    # First: what is forked later would hold the SDK's threads and the protocol's streams.
    processes = Processes.fork(call.environ)
    output = _keep_for_protocol()
    from pveops.mcp.server import run

    return run(processes, output, tuple(_shared(call)))


def _shared(call: Call) -> Iterator[str]:
    if call.options.profile:
        yield f"--profile={call.options.profile}"
    if call.options.is_unattended:
        yield "--unattended"


def _check_sdk() -> None:
    """Raises ConfigError when the SDK is missing, or one that we do not know."""
    import importlib.metadata

    try:
        found = importlib.metadata.version("mcp")
    except importlib.metadata.PackageNotFoundError:
        raise ConfigError("the MCP SDK is not installed", hint=_INSTALL) from None
    parts = tuple(int(part) for part in found.split(".")[:2] if part.isdecimal())
    if not _LEAST <= parts < _FIRST_UNKNOWN:
        raise ConfigError(
            f"the MCP SDK {found} is not one that is known (1.10 up to 1.x)",
            hint="pip install 'mcp>=1.10,<2'",
        )


def _keep_for_protocol() -> int:
    """Our output's descriptor, for the protocol alone: whatever else prints goes to stderr."""
    output = os.dup(1)
    try:
        os.dup2(2, 1)
    except OSError:
        nothing = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nothing, 1)
        os.close(nothing)
    sys.stdout = sys.stderr
    return output


@group.command("tools")
@list_options
@click.pass_obj
def tools(call: Call) -> Answer:
    """List the tools that a client is offered, and what that list costs it."""
    import json

    from pveops.mcp.tools import INSTRUCTIONS, MAX_TOKENS, TOOLS, estimate_tokens, list_json

    del call

    def item(tool: dict[str, Any]) -> dict[str, Any]:
        return {
            "name": tool["name"],
            "reads": tool["annotations"]["readOnlyHint"],
            "destroys": tool["annotations"]["destructiveHint"],
            "takes": ",".join(tool["inputSchema"]["properties"]),
            "characters": len(json.dumps(tool, separators=(",", ":"))),
            "description": tool["description"],
        }

    text = list_json()
    cost = f"{len(text)} characters, at most about {estimate_tokens(text)} tokens"
    return Answer(
        f"{len(TOOLS)} tools; their list has {cost} (limit {MAX_TOKENS})",
        blocks=(
            Listing(TOOLS, item, _FIELDS, _COLUMNS),
            Lines((f"and {len(INSTRUCTIONS)} characters of instructions, once",)),
        ),
    )
