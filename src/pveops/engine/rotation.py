"""Giving a token a successor: the old one works until the new one is proved and in its place.

    making    POST the new token; its secret goes straight into `.next`
    made      copy the access control entries, compare what both tokens may, use the new one
    proved    the new token takes the place of the old one, by rename; the old one stays as `.prev`
    adopted   read the token from disk and use it
    retiring  DELETE the old token, forget `.prev`
    undoing   from any step before `retiring`: the old token back in place, DELETE the new one

Each word is on disk before what stands beside it is begun, so whatever ends this process leaves a
working token and a journal that `resume` goes on from. A token is never regenerated in place: PVE
takes the old secret at once (`PUT .../token/ID regenerate=1`, since libpve-access-control 9.1.0),
before anybody could keep the new one.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

from pveops.config.rotation_files import Journal, RotationFiles
from pveops.config.secrets import StoredToken
from pveops.engine.token_calls import TokenCalls, name_successor
from pveops.errors import (
    AuthenticationError,
    ConflictError,
    NotFoundError,
    OutcomeUnknownError,
    PendingError,
    PveopsError,
)
from pveops.units import DAY_S

if TYPE_CHECKING:
    from pveops.api.client import Client
    from pveops.clock import Clock

_TRIES = 3
_PAUSE_S = 2.0
"""A token that was just made is on the other nodes a moment later."""
_LATE_S = 5.0
_RESUME = "pve secrets rotate --resume"


class Site(NamedTuple):
    """What a rotation works with.

    calls: a person's login. open_client: a client that reads with a token.
    """

    files: RotationFiles
    calls: TokenCalls
    open_client: Callable[[StoredToken], Client]
    clock: Clock


class Rotated(NamedTuple):
    """How a rotation ended: with the new token in force, or with the old one."""

    is_done: bool
    old: str
    new: str
    expires: int
    reason: str = ""
    """Why it was undone."""


def rotate(site: Site, days: int) -> Rotated:
    """Give the token a successor that is good for some days; ends what was begun before first.

    Raises whatever stopped it after it was undone; what could not be undone now is undone by
    `resume`. BusyError while another process rotates.
    """
    with site.files.hold():
        journal = site.files.read_journal()
        if journal is not None:
            ended = _go_on(site, journal)
            if ended.is_done:
                return ended
        return _go_on(site, _begin(site, days))


def resume(site: Site) -> Rotated:
    """End a rotation that was interrupted, forwards or backwards. Raises NotFoundError."""
    with site.files.hold():
        journal = site.files.read_journal()
        if journal is None:
            raise NotFoundError("no rotation was interrupted", hint="pve secrets rotate")
        return _go_on(site, journal)


def _begin(site: Site, days: int) -> Journal:
    """Nothing is sent yet but questions."""
    site.files.drop_staged()
    old = site.files.load()
    user, _, name = old.token_id.partition("!")
    tokens = site.calls.list_tokens(user)
    if name not in tokens:
        raise NotFoundError(
            f"PVE has no token {old.token_id}",
            hint="make one in PVE, then `pve secrets add`",
        )
    mark = secrets.token_hex(4)
    new = name_successor(old.token_id, tokens[name].comment, frozenset(tokens), mark)
    expires = int(site.calls.server_time() + days * DAY_S)
    return site.files.write_journal(Journal("making", mark, old.token_id, new.token_id, expires))


def _go_on(site: Site, journal: Journal) -> Rotated:
    """From the journal's step to the end, or back to the beginning."""
    while journal.step in _STEPS:
        try:
            journal = _STEPS[journal.step](site, journal)
        except PveopsError as error:
            if isinstance(error, OutcomeUnknownError):
                # What was lost on the way may still arrive.
                site.clock.sleep(_LATE_S)
            _undo(site, _write(site, journal, step="undoing", reason=error.message))
            raise
    return _retire(site, journal) if journal.step == "retiring" else _undo(site, journal)


def _write(site: Site, journal: Journal, **changes: str) -> Journal:
    return site.files.write_journal(journal._replace(**changes))  # type: ignore[arg-type]


