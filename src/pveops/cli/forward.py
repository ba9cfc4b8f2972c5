"""Command lines that the broker carries out, where a profile names one (level G3).

Reads go straight to the cluster with the token that can only read. What changes something, and
what lies in the broker's store (plans, runs, the audit log, the policy), is asked of the broker.
"""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Sequence
from typing import TYPE_CHECKING

from pveops.cli.answer import Written
from pveops.cli.broker_message import (
    Asked,
    Told,
    pack_asked,
    receive_message,
    send_message,
    unpack_told,
)
from pveops.errors import ConfigError, OutcomeUnknownError, ProtocolError, UsageError

if TYPE_CHECKING:
    from pveops.cli.call import Call

_KEPT = frozenset({"plan", "run", "audit", "policy"})
"""Nouns whose things lie with the broker."""
_OF_THE_CLIENT = ("plan", "approval-key")
"""That of a plugin, which signs for profiles without a broker."""
_WITH_VALUE = frozenset({"--profile", "--reason"})
_FLAGS = frozenset({"--json", "--full", "--unattended", "--trace", "--look-only", "--no-code"})
_CONNECT_S = 3.0
_ANSWER_S = 7200.0
_MAX_STDIN = 1 << 20
NO_FILES = "the broker reads no files of its callers"


def forward(call: Call) -> Written | None:
    """The broker's answer; None when this process carries the command out itself.

    Raises ConfigError when the broker cannot be reached, OutcomeUnknownError when it was asked and
    gave no reply.
    """
    if call.is_brokered or "--help" in call.arguments:
        return None
    arguments = put_shared_last(call.arguments)
    if call.program == "pve" and not belongs_to_broker(arguments):
        return None
    path = _socket_of(call, arguments)
    if not path:
        return None
    if call.program == "pve" and tuple(arguments[:2]) == ("storage", "upload"):
        raise UsageError(NO_FILES, hint="let a node fetch it: pve storage download --help")
    if call.actor.kind == "unattended" and "--unattended" not in arguments:
        # Known by its surroundings, of which the broker sees nothing.
        arguments = put_shared_last(["--unattended", *arguments])
    from pveops.cli.taint import has_read_free_text

    asked = Asked(
        program=call.program,
        arguments=tuple(arguments),
        stdin=call.stdin.read(_MAX_STDIN) if "-" in arguments else "",
        asserted=dict(call.actor.asserted),
        has_read_free_text=has_read_free_text(call),
        face=call.actor.face,
        has_envelope=call.has_envelope,
    )
    told = ask_broker(path, asked)
    call.stderr.write(told.stderr)
    return Written(told.stdout, told.code, told.envelope)


def belongs_to_broker(arguments: Sequence[str]) -> bool:
    """Whether a command line of `pve` changes something, or is about what the broker keeps."""
    if not arguments or arguments[0].startswith("-"):
        return False
    if arguments[0] in _KEPT:
        return tuple(arguments[:2]) != _OF_THE_CLIENT
    from pveops.operations.catalog import list_changes

    changes = {tuple(operation.command.split()) for operation in list_changes()}
    return any(tuple(arguments[:length]) in changes for length in (2, 3))


def put_shared_last(arguments: Sequence[str]) -> list[str]:
    """The options that work anywhere, from before the noun to after its verb."""
    rest, shared = list(arguments), []
    while rest and rest[0].startswith("-"):
        name = rest[0].partition("=")[0]
        if name in _WITH_VALUE and "=" not in rest[0]:
            shared += rest[:2]
            del rest[:2]
        elif name in _FLAGS | _WITH_VALUE:
            shared.append(rest.pop(0))
        else:
            break
    return [*rest[:2], *shared, *rest[2:]] if len(rest) > 1 else [*rest, *shared]


def _socket_of(call: Call, arguments: Sequence[str]) -> str:
    from pveops.config.profiles import choose_profile

    wanted = ""
    for word, value in zip(arguments, [*arguments[1:], ""], strict=False):
        if word == "--profile":
            wanted = value
        elif word.startswith("--profile="):
            wanted = word.partition("=")[2]
    try:
        return choose_profile(call.wiring.paths, wanted)[1].broker_socket
    except ConfigError:
        # Whoever carries it out will tell.
        return ""


def ask_broker(path: str, asked: Asked) -> Told:
    """One request, one reply."""
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    connection.settimeout(_CONNECT_S)
    try:
        connection.connect(path)
    except OSError as error:
        connection.close()
        raise ConfigError(
            f"the broker does not answer at {path}: {error.strerror or error}",
            hint="its owner looks with `pve-broker check`, or `systemctl status pve-broker`",
        ) from error
    connection.settimeout(_ANSWER_S)
    is_sent = False
    try:
        # Who is refused before the request was read still gets the reason.
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            send_message(connection, pack_asked(asked))
            is_sent = True
        return unpack_told(receive_message(connection))
    except (OSError, ProtocolError) as error:
        if not is_sent:
            raise ConfigError(
                f"the broker has not taken the request; nothing was begun: {error}",
                hint="its owner looks with `pve-broker check`, or `systemctl status pve-broker`",
            ) from error
        raise OutcomeUnknownError(
            f"the broker was asked and gave no reply: {error}",
            hint="`pve run list` tells what was begun",
        ) from error
    finally:
        connection.close()


_BROKERS_OWN = frozenset(
    {
        *(f"plan.{verb}" for verb in ("list", "show", "cancel", "code", "challenge")),
        *(f"run.{verb}" for verb in ("list", "show", "explain", "wait", "resume", "close")),
        *(f"audit.{verb}" for verb in ("verify", "show", "reconcile")),
        *(f"policy.{verb}" for verb in ("show", "check", "freeze", "unfreeze")),
        "apply",
    }
)
"""Beside changes of the cluster: what is about plans, runs, records and rules that it keeps."""


def check_brokered(operation_id: str) -> None:
    """In the broker: nothing but changes of the cluster, and what it keeps itself.

    Everything else could make it read or write files of its own for a caller. Raises UsageError.
    """
    from pveops.operations.catalog import list_changes

    if operation_id == "storage.upload":
        raise UsageError(NO_FILES, hint="let a node fetch it: pve storage download --help")
    if operation_id not in _BROKERS_OWN | {operation.id for operation in list_changes()}:
        raise UsageError(f"the broker does not carry out {operation_id}", hint="run it yourself")
