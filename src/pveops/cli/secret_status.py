"""What `pve secrets status` says of a profile's tokens; never a secret."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from pveops.cli.answer import Answer, Facts, Lines
from pveops.units import DAY_S

if TYPE_CHECKING:
    from pveops.config.secrets import SecretStatus


def tell_status(profile: str, found: Sequence[tuple[int, SecretStatus]], now: float) -> Answer:
    """The answer for all tokens. Raises SecretError when the one for reading cannot be used."""
    from pveops.config.secrets import PROTECTS
    from pveops.domain.token import Expiry, list_expiry_warnings
    from pveops.errors import SecretError

    own = found[0][1]
    has_expired = 0 < own.expires <= now
    if own.problem and not has_expired:
        # Whoever puts a token into a vault has to know what the record shall say.
        remedy = own.remedy if own.identity else f"{own.remedy}; bound here is {own.binding}"
        raise SecretError(
            own.problem, hint=remedy, details={"file": own.path, "binding": own.binding}
        )
    warnings = list_expiry_warnings(
        [Expiry(each.token_id, each.expires) for _, each in found if each.token_id], now
    )
    pairs = [("file", own.path), ("bound", own.binding)]
    if own.identity:
        pairs += [("identity", own.identity), ("note", PROTECTS)]
    blocks: tuple[Any, ...] = (Facts(tuple(pairs)),)
    if len(found) > 1:
        blocks += (Lines(tuple(_line(tier, each, now) for tier, each in found[1:])),)
    if warnings:
        blocks += (Lines(tuple(f"warning: {each.message}: {each.remedy}" for each in warnings)),)
    return Answer(
        f"the profile {profile!r} has the token {own.token_id}; it "
        + ("has expired" if has_expired else f"expires: {_expiry(own, now)}"),
        code=SecretError.exit_code if has_expired else 0,
        next=(own.remedy,) if has_expired and own.remedy else (),
        data={
            "profile": profile,
            "token_id": own.token_id,
            "expires": own.expires or None,
            "file": own.path,
            "identity": own.identity,
            "bound": list(own.bound),
            "binding": own.binding,
            "tiers": [_item(tier, each) for tier, each in found[1:]],
            "warnings": [each.message for each in warnings],
        },
        blocks=blocks,
    )


def _expiry(status: SecretStatus, now: float) -> str:
    if not status.expires:
        return "not known here"
    return f"in {(status.expires - now) / DAY_S:.0f} days"


def _line(tier: int, status: SecretStatus, now: float) -> str:
    what = status.problem or f"{status.token_id}; it expires: {_expiry(status, now)}"
    return f"for changes up to tier {tier}: {what}"


def _item(tier: int, status: SecretStatus) -> dict[str, Any]:
    return {
        "tier": tier,
        "token_id": status.token_id or None,
        "expires": status.expires or None,
        "file": status.path,
        "problem": status.problem or None,
    }
