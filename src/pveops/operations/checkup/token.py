"""The token as PVE sees it: its account, and what it may do."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from pveops.domain.access import AccessTree, Account, Permissions, list_blind_spots
from pveops.operations.checkup.check import Check
from pveops.operations.checkup.local import check_expiry
from pveops.operations.grade import is_reading
from pveops.operations.over_privilege import Excess, find_excess, shrink_commands

_ROOT = "root@pam"


class AccessFact(NamedTuple):
    """What was found out about the token."""

    auth_id: str
    permissions: Permissions
    tree: AccessTree
    account: Account | None
    """None: PVE does not tell the token about itself."""
    stored_expires: int
    """What was noted when the token was stored; 0: nothing."""
    may_change: bool
    """Whether the policy lets anybody change anything."""


def check_access(fact: AccessFact, now: float) -> Iterator[Check]:
    """The account, then what the token may do too much, then what it does not see."""
    yield from check_account(fact, now)
    if fact.permissions.is_empty:
        yield Check(
            "bad",
            "access.none",
            "the token has no privileges at all: PVE gives it empty lists, not errors",
            "pve access grant-script --tier read   # entries for the token itself, too",
        )
        return
    if fact.auth_id.partition("!")[0] == _ROOT:
        return
    drop: frozenset[str] = frozenset()
    for excess in find_excess(fact.permissions, may_change=fact.may_change):
        # The commands of a line leave out what the lines before it take away.
        drop |= frozenset(excess.privileges)
        yield _check_excess(fact, excess, drop)
    yield _check_level(fact.permissions)
    for spot in list_blind_spots(fact.permissions):
        message = f"cannot see {spot.what}: lists leave them out"
        yield Check("warn", "access.blind", message, f"grant {spot.privilege} on {spot.path}")


def check_account(fact: AccessFact, now: float) -> Iterator[Check]:
    """Whose token it is, how long both are good, and whether it has privileges of its own."""
    user, _, name = fact.auth_id.partition("!")
    if user == _ROOT:
        whose = "the token belongs to root@pam" if name else "it works as root@pam itself"
        yield Check(
            "bad",
            "token.root",
            f"{whose}, whom PVE refuses nothing",
            "pve access grant-script --tier operate   # a user of its own",
        )
    account = fact.account
    if account is None:
        if name and not fact.stored_expires:
            yield _unknown_expiry(fact.auth_id)
        return
    if not account.is_user_enabled:
        message = f"the user {user} is disabled"
        yield Check("bad", "token.account", message, f"pveum user modify {user} --enable 1")
    elif account.user_expires:
        fix = f"pveum user modify {user} --expire 0"
        yield check_expiry("token.account", f"the user {user}", account.user_expires, now, fix)
    if not name:
        return
    if not account.has_privsep:
        yield Check(
            "bad",
            "token.privsep",
            f"the token has all that {user} has (no privilege separation)",
            f"pveum user token modify {user} {name} --privsep 1   # then it needs entries",
        )
    else:
        yield Check("ok", "token.privsep", "the token has privileges of its own")
    yield from _check_token_expiry(fact, account, now)


def _unknown_expiry(auth_id: str) -> Check:
    fix = f"pve secrets add '{auth_id}' --expires YYYY-MM-DD"
    return Check("warn", "token.expiry", "PVE tells no token when it expires", fix)


def _check_token_expiry(fact: AccessFact, account: Account, now: float) -> Iterator[Check]:
    """By PVE's word, unless what was noted here says the same."""
    user, _, name = fact.auth_id.partition("!")
    if not account.token_expires:
        fix = f"pveum user token modify {user} {name} --expire $(date -d +90days +%s)"
        if fact.stored_expires:
            fix += "   # the day that was noted when it was stored is not PVE's"
        yield Check("warn", "token.expiry", "PVE lets the token never expire", fix)
    elif account.token_expires != fact.stored_expires:
        yield check_expiry("token.expiry", "the token, by PVE,", account.token_expires, now)


def _check_excess(fact: AccessFact, excess: Excess, drop: frozenset[str]) -> Check:
    names, paths = ", ".join(excess.privileges), ", ".join(excess.paths)
    has_own = fact.account is None or fact.account.has_privsep
    subject = fact.auth_id if has_own else fact.auth_id.partition("!")[0]
    shrink = "; ".join(shrink_commands(subject, fact.permissions, fact.tree, drop))
    if excess.level == "critical":
        message = f"the token may do what no agent should: {names} on {paths}"
        return Check("bad", "access.critical", message, shrink)
    if excess.level == "high":
        message = f"{names} on {paths} and everything below it"
        fix = f"{shrink}; then on some pools: pve access grant-script --tier build --pool POOL"
        return Check("warn", "access.wide", message, fix)
    message = f"the policy lets nobody change anything, and the token has {names}"
    return Check("warn", "access.unused", message, shrink)


def _check_level(permissions: Permissions) -> Check:
    held: set[str] = set().union(*permissions.by_path.values())
    changing = sorted(name for name in held if not is_reading(name))
    if changing:
        return Check("ok", "access.level", f"the token may change things: {', '.join(changing)}")
    return Check("ok", "access.level", "the token can only read")
