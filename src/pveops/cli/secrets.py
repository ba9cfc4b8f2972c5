"""`pve secrets`: the stored API token."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import click

from pveops.cli.answer import Answer, Facts
from pveops.cli.call import Call
from pveops.cli.commands import Group
from pveops.cli.secret_status import tell_status
from pveops.errors import PolicyRefusedError, PveopsError, UsageError

if TYPE_CHECKING:
    from pveops.config.profiles import Profile
    from pveops.config.secret_input import GivenToken

command = Group("secrets", help="The stored API tokens: add, status, rotate.")

_TOKEN_ID = re.compile(r"[^\s!@:/]+@[A-Za-z][A-Za-z0-9.\-_]+![A-Za-z][A-Za-z0-9.\-_]+")
_TIER_OPTION = click.option(
    "--tier",
    type=click.IntRange(0, 3),
    default=0,
    help="The token for changes of this tier; 0: the one for reading.",
)


@command.command(
    "add",
    operation="secrets.add",
    examples=("pve secrets add agent@pve!ops", "pve secrets add agent@pve!ops --stdin < file"),
)
@click.argument("token_id", metavar="[USER@REALM!NAME]", default="")
@click.option("--stdin", "from_stdin", is_flag=True, help="Read the secret from standard input.")
@click.option("--fd", type=int, help="Read the secret from this file descriptor.")
@click.option("--expires", default="", metavar="YYYY-MM-DD", help="When PVE lets it expire.")
@_TIER_OPTION
@click.pass_obj
def add(
    call: Call, token_id: str, from_stdin: bool, fd: int | None, expires: str, tier: int
) -> Answer:
    """Store the token of a profile, encrypted, bound to its endpoints and trust.

    The secret is never taken from the command line: it is asked for, or read from standard
    input or a file descriptor. What is read may be the secret alone, or USER@REALM!NAME=SECRET.
    """
    from pveops.config.profiles import choose_profile
    from pveops.config.secrets import PROTECTS, list_secret_statuses, save_token

    paths = call.wiring.paths
    name, profile = choose_profile(paths, call.options.profile)
    if token_id:
        _check_token_id(token_id)
    expiry = _parse_date(expires) if expires else 0
    if expires and expiry <= call.clock.now():
        raise UsageError(
            f"a token that expired on {expires} is of no use", hint="make one in PVE that lasts"
        )
    given = _read(call, from_stdin=from_stdin, fd=fd)
    if token_id and given.token_id and given.token_id != token_id:
        raise UsageError(f"what was given is for {given.token_id}, not for {token_id}")
    token_id = token_id or given.token_id
    if not token_id:
        raise UsageError("which token?", hint="pve secrets add agent@pve!ops")
    _refuse_root(token_id)
    statuses = list_secret_statuses(paths, name, profile, call.clock.now())
    before = dict(statuses)[tier].token_id if tier in dict(statuses) else ""
    tried = _try_out(call, name, profile, token_id, given.secret)
    path = save_token(
        paths,
        name,
        profile,
        token_id,
        given.secret,
        now=call.clock.now(),
        expires=expiry,
        tier=tier,
    )
    return Answer(
        f"the token {token_id} is stored for the profile {name!r}"
        + (f"; it replaces {before}" if before else ""),
        data={
            "token_id": token_id,
            "profile": name,
            "file": str(path),
            "replaces": before or None,
            "tried": tried,
        },
        blocks=(Facts((("file", str(path)), ("tried", tried), ("note", PROTECTS))),),
        next=("pve doctor", "pve status"),
    )


def _try_out(call: Call, name: str, profile: Profile, token_id: str, secret: str) -> str:
    """Use the token once, before it takes another's place; in words, how that went.

    Raises AuthenticationError when PVE does not accept it.
    """
    from pveops.api.auth import Authenticated, Secret, TokenAuth
    from pveops.api.client import Client
    from pveops.api.decorators import ReadOnly
    from pveops.cli.connection import open_transport
    from pveops.errors import AuthenticationError
    from pveops.redact import register_secret

    register_secret(secret)
    try:
        transport = open_transport(call, call.wiring, name, profile)
        auth = TokenAuth(token_id, Secret(secret))
        Client(ReadOnly(Authenticated(transport, auth)), call.clock).version()
    except AuthenticationError as error:
        raise AuthenticationError(
            f"PVE does not accept this secret for {token_id}; nothing was stored",
            hint="look at the token's expiry and its user in PVE; a secret that is lost cannot be "
            "read again, so make a new token",
            details=error.details,
        ) from error
    except PveopsError as error:
        return f"not tried, so `pve doctor` has to: {error.message}"
    return "PVE accepts it"


def _check_token_id(text: str) -> None:
    """A token's id, and nothing that looks like its secret."""
    if not _TOKEN_ID.fullmatch(text):
        raise UsageError(
            "this is no token id", hint="it looks like agent@pve!ops, without the secret"
        )


def _refuse_root(token_id: str) -> None:
    """Root's tokens may do what nobody should be able to ask an agent for."""
    if token_id.startswith("root@pam!"):
        raise PolicyRefusedError(
            f"{token_id} belongs to root@pam; such a token is not taken for an agent",
            hint="pve access grant-script --tier operate   # a token with what is needed, no more",
        )


def _parse_date(text: str) -> int:
    from datetime import UTC, datetime

    try:
        return int(datetime.strptime(text, "%Y-%m-%d").replace(tzinfo=UTC).timestamp())
    except ValueError as error:
        raise UsageError(f"{text!r} is no date", hint="YYYY-MM-DD") from error


def _read(call: Call, *, from_stdin: bool, fd: int | None) -> GivenToken:
    from pveops.config.secret_input import ask_secret, read_secret, read_secret_fd

    if fd is not None:
        return read_secret_fd(fd)
    return read_secret(call.stdin) if from_stdin else ask_secret("secret (not shown): ")


@command.command("status", operation="secrets.status")
@click.pass_obj
def status(call: Call) -> Answer:
    """What is stored, and what its encryption protects against."""
    from pveops.config.profiles import choose_profile
    from pveops.config.secrets import list_secret_statuses

    name, profile = choose_profile(call.wiring.paths, call.options.profile)
    found = list_secret_statuses(call.wiring.paths, name, profile, call.clock.now())
    return tell_status(name, found, call.clock.now())


@command.command(
    "rotate", operation="secrets.rotate", examples=("pve secrets rotate --login admin@pve",)
)
@_TIER_OPTION
@click.option("--login", default="root@pam", metavar="USER@REALM", help="Who logs in for it.")
@click.option(
    "--days",
    type=click.IntRange(1, 3650),
    default=90,
    show_default=True,
    help="How long the new token is good for.",
)
@click.option("--resume", "is_resumed", is_flag=True, help="End what was interrupted.")
@click.pass_obj
def rotate(call: Call, tier: int, login: str, days: int, is_resumed: bool) -> Answer:
    """Replace the token by a new one with the same rights, and delete the old one in PVE.

    For a person at a terminal: PVE asks for your password. The old token works until the new one
    is stored and tried; whatever interrupts it, --resume ends it.
    """
    from pveops.cli.rotation import rotate_token

    return rotate_token(call, tier=tier, login=login, days=days, is_resumed=is_resumed)
