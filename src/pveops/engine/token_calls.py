"""The three changes that a token's rotation makes in PVE, each recorded before it is sent.

They are not the executor's, since the answer to the first is a secret: it goes from here to the
sealed file, and neither plan nor journal nor audit log ever holds it. They are made with the login
of a person, which nothing on this machine keeps.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, NamedTuple

from pveops.api.client import Client
from pveops.domain.token import (
    AccessEntry,
    TokenFacts,
    read_token_entries,
    read_tokens,
    token_path,
)
from pveops.engine.audit import AuditLog
from pveops.errors import (
    ConflictError,
    FrozenError,
    NotFoundError,
    OutcomeUnknownError,
    ProtocolError,
    PveopsError,
)

_TRIES = 3
_PAUSE_S = 2.0


class TokenCalls:
    """A person's login, as far as a rotation needs it.

    facts: what each record of the audit log says beside the call.
    """

    def __init__(
        self,
        client: Client,
        audit: AuditLog,
        is_frozen: Callable[[], bool],
        facts: Mapping[str, Any],
    ) -> None:
        self._client = client
        self._audit = audit
        self._is_frozen = is_frozen
        self._facts = dict(facts)

    def list_tokens(self, user: str) -> dict[str, TokenFacts]:
        """The user's tokens by name."""
        return {token.name: token for token in read_tokens(self._client, user)}

    def permissions(self, token_id: str) -> object:
        """What a token may do: path -> privilege -> whether it propagates."""
        return self._client.get("/access/permissions", {"userid": token_id})

    def server_time(self) -> float:
        """Seconds since the epoch, by the cluster."""
        return self._client.server_time()

    def create(self, token_id: str, *, comment: str, expire: int, has_privsep: bool) -> str:
        """Make a token and give its secret. Raises OutcomeUnknownError when the answer is lost."""
        data = self._send(
            "POST",
            token_path(token_id),
            {"comment": comment, "expire": expire, "privsep": int(has_privsep)},
            token_id,
        )
        secret = data.get("value") if isinstance(data, dict) else None
        if not isinstance(secret, str) or not secret:
            raise ProtocolError("the new token was answered without its secret")
        return secret

    def copy_entries(self, old: str, new: str) -> None:
        """Give the new token each access control entry of the old one; safe to repeat."""
        for entry in read_token_entries(self._client, old):
            self._insist(partial(self._grant, new, entry))

    def _grant(self, token_id: str, entry: AccessEntry) -> None:
        wanted = {"path": entry.path, "roles": entry.role, "propagate": int(entry.propagates)}
        self._send("PUT", "/access/acl", {**wanted, "tokens": token_id}, token_id)

    def delete(self, token_id: str, *, mark: str = "") -> None:
        """See to it that there is no such token; with a mark, only if its comment carries it.

        PVE drops the token's access control entries with it.
        """
        user, _, name = token_id.partition("!")

        def remove() -> None:
            found = self.list_tokens(user).get(name)
            if found is None or (mark and mark not in found.comment):
                return
            try:
                self._send("DELETE", token_path(token_id), {}, token_id)
            except NotFoundError:
                return

        self._insist(remove)

    def _insist(self, act: Callable[[], None]) -> None:
        """Do what is safe to repeat until its answer is known."""
        for _ in range(_TRIES - 1):
            try:
                act()
            except OutcomeUnknownError:
                self._client.clock.sleep(_PAUSE_S)
            else:
                return
        act()

    def _send(self, method: str, path: str, params: dict[str, Any], token_id: str) -> object:
        if self._is_frozen():
            raise FrozenError("all changes are frozen")
        facts = {**self._facts, "target": {"kind": "token", "id": token_id}}
        facts["call"] = f"{method} {path}"
        self._audit.append("intent", {**facts, "params": params})
        try:
            data = self._client.write(method, path, params)
        except PveopsError as error:
            is_unknown = isinstance(error, OutcomeUnknownError)
            outcome = {"outcome": "unknown" if is_unknown else "failed", "error": error.code}
            self._audit.append("outcome", {**facts, **outcome, "message": error.message})
            raise
        self._audit.append("outcome", {**facts, "outcome": "done"})
        return data


class NewToken(NamedTuple):
    """What a new token is called and carries."""

    token_id: str
    comment: str


def name_successor(old: str, comment: str, taken: frozenset[str], mark: str) -> NewToken:
    """A name that is free, made of the old one; the comment with the rotation's mark.

    `ops` is followed by `ops-b`, that by `ops` again, as long as nobody took the name.
    Raises ConflictError when none is left.
    """
    user, _, name = old.partition("!")
    stem, _, letter = name.rpartition("-")
    base = stem if stem and len(letter) == 1 and "b" <= letter <= "z" else name
    free = next((each for each in _names(base) if each not in taken), None)
    if free is None:
        raise ConflictError(
            f"every name from {base} to {base}-z is taken",
            hint=f"in PVE, delete those tokens of {user} that nobody uses",
        )
    kept = comment.partition(" (rotation ")[0]
    return NewToken(f"{user}!{free}", f"{kept} (rotation {mark})".strip())


def _names(base: str) -> list[str]:
    return [base, *(f"{base}-{chr(code)}" for code in range(ord("b"), ord("z") + 1))]
