"""Second factors: TOTP codes (RFC 6238) and recovery keys."""

from __future__ import annotations

import base64
import hashlib
import hmac
import struct
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs, urlsplit

from pveops.sim.refusal import die

_STEP_S = 30
_DRIFT = 1
MAX_TOTP_FAILURES = 8
"""After so many wrong codes TOTP is shut for the user (proxmox-tfa)."""


@dataclass(slots=True)
class Factor:
    """One factor of a user: type `totp` or `recovery`."""

    id: str
    type: str
    description: str
    created: int
    is_enabled: bool = True
    secret: bytes = b""
    keys: list[str | None] = field(default_factory=list)
    """Recovery keys; a used one is None."""
    last_step: int = 0

    def shown(self) -> dict[str, Any]:
        """As the API lists it."""
        row: dict[str, Any] = {
            "id": self.id,
            "type": self.type,
            "description": self.description,
            "created": self.created,
        }
        if not self.is_enabled:
            row["enable"] = 0
        return row


@dataclass(slots=True)
class UserFactors:
    """The factors of one user."""

    entries: dict[str, Factor] = field(default_factory=dict)
    totp_failures: int = 0

    @property
    def is_totp_locked(self) -> bool:
        """Too many wrong codes."""
        return self.totp_failures >= MAX_TOTP_FAILURES

    def active(self, kind: str) -> list[Factor]:
        """The enabled factors of a type."""
        return [f for f in self.entries.values() if f.type == kind and f.is_enabled]

    def challenge(self) -> dict[str, Any]:
        """What may be answered with; empty: no second factor is asked for."""
        offered: dict[str, Any] = {}
        if self.active("totp"):
            offered["totp"] = True
        keys = [n for f in self.active("recovery") for n, key in enumerate(f.keys) if key]
        if keys:
            offered["recovery"] = keys
        return offered


@dataclass(slots=True)
class SecondFactors:
    """All users' factors."""

    by_user: dict[str, UserFactors] = field(default_factory=dict)

    def of(self, userid: str) -> UserFactors:
        """The factors of a user; none is a state, too."""
        return self.by_user.get(userid, UserFactors())

    def add(self, userid: str, factor: Factor) -> None:
        """Keep a factor."""
        self.by_user.setdefault(userid, UserFactors()).entries[factor.id] = factor

    def drop_user(self, userid: str) -> None:
        """Forget everything of a user."""
        self.by_user.pop(userid, None)

    def answer(self, userid: str, response: str, now: float) -> bool:
        """Whether `totp:CODE` or `recovery:KEY` is right; counts wrong codes."""
        factors = self.of(userid)
        kind, _, value = response.partition(":")
        if kind == "totp" and not factors.is_totp_locked:
            if any(check_totp(factor, value, now) for factor in factors.active("totp")):
                factors.totp_failures = 0
                return True
            factors.totp_failures += 1
            return False
        if kind == "recovery":
            for factor in factors.active("recovery"):
                if value in factor.keys:
                    factor.keys[factor.keys.index(value)] = None
                    factors.totp_failures = 0
                    return True
        return False


def check_totp(factor: Factor, code: str, now: float) -> bool:
    """Whether `code` fits now, or one step before or after; each step is good once."""
    current = int(now) // _STEP_S
    for step in range(current - _DRIFT, current + _DRIFT + 1):
        is_new = step > factor.last_step
        if is_new and hmac.compare_digest(totp_code(factor.secret, step), code):
            factor.last_step = step
            return True
    return False


def totp_code(secret: bytes, step: int) -> str:
    """The six digits of a time step (RFC 4226 truncation)."""
    digest = hmac.new(secret, struct.pack(">Q", step), hashlib.sha1).digest()
    offset = digest[-1] & 0x0F
    number = struct.unpack(">I", digest[offset : offset + 4])[0] & 0x7FFFFFFF
    return f"{number % 1_000_000:06d}"


def secret_of(uri: str) -> bytes:
    """The secret in an `otpauth://` URI."""
    values = parse_qs(urlsplit(uri).query).get("secret")
    if not uri.startswith("otpauth://") or not values:
        raise die("failed to parse TOTP URI")
    text = values[0].upper()
    return base64.b32decode(text + "=" * (-len(text) % 8))
