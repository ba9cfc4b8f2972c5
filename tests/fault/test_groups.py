"""Many guests in one run that is killed: picked up, and each is touched at most once."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from pveops.domain.selection import Selector
from pveops.engine.apply import apply_plan, resume_run
from pveops.engine.approve import Consent
from pveops.engine.change import request_change
from pveops.engine.request import Ask
from tests.fault.test_matrix import KilledError, kill_at
from tests.world import World, join_world, make_world

HOME = Selector(tags=("home",))
"""Four VMs of the homelab, on three nodes."""
ASKS = {
    "shutdown": Ask("guest.shutdown", selector=HOME),
    "set": Ask("guest.set", selector=HOME, params={"cores": 3}),
    "snapshot": Ask("snapshot.create", selector=HOME, params={"snapname": "before"}),
    "delete": Ask("guest.delete", selector=HOME),
    "clone": Ask(
        "guest.clone", ("debian-13-template",), params={"count": 4, "name": "k{n}", "start": True}
    ),
}
WRITES = {"shutdown": 1, "set": 1, "snapshot": 1, "delete": 2, "clone": 2}
"""Of each target, when all goes well."""


def plan_of(world: World, asked: str) -> tuple[str, Consent]:
    from pveops.engine.apply import store_plan
    from pveops.engine.request import propose

    proposal = propose(world.session, ASKS[asked])
    assert proposal.plan is not None
    assert len(proposal.plan.items) == 4
    if proposal.verdict is not None and proposal.verdict.action == "at_once":
        return store_plan(world.session, proposal.plan).id, Consent("policy")
    change = request_change(world.session, ASKS[asked])
    return change.plan_id, Consent("code", world.code)


def check_each_at_most_once(world: World) -> None:
    """No write happened twice to the same path, and no name was given twice."""
    paths = Counter(
        (row["method"], row["path"])
        for row in world.effects()
        if not row["path"].endswith(("/clone", "/vzdump"))
    )
    assert [path for path, count in paths.items() if count > 1] == []
    names = Counter(guest.name for guest in world.cluster.guests.values())
    assert [name for name in names if name.startswith("k") and names[name] > 1] == []


@pytest.mark.parametrize("before", [True, False], ids=["before", "after"])
@pytest.mark.parametrize("line", [1, 2, 3, 5, 8, 11])
@pytest.mark.parametrize("asked", ASKS)
def test_a_killed_group_is_picked_up(asked: str, line: int, before: bool, tmp_path: Path) -> None:
    world = make_world(tmp_path)
    plan, consent = plan_of(world, asked)
    kill_at(world, line, before=before)
    try:
        apply_plan(world.session, plan, consent)
    except KilledError:
        heir = join_world(tmp_path, world.seed)
        receipt = resume_run(heir.session, heir.session.store.list_runs()[0].id)
        done = [item for item in receipt.items if item.status == "done"]
        # A call whose intent is on record and that left no trace is not sent again.
        assert len(done) >= len(receipt.items) - 1, receipt
        assert all(item.status in {"done", "not-executed", "failed"} for item in receipt.items)
        assert heir.session.audit.verify().is_whole
    check_each_at_most_once(world)


@pytest.mark.parametrize("asked", ASKS)
def test_without_a_kill_every_guest_is_done(asked: str, tmp_path: Path) -> None:
    world = make_world(tmp_path)
    receipt = apply_plan(world.session, *plan_of(world, asked))
    assert receipt.status == "done", receipt
    assert len(world.effects()) == 4 * WRITES[asked]
    check_each_at_most_once(world)


@pytest.mark.parametrize("asked", ["shutdown", "snapshot", "set"])
def test_one_that_fails_does_not_hide_the_others(asked: str, tmp_path: Path) -> None:
    """Exit 11, and each guest with its own outcome."""
    world = make_world(tmp_path)
    plan, consent = plan_of(world, asked)
    world.cluster.faults.add("refuse", path=r"/qemu/112/", method="POST", status=500, reason="no")
    world.cluster.faults.add("refuse", path=r"/qemu/112/", method="PUT", status=500, reason="no")
    receipt = apply_plan(world.session, plan, consent)
    assert (receipt.status, receipt.exit_code) == ("partial", 11)
    by_id = {item.target.id: item.status for item in receipt.items}
    assert by_id.pop("112") == "not-executed"
    assert set(by_id.values()) == {"done"}
