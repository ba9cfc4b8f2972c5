"""The gate: tiers are only raised, and what cannot be undone always takes a person."""

from __future__ import annotations

import pytest

from pveops.config.policy import Actors, ConsentRules, Policy, Protected, TierActions
from pveops.context import Actor, ActorKind
from pveops.engine.gate import judge_targets
from pveops.operations.catalog import get_operation
from pveops.operations.operation import Effect, Operation, Tier
from pveops.operations.plan import Target

FINAL = Operation("guest.purge", "destroy guests", Tier.IRREVERSIBLE, Effect.ONCE)


def target(number: int = 101, **members: object) -> Target:
    return Target(kind="qemu", id=str(number), name=f"vm{number}", node="pve1", **members)  # type: ignore[arg-type]


def actor(kind: ActorKind) -> Actor:
    return Actor(kind, "tester", {})


@pytest.mark.parametrize(
    ("operation", "kind", "action"),
    [
        ("guest.start", "agent", "at_once"),
        ("guest.start", "person", "at_once"),
        ("guest.stop", "agent", "consent"),
        ("guest.stop", "person", "consent"),
        ("guest.start", "unattended", "consent"),
        ("guest.stop", "unattended", "deny"),
    ],
)
def test_the_default_policy_by_caller(operation: str, kind: ActorKind, action: str) -> None:
    verdict = judge_targets(Policy(), actor(kind), get_operation(operation), [target()], {})
    assert verdict.action == action


@pytest.mark.parametrize(
    ("protected", "members"),
    [
        (Protected(), {"tags": ("prod",)}),
        (Protected(tags=(), pools=("vital",)), {"pool": "vital"}),
        (Protected(tags=(), vmids=(101,)), {}),
        (Protected(tags=(), names=("vm1*",)), {}),
    ],
)
def test_a_protected_guest_is_held_one_tier_higher(
    protected: Protected, members: dict[str, object]
) -> None:
    policy = Policy(protected=protected)
    operation = get_operation("guest.start")
    verdict = judge_targets(policy, actor("agent"), operation, [target(**members)], {})
    assert (verdict.tier, verdict.action) == (2, "consent")
    assert "is protected" in verdict.reasons[1]


def test_more_targets_than_allowed_are_held_one_tier_higher() -> None:
    targets = [target(100 + n) for n in range(6)]
    verdict = judge_targets(Policy(), actor("agent"), get_operation("guest.start"), targets, {})
    assert verdict.tier == 2


def test_no_policy_does_away_with_consent_to_what_cannot_be_undone() -> None:
    loose = TierActions(tier1="at_once", tier2="at_once", tier3="at_once")  # type: ignore[arg-type]
    policy = Policy(actors=Actors(agent=loose, person=loose, unattended=loose))
    for kind in ("person", "agent", "unattended"):
        verdict = judge_targets(policy, actor(kind), FINAL, [target()], {})
        assert verdict.action == "consent"


def test_an_override_makes_things_stricter_only() -> None:
    stricter = Policy(operations={"guest.start": "deny"})
    looser = Policy(operations={"guest.stop": "at_once"})
    start = judge_targets(stricter, actor("agent"), get_operation("guest.start"), [target()], {})
    stop = judge_targets(looser, actor("agent"), get_operation("guest.stop"), [target()], {})
    assert (start.action, stop.action) == ("deny", "consent")


def test_a_terminal_is_enough_for_a_person_where_the_policy_says_so() -> None:
    stop = get_operation("guest.stop")
    assert judge_targets(Policy(), actor("person"), stop, [target()], {}).terminal_is_enough
    assert not judge_targets(Policy(), actor("agent"), stop, [target()], {}).terminal_is_enough
    policy = Policy(consent=ConsentRules(allow_terminal=False))
    assert not judge_targets(policy, actor("person"), stop, [target()], {}).terminal_is_enough


def test_many_changes_at_once_within_an_hour_ask_for_a_person() -> None:
    policy, start = Policy(max_changes_per_hour=3), get_operation("guest.start")
    few = judge_targets(policy, actor("agent"), start, [target()], {}, recent_changes=2)
    many = judge_targets(policy, actor("agent"), start, [target()], {}, recent_changes=3)
    person = judge_targets(policy, actor("person"), start, [target()], {}, recent_changes=9)
    assert (few.action, many.action, person.action) == ("at_once", "consent", "at_once")
