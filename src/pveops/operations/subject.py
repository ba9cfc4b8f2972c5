"""The guest that a decision is about, as plans and findings name it."""

from __future__ import annotations

from pveops.domain.facts import GuestFacts
from pveops.operations.plan import Target
from pveops.units import format_duration


def target_of(facts: GuestFacts) -> Target:
    """The guest as a plan's target, with all that tells it from another in its place."""
    guest = facts.guest
    return Target(
        kind=guest.kind,
        id=str(guest.vmid),
        name=facts.state.ref.name,
        node=guest.node,
        identity=facts.config.identity,
        digest=facts.config.digest,
        tags=guest.tags,
        pool=guest.pool,
    )


def headline_of(facts: GuestFacts) -> str:
    """The state that makes a change matter: `RUNNING 41d`, `STOPPED`."""
    state = facts.state
    if state.is_running:
        return f"{state.power.upper()} {format_duration(state.uptime_s)}"
    return state.power.upper()