def _make(site: Site, journal: Journal) -> Journal:
    """A secret whose answer was lost is lost; then the token that it belongs to goes, too."""
    if site.files.find_staged(journal.new) is not None:
        return _write(site, journal, step="made")
    user, _, name = journal.old.partition("!")
    tokens = site.calls.list_tokens(user)
    if journal.new.partition("!")[2] in tokens:
        return _write(site, journal, step="undoing", reason="the secret of the new token is lost")
    old = tokens.get(name)
    if old is None:
        raise NotFoundError(
            f"PVE has no token {journal.old} any more",
            hint="make one in PVE, then `pve secrets add`",
        )
    comment = name_successor(journal.old, old.comment, frozenset(), journal.mark).comment
    secret = site.calls.create(
        journal.new, comment=comment, expire=journal.expires, has_privsep=old.has_privsep
    )
    site.files.stage(journal.new, secret, site.clock.now(), journal.expires)
    return _write(site, journal, step="made")


def _prove(site: Site, journal: Journal) -> Journal:
    staged = site.files.find_staged(journal.new)
    if staged is None:
        raise ConflictError("the new token lies here no more, or cannot be opened")
    site.calls.copy_entries(journal.old, journal.new)
    _try_out(site, journal, staged)
    return _write(site, journal, step="proved")


def _try_out(site: Site, journal: Journal, token: StoredToken) -> None:
    """Use the token, and compare what it may with what the old one may."""
    client = site.open_client(token)
    for attempt in range(_TRIES):
        try:
            found = client.get("/access/permissions")
            break
        except AuthenticationError:
            if attempt == _TRIES - 1:
                raise
            site.clock.sleep(_PAUSE_S)
    user, _, name = journal.old.partition("!")
    if name not in site.calls.list_tokens(user):
        # Rotated or deleted elsewhere: to go back would leave nothing that works.
        if not found:
            raise ConflictError(
                f"{journal.old} was deleted elsewhere; {journal.new} has no rights"
            )
        return
    if found != site.calls.permissions(journal.old):
        raise ConflictError(
            f"{journal.new} may not do the same as {journal.old}",
            hint="did somebody change the access control entries meanwhile? try again",
        )


def _adopt(site: Site, journal: Journal) -> Journal:
    in_place = site.files.load().token_id
    if in_place == journal.old:
        site.files.adopt()
    elif in_place != journal.new:
        raise ConflictError(f"somebody stored another token meanwhile: {in_place}")
    return _write(site, journal, step="adopted")


def _confirm(site: Site, journal: Journal) -> Journal:
    """From the disk, as the next command will find it."""
    token = site.files.load()
    if token.token_id != journal.new:
        raise ConflictError(f"somebody stored another token meanwhile: {token.token_id}")
    _try_out(site, journal, token)
    return _write(site, journal, step="retiring")


def _retire(site: Site, journal: Journal) -> Rotated:
    try:
        site.calls.delete(journal.old)
    except PveopsError as error:
        raise PendingError(
            f"{journal.new} is in force, but {journal.old} is not deleted yet: {error.message}",
            hint=_RESUME,
        ) from error
    site.files.drop_old()
    site.files.drop_staged()
    site.files.end_journal()
    return Rotated(True, journal.old, journal.new, journal.expires)


def _undo(site: Site, journal: Journal) -> Rotated:
    """The old token first, so that there is one that works whatever comes next."""
    if site.files.load().token_id == journal.new:
        site.files.bring_back()
    try:
        site.calls.delete(journal.new, mark=journal.mark)
    except PveopsError as error:
        raise PendingError(
            f"{journal.reason}; {journal.old} stays in force, but {journal.new} may be left in "
            f"PVE: {error.message}",
            hint=_RESUME,
        ) from error
    site.files.drop_staged()
    site.files.end_journal()
    return Rotated(False, journal.old, journal.new, 0, journal.reason)


_STEPS: dict[str, Callable[[Site, Journal], Journal]] = {
    "making": _make,
    "made": _prove,
    "proved": _adopt,
    "adopted": _confirm,
}
