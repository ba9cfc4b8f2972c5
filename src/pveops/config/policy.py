"""The policy: how much consent a change needs, by who asks, what, and of whom.

A missing file is the default policy of this module. A person at a terminal is asked in place;
an agent plans and a person consents; what may be lost for good always takes a person.
"""

from __future__ import annotations

import hashlib
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Literal

import msgspec

from pveops.config.documents import load_document
from pveops.errors import ConfigError

Action = Literal["at_once", "consent", "deny"]

_TIERS = ("tier1", "tier2", "tier3")


class TierActions(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What one kind of caller may do, by tier. Reading is always allowed."""

    tier1: Action = "at_once"
    tier2: Action = "consent"
    tier3: Action = "consent"

    def action(self, tier: int) -> Action:
        """The action for a tier from 1 to 3."""
        action: Action = getattr(self, _TIERS[tier - 1])
        return action


class Actors(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """By who asks. `unattended` is held one tier higher, so its tier 2 is everybody's tier 1."""

    person: TierActions = TierActions()
    agent: TierActions = TierActions()
    unattended: TierActions = TierActions(tier3="deny")


class Protected(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Guests that are held one tier higher."""

    tags: tuple[str, ...] = ("prod", "production")
    pools: tuple[str, ...] = ()
    vmids: tuple[int, ...] = ()
    names: tuple[str, ...] = ()
    """Patterns with `*` and `?`."""

    def why(self, vmid: str, name: str, tags: tuple[str, ...], pool: str) -> str:
        """Which rule protects the guest; empty: none."""
        for tag in tags:
            if tag in self.tags:
                return f"the tag {tag!r} is protected"
        if pool and pool in self.pools:
            return f"the pool {pool!r} is protected"
        if vmid in {str(number) for number in self.vmids}:
            return f"the vmid {vmid} is protected"
        for pattern in self.names:
            if fnmatchcase(name, pattern):
                return f"the name pattern {pattern!r} is protected"
        return ""


class ConsentRules(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How consent is given."""

    ttl_s: int = 600
    """How long a code is valid."""
    tries: int = 3
    terminal: bool = True
    """Whether a person at a terminal may agree in place (level G1)."""
    terminal_tier3: bool = True
    """Whether that holds for what cannot be undone, too."""

    def __post_init__(self) -> None:
        if not 30 <= self.ttl_s <= 86_400:
            raise ValueError("ttl_s is a number of seconds from 30 to 86400")
        if not 1 <= self.tries <= 10:
            raise ValueError("tries is a number from 1 to 10")


class Policy(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The whole policy."""

    actors: Actors = Actors()
    operations: dict[str, Action] = {}
    """By operation id, for every caller; can only make things stricter than the tier does."""
    protected: Protected = Protected()
    max_targets: int = 5
    """More targets than this are held one tier higher."""
    max_changes_per_hour: int = 60
    """For callers that are no person; at-once changes only."""
    plan_ttl_s: int = 3600
    plan_ttl_tier3_s: int = 900
    consent: ConsentRules = ConsentRules()

    def __post_init__(self) -> None:
        if self.max_targets < 1:
            raise ValueError("max_targets is at least 1")
        if self.max_changes_per_hour < 0:
            raise ValueError("max_changes_per_hour is at least 0")
        if not (60 <= self.plan_ttl_s <= 86_400 and 60 <= self.plan_ttl_tier3_s <= 86_400):
            raise ValueError("plan_ttl_s and plan_ttl_tier3_s are seconds from 60 to 86400")

    @property
    def digest(self) -> str:
        """A short hash, for records."""
        return hashlib.sha256(msgspec.json.encode(self, order="sorted")).hexdigest()[:12]


def load_policy(path: Path, known_operations: frozenset[str]) -> Policy:
    """The policy in force. Raises ConfigError with the line of the mistake.

    A policy that cannot be read never falls back to the default one.
    """
    policy = load_document(path, Policy, "the policy")
    if policy is None:
        return Policy()
    unknown = sorted(set(policy.operations) - known_operations)
    if unknown:
        raise ConfigError(
            f"the policy {path} names operations that do not exist: {', '.join(unknown)}",
            hint="see docs/reference/commands.md for the ids",
        )
    return policy
