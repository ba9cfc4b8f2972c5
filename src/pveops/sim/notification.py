"""Notification targets and matchers: notifications.cfg as the Rust library keeps it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from pveops.sim.refusal import ApiError

ENDPOINTS = ("gotify", "sendmail", "smtp", "webhook")
PROTECTED = {"gotify": ("token",), "smtp": ("password",), "webhook": (), "sendmail": ()}
"""Kept in a file of their own and never shown."""


@dataclass(slots=True)
class Entry:
    """An endpoint or a matcher."""

    kind: str
    """One of `ENDPOINTS`, or `matcher`."""
    name: str
    values: dict[str, Any] = field(default_factory=dict)
    origin: str = "user-created"
    """Or builtin, modified-builtin."""

    def shown(self) -> dict[str, Any]:
        """What GET shows."""
        hidden = PROTECTED.get(self.kind, ())
        values = {k: v for k, v in self.values.items() if k not in hidden and v != []}
        return {"name": self.name, **values, "origin": self.origin}


def _builtin() -> dict[str, Entry]:
    target = Entry(
        "sendmail",
        "mail-to-root",
        {"mailto-user": ["root@pam"], "comment": "Send mails to root@pam's email address"},
        "builtin",
    )
    matcher = Entry(
        "matcher",
        "default-matcher",
        {
            "mode": "all",
            "target": ["mail-to-root"],
            "comment": "Route all notifications to mail-to-root",
        },
        "builtin",
    )
    return {entry.name: entry for entry in (target, matcher)}


@dataclass(slots=True)
class Notifications:
    """All entries by name; endpoints and matchers share one name space."""

    entries: dict[str, Entry] = field(default_factory=_builtin)

    @property
    def digest(self) -> str:
        """Of the whole file."""
        text = json.dumps([entry.shown() for entry in self.entries.values()], sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()

    def of_kind(self, *kinds: str) -> list[Entry]:
        """Entries of some kinds, by kind as the library lists them."""
        return [e for kind in kinds for e in self.entries.values() if e.kind == kind]

    def get(self, kind: str, name: str) -> Entry:
        """One entry, or the library's 404."""
        entry = self.entries.get(name)
        if entry is None or entry.kind != kind:
            noun = "matcher" if kind == "matcher" else "endpoint"
            raise ApiError(404, f"{noun} '{name}' not found")
        return entry

    def create(self, kind: str, name: str, values: dict[str, Any]) -> None:
        """Add an entry."""
        if name in self.entries:
            text = f"Cannot create '{name}', an entity with the same name already exists"
            raise ApiError(400, text)
        self._check_targets(values.get("target") or ())
        self.entries[name] = Entry(kind, name, values)

    def _check_targets(self, names: Iterable[str]) -> None:
        for name in names:
            entry = self.entries.get(name)
            if entry is None or entry.kind not in ENDPOINTS:
                raise ApiError(404, f"endpoint '{name}' does not exist")

    def update(
        self, kind: str, name: str, values: dict[str, Any], delete: list[str], digest: str | None
    ) -> None:
        """Change an entry; a built-in one counts as modified from then on."""
        if digest and digest != self.digest:
            text = "detected modified configuration - file changed by other user? Try again."
            raise ApiError(400, text)
        entry = self.get(kind, name)
        self._check_targets(values.get("target") or ())
        for key in delete:
            entry.values.pop(key, None)
        entry.values.update(values)
        if entry.origin == "builtin":
            entry.origin = "modified-builtin"

    def delete(self, kind: str, name: str) -> None:
        """Drop an entry that no matcher needs; a built-in one goes back to what it was."""
        entry = self.entries.get(name)
        if entry is None:
            raise ApiError(404, f"entity '{name}' does not exist")
        if entry.origin != "user-created":
            self.entries[name] = _builtin()[name]
            return
        users = [e.name for e in self.of_kind("matcher") if name in (e.values.get("target") or ())]
        if users and kind != "matcher":
            text = f"cannot delete '{name}', referenced by: {', '.join(users)}"
            raise ApiError(400, text)
        self.get(kind, name)
        del self.entries[name]
