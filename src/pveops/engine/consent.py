"""Consent by code (level G2): made for one plan, sent to a person, spent once.

The code goes out through the sender that the profile names, a command that gets the message on
its standard input. Only a salted scrypt hash of it is stored. It may be carried back by anybody,
the agent included: it fits no other plan.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from typing import TYPE_CHECKING

from pveops.engine.senders import Sender
from pveops.engine.store import ConsentRow, PlanRow, Store
from pveops.errors import ConsentInvalidError
from pveops.redact import register_secret
from pveops.units import HOUR_S, format_duration

if TYPE_CHECKING:
    from pveops.config.policy import ConsentRules

_ALPHABET = "23456789ABCDEFGHJKMNPQRSTVWXYZ"
"""No 0/O, 1/I/L, U: a code is read aloud and typed."""
_CODE_LENGTH = 8
_MAX_SENT = 3
_COST = 2**14
"""Of scrypt, which then takes 16 MiB and tens of milliseconds for each guess."""


def send_code(
    store: Store,
    plan: PlanRow,
    card: str,
    sender: Sender,
    *,
    now: float,
    rules: ConsentRules,
) -> None:
    """Make a code for `plan`, keep its hash, and send it with the card.

    The hash is stored before the message goes out, so that a code that arrived always works.
    Raises ConfigError when the sender fails, ConsentInvalidError after too many codes: for this
    plan, or for all of them within an hour.
    """
    before = store.find_consent(plan.id)
    sent = before.sent if before else 0
    if before and before.spent_at is not None:
        raise ConsentInvalidError(f"consent to {plan.id} was given and spent already")
    if sent >= _MAX_SENT:
        raise ConsentInvalidError(
            f"{sent} codes were sent for {plan.id}; no more will be",
            hint="ask for the operation again to get a fresh plan",
        )
    code = "".join(secrets.choice(_ALPHABET) for _ in range(_CODE_LENGTH))
    register_secret(code)
    salt = secrets.token_bytes(16)
    is_kept = store.put_consent(
        ConsentRow(
            plan=plan.id,
            plan_hash=plan.hash,
            salt=salt,
            code_hash=_hash(code, salt, plan.hash),
            created=int(now),
            expires=min(int(now) + rules.ttl_s, plan.expires),
            tries_left=rules.tries,
            sent=sent + 1,
            spent_at=None,
        ),
        since=now - HOUR_S,
        most=rules.max_messages_per_hour,
    )
    if not is_kept:
        raise ConsentInvalidError(
            f"{rules.max_messages_per_hour} codes were sent within the last hour, and no more "
            "will be (`consent.max_messages_per_hour`)",
            hint=f"wait, then `pve plan code {plan.id}`; `pve plan list` shows what waits",
        )
    left = format_duration(max(0, min(int(now) + rules.ttl_s, plan.expires) - int(now)))
    sender(f"{card}\n\ncode: {code[:4]}-{code[4:]}   (for this plan only, {left})\n")


def check_code(store: Store, plan: PlanRow, code: str, *, now: float) -> None:
    """Whether `code` is the one for `plan`; a try is counted before it is looked at.

    It is spent when the plan is claimed. Raises ConsentInvalidError.
    """
    row = store.find_consent(plan.id)
    fresh = f"pve plan code {plan.id}"
    if row is None:
        raise ConsentInvalidError(
            f"no code was sent for {plan.id}", hint=f"send one to the person: `{fresh}`"
        )
    if row.spent_at is not None:
        raise ConsentInvalidError(f"the code for {plan.id} was spent already")
    if now >= row.expires:
        raise ConsentInvalidError(f"the code for {plan.id} has expired", hint=f"`{fresh}`")
    if not store.take_try(plan.id):
        raise ConsentInvalidError(
            f"too many wrong codes were tried for {plan.id}", hint=f"`{fresh}`"
        )
    given = "".join(code.split()).replace("-", "").upper()
    if not hmac.compare_digest(_hash(given, row.salt, plan.hash), row.code_hash):
        left = row.tries_left - 1
        raise ConsentInvalidError(
            f"that is not the code for {plan.id}; {left} "
            f"{'try is' if left == 1 else 'tries are'} left",
            hint="ask the person for the code in the message about exactly this plan"
            if left
            else f"`{fresh}`",
        )


def _hash(code: str, salt: bytes, plan_hash: str) -> bytes:
    material = f"{code}:{plan_hash}".encode()
    return hashlib.scrypt(material, salt=salt, n=_COST, r=8, p=1, dklen=32)
