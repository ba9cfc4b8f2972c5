"""The gate: how much consent a change needs, from the catalogue, the policy and the caller.

Pure. A tier is only ever raised. The same gate stands before every face.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Literal, NamedTuple

from pveops.engine.marks import marks_changed
from pveops.operations.catalog import get_operation
from pveops.operations.guest_exec import split_command
from pveops.operations.operation import Operation, Tier
from pveops.operations.plan import Item, Plan, Scalar, Target
from pveops.units import DAY_S, HOUR_S

if TYPE_CHECKING:
    from pveops.config.policy import Grant, Policy
    from pveops.context import Actor
    from pveops.engine.session import Session
    from pveops.engine.store import Count

Action = Literal["at_once", "consent", "deny"]
_UNATTENDED = "nobody attends the caller"
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
    is_granted: bool = False
    """Whether a standing grant lets it through."""
    on_grant: str = ""
    """What a standing grant does here, or would; stands among the reasons, too."""


def judge(
    session: Session, operation: Operation, items: Sequence[Item], params: Mapping[str, Scalar]
) -> Verdict:
    """The verdict on an operation about to be planned."""
    now = session.clock.now()
    is_person = session.actor.kind == "person"
    recent = 0 if is_person else session.store.count_runs("policy", now - HOUR_S).number
    grant = _find_grant(session, operation, [item.target for item in items], now)
    return judge_targets(
        session.policy,
        session.actor,
        operation,
        [item.target for item in items],
        params,
        raises=_raises(session.policy, items, grant),
        recent_changes=recent,
        has_channel=session.sender is not None,
        now=now,
        grant=grant,
    )


def _find_grant(
    session: Session, operation: Operation, targets: Sequence[Target], now: float
) -> Grant | None:
    """The standing grant that all of it falls under."""
    for grant in session.grants:
        if (
            operation.id in grant.operations
            and session.actor.kind in grant.actors
            and grant.is_valid(now)
            and len(targets) <= grant.max_targets
            and all(_is_granted(grant, target) for target in targets)
            and session.store.count_runs("grant", now - DAY_S, operation.id).number < grant.per_day
        ):
            return grant
    return None


def _is_granted(grant: Grant, target: Target) -> bool:
    return bool(grant.guests.why(target.id, target.name, target.tags, target.pool))


def judge_guests(
    session: Session, operation: Operation, targets: Sequence[Target], actor: Actor
) -> Verdict:
    """What the gate would say to a caller about these guests, before anything is planned."""
    asked = session._replace(actor=actor)
    now = session.clock.now()
    return judge_targets(
        session.policy,
        actor,
        operation,
        targets,
        {},
        has_channel=session.sender is not None,
        now=now,
        grant=_find_grant(asked, operation, targets, now),
    )


def judge_plan(session: Session, plan: Plan, recent_changes: int = 0) -> Verdict:
    """The verdict on a stored plan, under the policy of now; its tier never falls.

    recent_changes: as `judge_targets` says; 0 for a plan that a person has agreed to.
    """
    operation = get_operation(plan.operation)
    now = session.clock.now()
    grant = _find_grant(session, operation, [item.target for item in plan.items], now)
    verdict = judge_targets(
        session.policy,
        session.actor,
        operation,
        [item.target for item in plan.items],
        plan.params,
        raises=_raises(session.policy, plan.items, grant),
        recent_changes=recent_changes,
        has_channel=session.sender is not None,
        now=now,
        grant=grant,
    )
    if verdict.tier >= plan.tier or verdict.action == "deny":
        return verdict
    return _decide(
        session.policy,
        session.actor,
        operation,
        plan.tier,
        plan.tier_reasons,
        has_channel=session.sender is not None,
    )


def count_for(session: Session, plan: Plan, *, is_granted: bool) -> Count | None:
    """How often what nobody was asked about was done lately, as far as it is limited."""
    now = session.clock.now()
    if is_granted:
        return session.store.count_runs("grant", now - DAY_S, plan.operation)
    if session.actor.kind == "person":
        return None
    return session.store.count_runs("policy", now - HOUR_S)


def _raises(policy: Policy, items: Sequence[Item], grant: Grant | None) -> tuple[str, ...]:
    """What the items themselves are reasons to ask for more consent, each reason once."""
    found = (
        reason for item in items for reason in (*item.raises, *marks_changed(policy, item, grant))
    )
    return tuple(dict.fromkeys(found))


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
    now: float | None = None,
    grant: Grant | None = None,
) -> Verdict:
    """The verdict, from values alone.

    raises: what speaks for more consent by the decisions themselves (`Item.raises`).
    recent_changes: what callers that are no person changed at once within the last hour.
    has_channel: whether codes can be sent to a person. Then no word typed at a terminal is enough
        for what cannot be undone: an agent can drive a terminal, and hide its marks.
    """
    raising = (*_reasons_to_raise(policy, actor, targets, params, recent_changes), *raises)
    if _is_off_hours(policy, actor, now):
        raising = (*raising, "it is outside of the policy's hours")
    if operation.tier == Tier.REVERSIBLE and any(
        target.is_new and not policy.allows_creation_in(target.pool) for target in targets
    ):
        raising = (*raising, "it makes a guest outside of the pools for that (`create_pools`)")
    tier = min(Tier.IRREVERSIBLE, operation.tier + (1 if raising else 0))
    reasons = (f"{operation.id} is tier {operation.tier}", *raising)
    verdict = _decide(policy, actor, operation, tier, reasons, has_channel=has_channel)
    may_be_granted = not _is_denied(policy, actor, operation, verdict)
    is_enough = may_be_granted and _is_enough(operation, policy, raising)
    if now is not None and grant is not None and is_enough:
        why = f"a standing grant covers it until {grant.until}"
        verdict = verdict._replace(
            action="at_once",
            tier=operation.tier,
            reasons=(reasons[0], why),
            is_granted=True,
            on_grant=why,
        )
    elif now is not None and grant is not None:
        why = "a standing grant would cover it, were it not for that"
        verdict = verdict._replace(reasons=(*verdict.reasons, why), on_grant=why)
    unlisted = _unlisted_command(policy, operation, targets, params)
    if unlisted:
        return verdict._replace(action="deny", reasons=(*verdict.reasons, unlisted))
    return verdict


def _is_off_hours(policy: Policy, actor: Actor, now: float | None) -> bool:
    if now is None or policy.hours is None or actor.kind == "person":
        return False
    return not policy.hours.covers(now)


def _is_enough(operation: Operation, policy: Policy, raising: Sequence[str]) -> bool:
    """A grant stands for a person who is not there, and for nothing else that asks for more."""
    others = [reason for reason in raising if reason != _UNATTENDED]
    return (
        operation.tier <= Tier.DISRUPTIVE and not others and operation.id not in policy.operations
    )


def _is_denied(policy: Policy, actor: Actor, operation: Operation, verdict: Verdict) -> bool:
    """Whether a rule says so that no grant was made against.

    Callers that nobody attends are held a tier higher, where they are denied unless the policy
    says something else. That is what a grant for them is about.
    """
    if verdict.action != "deny":
        return False
    rules = getattr(policy.actors, actor.kind)
    return verdict.tier < Tier.IRREVERSIBLE or rules.action(operation.tier) == "deny"


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
        yield _UNATTENDED
    if actor.has_read_free_text and actor.kind != "person":
        more = f" ({actor.free_text})" if actor.free_text else ""
        yield f"the caller has just read text that others wrote{more}"
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
