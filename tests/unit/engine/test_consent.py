"""Codes: bound to one plan, hashed, counted, spent once."""

from __future__ import annotations

from pathlib import Path

import pytest

from pveops.engine.apply import apply_plan
from pveops.engine.approve import Consent
from pveops.engine.change import request_change, send_consent_code
from pveops.engine.request import Ask
from pveops.errors import ConfigError, ConsentInvalidError, ConsentRequiredError, StalePlanError
from tests.conftest import SCRYPT_COST
from tests.world import World, make_world


@pytest.fixture
def world(tmp_path: Path) -> World:
    return make_world(tmp_path)


def plan_a_stop(world: World, name: str = "web02") -> str:
    return request_change(world.session, Ask("guest.stop", (name,))).plan_id


def test_a_stolen_hash_costs_memory_and_time_for_each_guess() -> None:
    assert SCRYPT_COST >= 2**14


def test_without_a_code_nothing_is_sent(world: World) -> None:
    plan = plan_a_stop(world)
    with pytest.raises(ConsentRequiredError):
        apply_plan(world.session, plan, Consent("policy"))
    with pytest.raises(ConsentInvalidError):
        apply_plan(world.session, plan, Consent("terminal", "yes"))
    assert world.writes() == []


def test_three_wrong_codes_close_the_plan_to_the_right_one(world: World) -> None:
    plan = plan_a_stop(world)
    for _ in range(3):
        with pytest.raises(ConsentInvalidError, match="not the code"):
            apply_plan(world.session, plan, Consent("code", "AAAA-AAAA"))
    with pytest.raises(ConsentInvalidError, match="too many"):
        apply_plan(world.session, plan, Consent("code", world.code))
    assert world.writes() == []


def test_a_code_expires(world: World) -> None:
    plan = plan_a_stop(world)
    world.cluster.timeline.advance(601)
    with pytest.raises(ConsentInvalidError, match="expired"):
        apply_plan(world.session, plan, Consent("code", world.code))


def test_a_plan_expires(world: World) -> None:
    plan = plan_a_stop(world)
    world.cluster.timeline.advance(3601)
    with pytest.raises(StalePlanError, match="expired"):
        apply_plan(world.session, plan, Consent("code", world.code))


def test_a_code_fits_its_own_plan_only(world: World) -> None:
    first = plan_a_stop(world, "web02")
    code = world.code
    second = plan_a_stop(world, "photos")
    with pytest.raises(ConsentInvalidError, match="not the code"):
        apply_plan(world.session, second, Consent("code", code))
    assert apply_plan(world.session, first, Consent("code", code)).status == "done"


def test_a_fresh_code_voids_the_one_before(world: World) -> None:
    plan = plan_a_stop(world)
    old = world.code
    row = world.session.store.get_plan(plan)
    from pveops.engine.apply import load_plan

    send_consent_code(world.session, row, load_plan(world.session, plan)[1])
    assert world.code != old
    with pytest.raises(ConsentInvalidError):
        apply_plan(world.session, plan, Consent("code", old))
    code = world.code.lower().replace("-", " ")
    assert apply_plan(world.session, plan, Consent("code", code)).status == "done"


def test_only_three_codes_are_ever_sent_for_a_plan(world: World) -> None:
    from pveops.engine.apply import load_plan

    plan = plan_a_stop(world)
    row, value = load_plan(world.session, plan)
    for _ in range(2):
        send_consent_code(world.session, row, value)
    with pytest.raises(ConsentInvalidError, match="no more"):
        send_consent_code(world.session, row, value)


def test_the_code_is_stored_nowhere(world: World, tmp_path: Path) -> None:
    plan = plan_a_stop(world)
    code = world.code
    apply_plan(world.session, plan, Consent("code", code))
    for path in tmp_path.rglob("*"):
        if path.is_file():
            content = path.read_bytes()
            assert code.encode() not in content
            assert code.replace("-", "").encode() not in content


def test_a_failing_sender_leaves_the_plan_and_says_so(world: World) -> None:
    def broken(_: str) -> None:
        raise ConfigError("the pager is off")

    session = world.session._replace(sender=broken)
    change = request_change(session, Ask("guest.stop", ("web02",)))
    assert (change.code, change.code_problem) == ("failed", "the pager is off")
    assert world.session.store.get_plan(change.plan_id).state == "open"


def test_an_edited_plan_is_not_applied(world: World) -> None:
    from pveops.errors import StoreError

    plan = plan_a_stop(world)
    db = world.session.store._db
    db.execute("UPDATE plans SET json = replace(json, 'qemu/102', 'qemu/103')")
    with pytest.raises(StoreError, match="changed after it was made"):
        apply_plan(world.session, plan, Consent("code", world.code))
    assert world.writes() == []


def test_frozen_means_nothing_is_sent(world: World) -> None:
    from pveops.errors import FrozenError

    plan = plan_a_stop(world)
    world.session.freeze_file.touch()
    with pytest.raises(FrozenError):
        apply_plan(world.session, plan, Consent("code", world.code))
    assert world.writes() == []
