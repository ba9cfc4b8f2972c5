"""A token from a command of the user's: a password manager, a vault.

The protocol: one JSON object on the command's standard input, one on its standard output.

    {"version": 1, "profile": "home", "tier": 0}
    {"version": 1, "token_id": "agent@pve!ops", "secret": "...", "bound": "...", "expires": 0}

`bound` is the fingerprint of endpoints and trust that `pve secrets status` shows: the vault's
record says where the token may be sent, as the payload of an age file does. Nothing of what the
command says, in its answer or beside it, is shown.
"""

from __future__ import annotations

import json
import os
import re
import signal
from contextlib import suppress
from typing import TYPE_CHECKING, Any, NamedTuple

from pveops.errors import ConfigError
from pveops.redact import register_secret

if TYPE_CHECKING:
    import subprocess

VERSION = 1
TIMEOUT_S = 15
"""A vault in a network answers in less; a prompt that nobody sees never does."""
_MAX_BYTES = 16 * 1024
_TOKEN_ID = re.compile(r"[^\s!@:/]+@[A-Za-z][A-Za-z0-9.\-_]+![A-Za-z][A-Za-z0-9.\-_]+")
_SECRET = re.compile(r"[!-:<-~]{5,4096}")
_HINT = "docs/howto/secrets.md shows what such a command has to answer"


class Resolved(NamedTuple):
    """What a command answered."""

    token_id: str
    secret: str
    bound: str
    """The fingerprint of the place that the record is for."""
    expires: int = 0
    """Seconds since the epoch; 0: never, or not told."""

    def __repr__(self) -> str:
        return f"Resolved({self.token_id}, secret hidden)"


def resolve_token(
    command: tuple[str, ...], profile: str, tier: int, *, timeout_s: float = TIMEOUT_S
) -> Resolved:
    """Ask the command for a token. Raises ConfigError, which quotes nothing of what it said."""
    request = json.dumps({"version": VERSION, "profile": profile, "tier": tier})
    answer = _run(command, request.encode() + b"\n", timeout_s)
    return _parse(answer, command[0])


def _run(command: tuple[str, ...], request: bytes, timeout_s: float) -> bytes:
    import subprocess

    name = command[0]
    try:
        process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
    except OSError as error:
        raise ConfigError(
            f"the secret command {name} cannot be started: {error.strerror}", hint=_HINT
        ) from None
    try:
        answer, _ = process.communicate(request, timeout=timeout_s)
    except subprocess.TimeoutExpired:
        _end(process)
        raise ConfigError(
            f"the secret command {name} gave no answer within {timeout_s:g} s",
            hint="unlock the password manager, or try the command by hand",
        ) from None
    if process.returncode != 0:
        raise ConfigError(
            f"the secret command {name} ended with {process.returncode}",
            hint="try the command by hand; what it says is not shown here",
        )
    if len(answer) > _MAX_BYTES:
        raise ConfigError(f"the secret command {name} answered with too much", hint=_HINT)
    return answer


def _end(process: subprocess.Popen[bytes]) -> None:
    """Its children hold our pipe, too; all of them were started for this one question."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.communicate()


def _parse(answer: bytes, name: str) -> Resolved:
    def bad(what: str) -> ConfigError:
        return ConfigError(f"the secret command {name} answered wrongly: {what}", hint=_HINT)

    try:
        fields: Any = json.loads(answer)
    except (ValueError, RecursionError):
        raise bad("this is no JSON") from None
    if not isinstance(fields, dict):
        raise bad("this is no JSON object")
    secret = fields.get("secret")
    if isinstance(secret, str):
        register_secret(secret)
    if fields.get("version") != VERSION:
        raise bad(f"version is not {VERSION}")
    if not isinstance(secret, str) or not _SECRET.fullmatch(secret):
        raise bad("secret is no secret of an API token")
    token_id, bound = fields.get("token_id"), fields.get("bound")
    if not isinstance(token_id, str) or not _TOKEN_ID.fullmatch(token_id):
        raise bad("token_id does not look like agent@pve!ops")
    if not isinstance(bound, str) or not bound:
        raise bad("bound, the fingerprint of the place that it is for, is missing")
    expires = fields.get("expires", 0)
    if not isinstance(expires, int) or isinstance(expires, bool) or expires < 0:
        raise bad("expires is no number of seconds")
    return Resolved(token_id, secret, bound, expires)
