"""The gate: how much consent a change needs, from the catalogue, the policy and the caller.

Pure. A tier is only ever raised. The same gate stands before every face.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Literal, NamedTuple

from pveops.operations.catalog import Operation, Tier, get_operation
from pveops.operations.plan import Plan, Scalar, Target

if TYPE_CHECKING:
    from pveops.config.policy import Policy
    from pveops.context import Actor
    from pveops.engine.session import Session

Action = Literal["at_once", "consent", "deny"]


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
    session: Session, operation: Operation, targets: Sequence[Target], params: Mapping[str, Scalar]
) -> Verdict:
    """The verdict on an operation about to be planned."""
    return judge_targets(session.policy, session.actor, operation, targets, params)


def judge_plan(session: Session, plan: Plan) -> Verdict:
    """The verdict on a stored plan, under the policy of now; its tier never falls."""
    operation = get_operation(plan.operation)
    targets = [item.target for item in plan.items]
    verdict = judge_targets(session.policy, session.actor, operation, targets, plan.params)
    if verdict.tier >= plan.tier:
        return verdict
    return _decide(session.policy, session.actor, operation, plan.tier, list(plan.tier_reasons))


def judge_targets(
    policy: Policy,
    actor: Actor,
    operation: Operation,
    targets: Sequence[Target],
    params: Mapping[str, Scalar],
) -> Verdict:
    """The verdict, from values alone."""
    reasons = [f"{operation.id} is tier {operation.tier}"]
    raised = 0
    for reason in _escalations(policy, actor, targets, params):
        reasons.append(reason)
        raised = 1
    tier = min(Tier.IRREVERSIBLE, operation.tier + raised)
    return _decide(policy, actor, operation, tier, reasons)
