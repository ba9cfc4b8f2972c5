"""What a token's rotation keeps on this machine: its journal, and the new token until it serves.

Beside the token's file NAME lie `NAME.next` (the new token, sealed like any other), `NAME.prev`
(the old one) and `NAME.rotation` (the journal, without a secret).
"""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal, NamedTuple

from pveops.config.paths import Paths, make_private_dir, move_private_file, write_private_file
from pveops.config.private_files import read_private_file
from pveops.config.profiles import Profile
from pveops.config.secrets import StoredToken, load_token, save_token
from pveops.errors import BusyError, ConfigError, SecretError

_FORMAT = 1
_ANY_TIME = 0.0
"""Nothing has expired yet: a token that has is what one wants to rotate."""
Step = Literal["making", "made", "proved", "adopted", "retiring", "undoing"]
_STEPS = ("making", "made", "proved", "adopted", "retiring", "undoing")


class Journal(NamedTuple):
    """How far a rotation is. Each step is written before what it names is begun."""

    step: Step
    """making: the new token may exist in PVE. made: it lies in `.next`. proved: it works, and
    takes the old one's place. adopted: it lies in the token's file. retiring: the old one is
    deleted. undoing: the new one is deleted."""
    mark: str
    """Stands in the new token's comment, so that nobody else's token is ever deleted."""
    old: str
    new: str
    """Token ids, `user@realm!name`."""
    expires: int
    reason: str = ""
    """Why it is undone."""
    format: int = _FORMAT


class RotationFiles:
    """The files of one token's rotation."""

    def __init__(self, paths: Paths, profile_name: str, profile: Profile) -> None:
        self._paths = paths
        self._name = profile_name
        self._profile = profile
        self._staged = profile._replace(token_file=f"{profile.token_file}.next")
        self._token = paths.secrets_dir / profile.token_file
        self._next = paths.secrets_dir / self._staged.token_file
        self._prev = self._token.with_name(f"{self._token.name}.prev")
        self._journal = self._token.with_name(f"{self._token.name}.rotation")

    @contextmanager
    def hold(self) -> Iterator[None]:
        """Alone on this machine; the system lets go when the process ends, however it does.

        Raises BusyError.
        """
        make_private_dir(self._paths.secrets_dir)
        flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
        descriptor = os.open(self._paths.secrets_dir / ".rotation.lock", flags, 0o600)
        try:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raise BusyError("another rotation is under way on this machine") from error
            yield
        finally:
            os.close(descriptor)

    def read_journal(self) -> Journal | None:
        """The journal of a rotation that was not ended. Raises SecretError, ConfigError."""
        if not self._journal.exists():
            return None
        remedy = (
            f"look at the user's tokens in PVE, delete what nobody needs, then {self._journal}"
        )
        content = read_private_file(self._journal, "the journal of the rotation", remedy)
        try:
            journal = Journal(**json.loads(content))
            is_known = journal.format == _FORMAT and journal.step in _STEPS
        except (ValueError, TypeError):
            is_known = False
        if not is_known:
            raise ConfigError(f"the journal {self._journal} cannot be read", hint=remedy)
        return journal

    def write_journal(self, journal: Journal) -> Journal:
        """On disk when this returns."""
        write_private_file(self._journal, json.dumps(journal._asdict()).encode())
        return journal

    def end_journal(self) -> None:
        """The rotation is over."""
        self._journal.unlink(missing_ok=True)

    def load(self) -> StoredToken:
        """The token in force, expired or not. Raises SecretError."""
        return load_token(self._paths, self._name, self._profile, _ANY_TIME)

    def stage(self, token_id: str, secret: str, now: float, expires: int) -> None:
        """Keep a new token beside the old one."""
        self.drop_staged()
        save_token(
            self._paths, self._name, self._staged, token_id, secret, now=now, expires=expires
        )

    def find_staged(self, token_id: str) -> StoredToken | None:
        """The new token, if it lies here whole."""
        try:
            token = load_token(self._paths, self._name, self._staged, _ANY_TIME)
        except SecretError:
            return None
        return token if token.token_id == token_id else None

    def drop_staged(self) -> None:
        """Forget the new token."""
        self._next.unlink(missing_ok=True)

    def adopt(self) -> None:
        """Put the new token in the old one's place; the old one stays as `.prev`."""
        before = read_private_file(self._token, "the token", "look at the folder")
        write_private_file(self._prev, before)
        move_private_file(self._next, self._token)

    def bring_back(self) -> None:
        """Put the old token in its place again."""
        move_private_file(self._prev, self._token)

    def drop_old(self) -> None:
        """Forget the old token, which PVE takes no more."""
        self._prev.unlink(missing_ok=True)
