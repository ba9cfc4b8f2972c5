"""`broker.yaml` in the broker's own folder: who may ask it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, NamedTuple

import msgspec

from pveops.broker.peer import account_uid
from pveops.config.documents import parse_document, read_document
from pveops.errors import ConfigError

FILE = "broker.yaml"
_HINT = "it looks like: clients: [hermes]"
Account = (
    Annotated[str, msgspec.Meta(min_length=1, max_length=64)] | Annotated[int, msgspec.Meta(ge=0)]
)


class _Document(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    clients: Annotated[tuple[Account, ...], msgspec.Meta(min_length=1)]
    max_at_once: Annotated[int, msgspec.Meta(ge=1, le=64)] = 16


class Settings(NamedTuple):
    """clients: the uids of the accounts that may ask, beside root. max_at_once: requests."""

    clients: frozenset[int]
    max_at_once: int


def load_settings(folder: Path) -> Settings:
    """Raises ConfigError, with the line of the mistake."""
    path = folder / FILE
    content = read_document(path, "the broker's settings")
    if content is None:
        raise ConfigError(f"{path} is not there: nobody may ask the broker", hint=_HINT)
    document = parse_document(content, _Document, f"the broker's settings {path}")
    uids = {str(word): account_uid(str(word)) for word in document.clients}
    unknown = [word for word, uid in uids.items() if uid is None]
    if unknown:
        raise ConfigError(f"{path}: there is no account {', '.join(unknown)}", hint=_HINT)
    return Settings(
        frozenset(uid for uid in uids.values() if uid is not None), document.max_at_once
    )
