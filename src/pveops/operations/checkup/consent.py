"""Which level of consent is in force, why, and what it does not stop."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from pveops.domain.access import Permissions
from pveops.operations.access_check import check_operation
from pveops.operations.checkup.check import Check
from pveops.operations.grade import Grade, grade_of, is_reading, operations_up_to


class Broker(NamedTuple):
    """The broker that the profile names. problem: why it does not answer; empty: it does."""

    socket: str
    problem: str
    is_other_account: bool


class ConsentFact(NamedTuple):
    """What decides the level."""

    has_channel: bool
    """A message with a code reaches a person, as far as can be seen."""
    has_receipts: bool
    """An agent's own prompt can sign approvals."""
    has_signers: bool
    """Signatures made on another machine count."""
    least: tuple[str, str]
    """The weakest level that the policy lets suffice, for tier 2 and tier 3."""
    asks_at_terminal: bool
    """A person at a terminal may agree in place to what is disruptive."""
    asks_at_terminal_tier3: bool
    """And to what cannot be undone, where there is no channel."""
    permissions: Permissions | None
    """None: not known, so the worst is taken for true."""
    release: str = ""
    is_policy_writable: bool = True
    broker: Broker | None = None
    channel_flaw: str = ""
    """What keeps the configured way from reaching anybody; empty: nothing that can be seen."""


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
            return (_G0,) if fact.broker is None else (_level_of_broker(fact.broker),)
        if not _can_destroy(fact.permissions, fact.release):
            return (_G4, _level_of(fact, is_final=False))
    final, other = _level_of(fact, is_final=True), _level_of(fact, is_final=False)
    return (final,) if final.number == other.number else (final, other)


def check_consent(fact: ConsentFact) -> Iterator[Check]:
    """A line a level. That of a terminal is no boundary, and none at all is a dead end."""
    if fact.channel_flaw:
        message = f"no message reaches a person: {fact.channel_flaw}"
        yield Check("bad", "consent.sender", message, _MEND_THE_WAY)
    for level in find_levels(fact):
        leaves = f"; does not stop {level.leaves}" if level.leaves else ""
        message = f"{level.number or 'no level'} for {level.what}: {level.why}{leaves}"
        is_weak = level.number == "" or (level.number == "G1" and not fact.has_channel)
        if is_weak:
            yield Check("warn", "consent.level", message, _NAME_A_WAY)
        else:
            yield Check("ok", "consent.level", message)
    if fact.broker is not None:
        yield from _check_broker(fact, fact.broker)
    elif not (fact.has_channel or fact.channel_flaw or fact.has_receipts or fact.has_signers):
        message = "no way is configured that takes a consent code to a person (level G2)"
        yield Check("warn", "consent.sender", message, _NAME_A_WAY)


_MEND_THE_WAY = "correct `consent` of the profile, or the file's mode; `pve plan code` tries it"
_NAME_A_WAY = "name a way in `consent` of the profile (level G2)"


def _check_broker(fact: ConsentFact, broker: Broker) -> Iterator[Check]:
    if broker.problem:
        message = f"the broker does not answer: {broker.problem}"
        yield Check("bad", "consent.broker", message, "systemctl status pve-broker")
    elif not broker.is_other_account:
        message = "the broker runs under this very account, so it is no boundary"
        yield Check("warn", "consent.broker", message, "let it run under an account of its own")
    elif fact.permissions is not None and _can_change(fact.permissions):
        message = "the token here may change things itself, past the broker"
        fix = "pve access grant-script --tier read   # what an agent beside a broker needs"
        yield Check("warn", "consent.broker", message, fix)
    else:
        yield Check("ok", "consent.broker", f"the broker answers at {broker.socket}")


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


def _level_of_broker(broker: Broker) -> Level:
    what = "every change"
    if broker.problem:
        return Level("", what, "the token can only read, and the broker does not answer", "")
    if not broker.is_other_account:
        why = "the broker decides, under this same account"
        return Level("G2", what, why, _OWN_ACCOUNT)
    why = "a broker under another account holds the token that changes, the policy and the plans"
    return Level("G3", what, why, "root on this machine")


def _level_of(fact: ConsentFact, *, is_final: bool) -> Level:
    what = "what cannot be undone" if is_final else "other changes"
    least = fact.least[is_final]
    leaves = _OWN_ACCOUNT
    if fact.is_policy_writable:
        leaves += ", and it can edit the policy"
    if least == "G4":
        why = "it takes a signature made on another machine"
        return Level("G4", what, why, leaves)
    by_terminal = fact.asks_at_terminal
    if is_final:
        # With a channel, no word typed at a terminal is enough: engine/gate.py.
        by_terminal = fact.asks_at_terminal_tier3 and not fact.has_channel
    if by_terminal:
        why = "a person at a terminal agrees in place, which stops slips"
        return Level("G1", what, why, f"an agent that drives a terminal, and {leaves}")
    if fact.has_channel:
        why = "a code goes to a person, which stops an agent that is mistaken or steered"
        return Level("G2", what, why, leaves)
    if fact.has_receipts:
        why = "the agent's own prompt asks a person, which stops one that is mistaken or steered"
        return Level("G2", what, why, leaves)
    if fact.has_signers:
        return Level("G4", what, "a signature made on another machine is the only way", leaves)
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
