"""What is carried out over MCP, and with which tool. Pure.

What is not named here is not carried out: it would read or write files of this machine, needs a
person at a terminal, or belongs to a schedule.
"""

from __future__ import annotations

from collections.abc import Callable

from pveops.cli.reading import list_readings
from pveops.errors import PolicyRefusedError, UsageError
from pveops.operations.catalog import list_changes

READ, PLAN, APPLY, HELP, RUN = "pve_read", "pve_plan", "pve_apply", "pve_help", "pve_run"

_OWN_CHANGES = frozenset(
    {"plan.cancel", "plan.code", "policy.freeze", "monitor.ack", "monitor.silence"}
)
"""Commands that change what this program keeps, and nothing in the cluster."""
_FILES = frozenset({"storage.upload"})
"""Changes that are made of a file of this machine."""

CHANGES = frozenset(row.id for row in list_changes()) - _FILES | _OWN_CHANGES

NOT_SERVED = _FILES | {
    *(f"demo.{verb}" for verb in ("serve", "use", "tour")),
    *(f"mcp.{verb}" for verb in ("serve", "tools")),
    *(f"monitor.{verb}" for verb in ("run", "install", "export")),
    *(f"secrets.{verb}" for verb in ("add", "status", "rotate")),
    *(f"openclaw.{verb}" for verb in ("setup", "plugin", "tell", "wake-script")),
    *(f"skill.{verb}" for verb in ("install", "check")),
    "completion",
    "init",
    "plan.approval-key",
    "policy.unfreeze",
    "run.close",
    "schema.refresh",
}
"""Looked at, and left to a shell. A new command belongs here, or above; a test asks for it."""

READS = list_readings() - NOT_SERVED

Admit = Callable[[str], None]


def admit_with(tool: str) -> Admit:
    """What a tool lets through, by an operation's id; whatever else raises PveopsError."""
    return {READ: _admit_read, PLAN: _admit_plan, APPLY: _admit_apply, RUN: _admit_run}.get(
        tool, _admit_nothing
    )


def _admit_read(operation: str) -> None:
    if operation in READS:
        return
    if operation in CHANGES:
        raise UsageError(
            f"{_words(operation)} changes something, and {READ} only looks",
            hint=f"{PLAN} with the same command and a reason",
        )
    raise _refusal(operation)


def _admit_plan(operation: str) -> None:
    if operation not in READS | CHANGES:
        raise _refusal(operation)


def _admit_apply(operation: str) -> None:
    if operation != "apply":
        raise _refusal(operation)


def _admit_run(operation: str) -> None:
    if operation not in {"run.wait", "run.show", "run.explain", "run.resume"}:
        raise _refusal(operation)


def _admit_nothing(operation: str) -> None:
    raise _refusal(operation)


def _refusal(operation: str) -> UsageError | PolicyRefusedError:
    if operation == "run.resume":
        return UsageError("a run is resumed by a tool of its own", hint=f"{RUN} with resume")
    if operation == "apply":
        return UsageError("a plan is carried out by a tool of its own", hint=APPLY)
    if operation in _FILES:
        return PolicyRefusedError(
            "the MCP server reads no files of its callers",
            hint=f"let a node fetch it: {PLAN} with a command `storage download`",
        )
    return PolicyRefusedError(
        f"`pve {_words(operation)}` is not carried out over MCP",
        hint="ask your human: it is for a shell on the machine of this server",
    )


def _words(operation: str) -> str:
    return operation.replace(".", " ")
