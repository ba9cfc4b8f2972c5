"""Taking a secret from a person or a program: never from the command line, where all see it."""

from __future__ import annotations

import os
import re
from typing import IO, NamedTuple

from pveops.errors import SecretError
from pveops.redact import register_secret

_MAX_CHARS = 4096
_TOKEN = re.compile(r"(?P<id>[^\s:/!=]+@[A-Za-z][A-Za-z0-9.\-_]+![A-Za-z][A-Za-z0-9.\-_]+)")


class GivenToken(NamedTuple):
    """What was given. `token_id` is empty where only the secret was."""

    token_id: str
    secret: str

    def __repr__(self) -> str:
        return f"GivenToken({self.token_id}, secret hidden)"


def ask_secret(prompt: str) -> GivenToken:
    """Ask at the terminal, without showing what is typed. Raises SecretError without one."""
    import getpass
    import warnings

    try:
        with warnings.catch_warnings():
            # Without a terminal getpass warns, and would then show what is typed.
            warnings.simplefilter("error", getpass.GetPassWarning)
            return parse_token(getpass.getpass(prompt))
    except (OSError, EOFError, getpass.GetPassWarning) as error:
        raise SecretError(
            "there is no terminal to ask for the secret at",
            hint="give it on standard input (--stdin) or through a file descriptor (--fd N)",
        ) from error


def read_secret(stream: IO[str]) -> GivenToken:
    """The secret from a stream, up to its end. Raises SecretError."""
    try:
        return parse_token(stream.read(_MAX_CHARS + 1))
    except UnicodeDecodeError as error:
        raise SecretError("the secret is no text", hint=_HINT) from error


def read_secret_fd(descriptor: int) -> GivenToken:
    """The secret from an open file descriptor, which is closed. Raises SecretError."""
    try:
        with os.fdopen(descriptor, encoding="utf-8") as stream:
            return read_secret(stream)
    except OSError as error:
        raise SecretError(
            f"file descriptor {descriptor} cannot be read: {error.strerror}",
            hint=f"open it for the command, as in `{descriptor}<FILE`",
        ) from error


_HINT = "give the value that PVE showed once, or `USER@REALM!NAME=VALUE`, on one line"


def parse_token(text: str) -> GivenToken:
    """A secret, or `user@realm!name=secret`, as PVE and people write it. Raises SecretError.

    The text stands in no error, whatever is wrong with it.
    """
    text = text.strip().removeprefix("Authorization:").strip().removeprefix("PVEAPIToken=")
    match = _TOKEN.match(text)
    token_id = match["id"] if match else ""
    secret = text[len(token_id) :].removeprefix("=") if token_id else text
    register_secret(secret)
    if not secret:
        raise SecretError("no secret was given", hint=_HINT)
    if len(secret) > _MAX_CHARS or not (secret.isascii() and secret.isprintable()):
        raise SecretError("what was given is no secret of an API token", hint=_HINT)
    if " " in secret:
        raise SecretError("what was given has spaces in it; no secret of PVE has", hint=_HINT)
    return GivenToken(token_id, secret)
