"""Users and their API tokens: what they are, until when, and what they may.

Facts of pve-access-control that decide here (API2/User.pm, API2/ACL.pm): a secret is told once; a
token may not ask about itself what its user may, its expiry least of all; deleting a token drops
its access control entries.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import quote

from pveops.domain.rows import Row, flag_of, int_of, rows_of, text_of
from pveops.units import DAY_S, format_utc

if TYPE_CHECKING:
    from pveops.api.client import Client

SOON_DAYS = 14
URGENT_DAYS = 3


class TokenFacts(NamedTuple):
    """One API token, without its secret."""

    user: str
    name: str
    comment: str = ""
    expires: int = 0
    """Seconds since the epoch; 0: never."""
    has_privsep: bool = True


class AccessEntry(NamedTuple):
    """One access control entry."""

    path: str
    role: str
    propagates: bool


class Expiry(NamedTuple):
    """Until when a token or a user is good."""

    subject: str
    """`user@realm!name`, or a user."""
    expires: int
    """Seconds since the epoch; 0: never, or not known."""


class ExpiryWarning(NamedTuple):
    """Something that ends soon, or has ended."""

    subject: str
    is_urgent: bool
    """It ends within three days, or has ended."""
    message: str
    remedy: str


def token_path(token_id: str) -> str:
    """Where the API has a token."""
    user, _, name = token_id.partition("!")
    return f"/access/users/{quote(user, safe='@')}/token/{quote(name, safe='')}"


def read_tokens(client: Client, user: str) -> tuple[TokenFacts, ...]:
    """A user's tokens. One request; raises PermissionDeniedError for a token of theirs."""
    rows = rows_of(client.get(f"/access/users/{quote(user, safe='@')}/token"))
    return tuple(_token_of(user, row) for row in rows)


def _token_of(user: str, row: Row) -> TokenFacts:
    return TokenFacts(
        user,
        text_of(row, "tokenid"),
        text_of(row, "comment"),
        int_of(row, "expire"),
        int_of(row, "privsep", 1) != 0,
    )


def read_token_entries(client: Client, token_id: str) -> tuple[AccessEntry, ...]:
    """The entries of a token itself, not those of its user. One request."""
    return tuple(
        AccessEntry(text_of(row, "path"), text_of(row, "roleid"), flag_of(row, "propagate"))
        for row in rows_of(client.get("/access/acl"))
        if row.get("type") == "token" and row.get("ugid") == token_id
    )


def list_expiry_warnings(expiries: Sequence[Expiry], now: float) -> tuple[ExpiryWarning, ...]:
    """What ends within 14 days, or has ended, the most urgent first. Pure."""
    ending = sorted(
        (each for each in expiries if each.expires and each.expires - now < SOON_DAYS * DAY_S),
        key=lambda each: each.expires,
    )
    return tuple(_warning(each, now) for each in ending)


def _warning(expiry: Expiry, now: float) -> ExpiryWarning:
    ends = expiry.expires
    left = ends - now
    date = format_utc(ends, "%Y-%m-%d")
    is_token = "!" in expiry.subject
    what = f"the token {expiry.subject}" if is_token else f"the user {expiry.subject}"
    when = "expired" if left <= 0 else f"expires in {max(0, int(left // DAY_S))} days,"
    remedy = "pve secrets rotate" if is_token else f"pveum user modify {expiry.subject} --expire 0"
    return ExpiryWarning(
        expiry.subject, left < URGENT_DAYS * DAY_S, f"{what} {when} on {date}", remedy
    )
