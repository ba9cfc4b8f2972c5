"""`pve secrets`: the stored API token."""

from __future__ import annotations

import re

import click

from pveops.cli.answer import Answer, Facts
from pveops.cli.call import Call
from pveops.cli.commands import Group
from pveops.errors import UsageError

command = Group("secrets", help="The stored API token: add, status.")

_TOKEN_ID = re.compile(r"[^\s!@:/]+@[A-Za-z][A-Za-z0-9.\-_]+![A-Za-z][A-Za-z0-9.\-_]+")
_MAX_SECRET = 4096
_DAY_S = 86_400


@command.command(
    "add",
    operation="secrets.add",
    examples=("pve secrets add agent@pve!ops", "pve secrets add agent@pve!ops --stdin < file"),
)
@click.argument("token_id", metavar="USER@REALM!NAME")
@click.option("--stdin", "from_stdin", is_flag=True, help="Read the secret from standard input.")
@click.option("--fd", type=int, help="Read the secret from this file descriptor.")
@click.option("--expires", default="", metavar="YYYY-MM-DD", help="When PVE lets it expire.")
@click.pass_obj
def add(call: Call, token_id: str, from_stdin: bool, fd: int | None, expires: str) -> Answer:
    """Store the token of a profile, encrypted, bound to its endpoints and trust.

    The secret is never taken from the command line: it is asked for, or read from standard
    input or a file descriptor.
    """
    from pveops.config.profiles import choose_profile
    from pveops.config.secrets import PROTECTS, save_token

    if not _TOKEN_ID.fullmatch(token_id):
        raise UsageError(
            f"{token_id!r} is no token id", hint="it looks like agent@pve!ops; no secret in it"
        )
    paths = call.wiring.paths
    name, profile = choose_profile(paths, call.options.profile)
    expiry = _parse_date(expires) if expires else 0
    secret = _read_secret(call, from_stdin=from_stdin, fd=fd)
    path = save_token(paths, name, profile, token_id, secret, now=call.clock.now(), expires=expiry)
    return Answer(
        f"the token {token_id} is stored for the profile {name!r}",
        data={"token_id": token_id, "profile": name, "file": str(path)},
        blocks=(Facts((("file", str(path)), ("note", PROTECTS))),),
        next=("pve doctor", "pve status"),
    )


def _parse_date(text: str) -> int:
    from datetime import UTC, datetime

    try:
        return int(datetime.strptime(text, "%Y-%m-%d").replace(tzinfo=UTC).timestamp())
    except ValueError as error:
        raise UsageError(f"{text!r} is no date", hint="YYYY-MM-DD") from error


def _read_secret(call: Call, *, from_stdin: bool, fd: int | None) -> str:
    import os

    if fd is not None:
        try:
            text = os.read(fd, _MAX_SECRET).decode()
        except OSError as error:
            raise UsageError(f"file descriptor {fd} cannot be read: {error}") from error
    elif from_stdin:
        text = call.stdin.read(_MAX_SECRET)
    elif call.stdin.isatty():
        import getpass

        text = getpass.getpass("secret (not shown): ")
    else:
        raise UsageError(
            "there is no terminal to ask for the secret", hint="give it with --stdin or --fd"
        )
    secret = text.strip()
    if not secret or any(character.isspace() for character in secret):
        raise UsageError("the secret is empty, or holds white space")
    return secret


@command.command("status", operation="secrets.status")
@click.pass_obj
def status(call: Call) -> Answer:
    """What is stored, and what its encryption protects against."""
    from pveops.config.profiles import choose_profile
    from pveops.config.secrets import PROTECTS, secret_status

    paths = call.wiring.paths
    name, profile = choose_profile(paths, call.options.profile)
    found = secret_status(paths, name, profile, call.clock.now())
    left = (found.expires - call.clock.now()) / _DAY_S if found.expires else None
    expiry = "not known here" if left is None else f"in {left:.0f} days"
    warnings = ("a git repository tracks this file",) if found.is_tracked_by_git else ()
    return Answer(
        f"the profile {name!r} has the token {found.token_id}; it expires: {expiry}",
        data={
            "profile": name,
            "token_id": found.token_id,
            "expires": found.expires or None,
            "file": found.path,
            "identity": found.identity,
            "is_tracked_by_git": found.is_tracked_by_git,
        },
        blocks=(
            Facts(
                (
                    ("file", found.path),
                    ("identity", found.identity),
                    ("note", PROTECTS),
                    ("warning", "; ".join(warnings)),
                )
            ),
        ),
    )
