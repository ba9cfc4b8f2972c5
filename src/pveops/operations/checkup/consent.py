"""Which level of consent is in force, why, and what it does not stop."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from pveops.domain.access import Permissions
from pveops.operations.access_check import check_operation
from pveops.operations.checkup.check import Check
from pveops.operations.grade import Grade, grade_of, is_reading, operations_up_to


class ConsentFact(NamedTuple):
    """What decides the level."""

    has_sender: bool
    """A command takes codes to a person."""
    asks_at_terminal: bool
    """A person at a terminal may agree in place to what is disruptive."""
    asks_at_terminal_tier3: bool
    """And to what cannot be undone, where there is no sender."""
    permissions: Permissions | None
    """None: not known, so the worst is taken for true."""
    release: str = ""
    is_policy_writable: bool = True


class Level(NamedTuple):
    """A level of consent in force. number: `G0` to `G4`, or empty for none."""

    number: str
    what: str
    why: str
    leaves: str
    """What it does not stop."""


_OWN_ACCOUNT = (
    "an agent that attacks its own account: it can read the token and call PVE by itself"
)


def find_levels(fact: ConsentFact) -> tuple[Level, ...]:
    """The level for what cannot be undone, and that for all other changes if it is another."""
    if fact.permissions is not None and not fact.permissions.is_empty:
        if not _can_change(fact.permissions):
            return (_G0,)
        if not _can_destroy(fact.permissions, fact.release):
            return (_G4, _level_of(fact, is_final=False))
    final, other = _level_of(fact, is_final=True), _level_of(fact, is_final=False)
    return (final,) if final.number == other.number else (final, other)


def check_consent(fact: ConsentFact) -> Iterator[Check]:
    """A line a level. That of a terminal is no boundary, and none at all is a dead end."""
    for level in find_levels(fact):
        leaves = f"; does not stop {level.leaves}" if level.leaves else ""
        named = level.number or "no level"
        message = f"{named} for {level.what}: {level.why}{leaves}"
        if level.number == "G1" and not fact.has_sender:
            fix = "set consent.sender of the profile (level G2)"
            yield Check("warn", "consent.level", message, fix)
        elif level.number:
            yield Check("ok", "consent.level", message)
        else:
            yield Check("warn", "consent.level", message, "set consent.sender of the profile")
    if not fact.has_sender:
        yield Check(
            "warn",
            "consent.sender",
            "no command is configured that takes a consent code to a person (level G2)",
            "set consent.sender of the profile",
        )


_G0 = Level(
    "G0",
    "every change",
    "the token can only read, and PVE enforces it",
    "whoever finds another token",
)
_G4 = Level(
    "G4",
    "what cannot be undone",
    "the token lacks the privileges for it, until a person grants them",
    "whoever has another token",
)


def _level_of(fact: ConsentFact, *, is_final: bool) -> Level:
    what = "what cannot be undone" if is_final else "other changes"
    by_terminal = fact.asks_at_terminal
    if is_final:
        # With a sender, no word typed at a terminal is enough: engine/gate.py.
        by_terminal = fact.asks_at_terminal_tier3 and not fact.has_sender
    if by_terminal:
        why = "a person at a terminal agrees in place, which stops slips"
        return Level("G1", what, why, f"an agent that drives a terminal, and {_OWN_ACCOUNT}")
    if fact.has_sender:
        why = "a code goes to a person, which stops an agent that is mistaken or steered"
        leaves = _OWN_ACCOUNT
        if fact.is_policy_writable:
            leaves += ", and it can edit the policy"
        return Level("G2", what, why, leaves)
    return Level("", what, "no way to agree is configured, so it cannot be done", "")


def _can_change(permissions: Permissions) -> bool:
    return any(not is_reading(name) for held in permissions.by_path.values() for name in held)


def _can_destroy(permissions: Permissions, release: str) -> bool:
    """Whether any irreversible operation is within the token's privileges, anywhere."""
    return any(
        not check_operation(row, release, permissions, {}).is_refused
        for row in operations_up_to(Grade.DANGER)
        if grade_of(row) is Grade.DANGER
    )
