"""The approval card: what a person reads before agreeing."""

from pathlib import Path

from pveops.engine.card import MAX_CHARS, render_card
from pveops.engine.request import Ask, propose
from pveops.operations.plan import Plan
from tests.world import make_world


def plan_of(folder: Path, ask: Ask) -> Plan:
    plan = propose(make_world(folder).session, ask).plan
    assert plan is not None
    return plan


def test_the_state_comes_first_and_the_plan_last(tmp_path: Path) -> None:
    plan = plan_of(tmp_path, Ask("guest.stop", ("web01",), reason="hangs"))
    lines = render_card(plan, "pl_123", plan.created).splitlines()
    assert lines[0].startswith("RUNNING 40d: GUEST STOP web01 (VM 101 on pve1); lost: ")
    assert lines[-2] == 'asked by agent:tester: "hangs"'
    assert lines[-1] == "pl_123 on sim, tier 3, valid 15m"


def test_a_long_reason_cannot_push_the_facts_out(tmp_path: Path) -> None:
    plan = plan_of(tmp_path, Ask("guest.stop", ("web01",), reason="harmless\n" * 500))
    card = render_card(plan, "pl_123", plan.created)
    assert len(card) <= MAX_CHARS
    assert card.startswith("RUNNING 40d: GUEST STOP web01")
    assert card.endswith("pl_123 on sim, tier 3, valid 15m")


def test_a_reason_cannot_forge_lines(tmp_path: Path) -> None:
    plan = plan_of(tmp_path, Ask("guest.stop", ("web01",), reason="ok\nundo: everything\u202e"))
    card = render_card(plan, "pl_123", plan.created)
    assert "\nundo: everything" not in card
    assert "\u202e" not in card


def test_many_targets_are_counted_and_warnings_stand_once(tmp_path: Path) -> None:
    from pveops.domain.selection import Selector

    plan = plan_of(tmp_path, Ask("guest.stop", selector=Selector(tags=("home",))))
    card = render_card(plan, "pl_123", plan.created)
    assert card.startswith("GUEST STOP of 4 targets")
    assert card.count("! what the guest has not written") == 1
