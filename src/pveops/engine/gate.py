"""The gate: how much consent a change needs, from the catalogue, the policy and the caller.

Pure. A tier is only ever raised. The same gate stands before every face.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Literal, NamedTuple

from pveops.operations.catalog import get_operation
from pveops.operations.guest_exec import split_command
from pveops.operations.operation import Operation, Tier
from pveops.operations.plan import Item, Plan, Scalar, Target
from pveops.units import HOUR_S

if TYPE_CHECKING:
    from pveops.config.policy import Policy
    from pveops.context import Actor
    from pveops.engine.session import Session

Action = Literal["at_once", "consent", "deny"]
_STRICTNESS: dict[str, int] = {"at_once": 0, "consent": 1, "deny": 2}


class Verdict(NamedTuple):
    """What the gate says."""

    action: Action
    tier: int
    reasons: tuple[str, ...]
    """Why the tier is what it is, the catalogue's word first."""
    ttl_s: int
    """How long a plan of it stays valid."""
    terminal_is_enough: bool
    """Whether a person at a terminal may agree in place (level G1)."""


def judge(
    session: Session, operation: Operation, items: Sequence[Item], params: Mapping[str, Scalar]
) -> Verdict:
    """The verdict on an operation about to be planned."""
    since = session.clock.now() - HOUR_S
    recent = 0 if session.actor.kind == "person" else session.store.count_unasked_runs(since)
    return judge_targets(
        session.policy,
        session.actor,
        operation,
        _touched(items),
        params,
        raises=_raises(items),
        recent_changes=recent,
        has_channel=session.sender is not None,
    )


def judge_plan(session: Session, plan: Plan) -> Verdict:
    """The verdict on a stored plan, under the policy of now; its tier never falls."""
    operation = get_operation(plan.operation)
    verdict = judge_targets(
        session.policy,
        session.actor,
        operation,
        _touched(plan.items),
        plan.params,
        raises=_raises(plan.items),
        has_channel=session.sender is not None,
    )
    if verdict.tier >= plan.tier:
        return verdict
    return _decide(
        session.policy,
        session.actor,
        operation,
        plan.tier,
        plan.tier_reasons,
        has_channel=session.sender is not None,
    )


def _touched(items: Sequence[Item]) -> list[Target]:
    """Whom the items are about."""
    return [item.target for item in items]


def _raises(items: Sequence[Item]) -> tuple[str, ...]:
    """What the decisions themselves found to ask for more consent, each reason once."""
    return tuple(dict.fromkeys(reason for item in items for reason in item.raises))


def judge_targets(
    policy: Policy,
    actor: Actor,
    operation: Operation,
    targets: Sequence[Target],
    params: Mapping[str, Scalar],
    *,
    raises: tuple[str, ...] = (),
    recent_changes: int = 0,
    has_channel: bool = False,
) -> Verdict:
    """The verdict, from values alone.

    raises: what speaks for more consent by the decisions themselves (`Item.raises`).
    recent_changes: what callers that are no person changed at once within the last hour.
    has_channel: whether codes can be sent to a person. Then no word typed at a terminal is enough
        for what cannot be undone: an agent can drive a terminal, and hide its marks.
    """
    raising = (*_reasons_to_raise(policy, actor, targets, params, recent_changes), *raises)
    if operation.tier == Tier.REVERSIBLE and any(
        target.is_new and not policy.allows_creation_in(target.pool) for target in targets
    ):
        raising = (*raising, "it makes a guest outside of the pools for that (`create_pools`)")
    tier = min(Tier.IRREVERSIBLE, operation.tier + (1 if raising else 0))
    reasons = (f"{operation.id} is tier {operation.tier}", *raising)
    verdict = _decide(policy, actor, operation, tier, reasons, has_channel=has_channel)
    unlisted = _unlisted_command(policy, operation, targets, params)
    if unlisted:
        return verdict._replace(action="deny", reasons=(*verdict.reasons, unlisted))
    return verdict


def _unlisted_command(
    policy: Policy, operation: Operation, targets: Sequence[Target], params: Mapping[str, Scalar]
) -> str:
    """What is not listed is not run inside a guest, whoever agrees to it."""
    if operation.id != "guest.exec":
        return ""
    words = split_command(params)
    for target in targets:
        if not policy.allows_command(target.id, target.name, target.tags, words):
            return (
                f"the policy lists no such command for {target.name}; a person can add it under "
                "`guest_commands`"
            )
    return ""


def _reasons_to_raise(
    policy: Policy,
    actor: Actor,
    targets: Sequence[Target],
    params: Mapping[str, Scalar],
    recent_changes: int,
) -> Iterator[str]:
    for target in targets:
        why = policy.protected.why(target.id, target.name, target.tags, target.pool)
        if why:
            yield f"{target.label}: {why}"
            break
    if len(targets) > policy.max_targets:
        yield f"{len(targets)} targets are more than {policy.max_targets}"
    if actor.kind == "unattended":
        yield "nobody attends the caller"
    if actor.has_read_free_text and actor.kind != "person":
        yield "the caller has just read text that others wrote"
    if actor.kind != "person" and recent_changes >= policy.max_changes_per_hour:
        yield f"{recent_changes} changes were made at once within the last hour"
    if params.get("purge"):
        yield "purge was asked for"


def _decide(
    policy: Policy,
    actor: Actor,
    operation: Operation,
    tier: int,
    reasons: tuple[str, ...],
    *,
    has_channel: bool,
) -> Verdict:
    action: Action = getattr(policy.actors, actor.kind).action(tier)
    override = policy.operations.get(operation.id)
    if override is not None and _STRICTNESS[override] > _STRICTNESS[action]:
        action = override
        reasons = (*reasons, f"the policy says {override!r} for {operation.id}")
    if tier >= Tier.IRREVERSIBLE and action == "at_once":
        # No policy can do away with a person's consent to what cannot be undone.
        action = "consent"
        reasons = (*reasons, "what cannot be undone always takes a person's consent")
    is_final = tier >= Tier.IRREVERSIBLE
    return Verdict(
        action=action,
        tier=tier,
        reasons=reasons,
        ttl_s=policy.plan_ttl_tier3_s if is_final else policy.plan_ttl_s,
        terminal_is_enough=(
            actor.kind == "person"
            and policy.consent.terminal
            and (not is_final or (policy.consent.terminal_tier3 and not has_channel))
        ),
    )
