"""Two books compared: what PVE's task lists know of our token, and what our records know."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

import pytest

from pveops.api.port import Transport
from pveops.cli.process import run_call
from pveops.engine.apply import apply_plan
from pveops.engine.approve import Consent
from pveops.engine.change import request_change
from pveops.engine.request import Ask
from pveops.errors import SecretError
from pveops.sim.membership import power_off_node
from tests.commandline import Outcome, call_of, run_line
from tests.fault.test_matrix import KilledError, kill_at
from tests.world import World, make_world


def reconcile(world: World, folder: Path, words: str = "") -> Outcome:
    return run_line(world, folder, f"pve audit reconcile {words}")


def world_of(folder: Path) -> World:
    """Its records lie where the command line looks for them."""
    (folder / "logs").mkdir()
    world = make_world(folder)
    from pveops.engine.audit import AuditLog

    log = AuditLog(folder / "logs" / "audit.jsonl", world.cluster.timeline)
    world.session = world.session._replace(audit=log)
    return world


def test_what_we_did_ourselves_is_known(tmp_path: Path) -> None:
    world = world_of(tmp_path)
    assert run_line(world, tmp_path, "pve guest start windows-lab").code == 0
    outcome = reconcile(world, tmp_path)
    assert outcome.code == 0, outcome.out
    assert outcome.out.startswith("1 task of agent@pve!ops: 0 unknown to our records")


def test_a_task_behind_our_back_is_named(tmp_path: Path) -> None:
    """Somebody has the token, and calls PVE without us."""
    world = world_of(tmp_path)
    world.session.make_writer().write("POST", "/nodes/pve1/qemu/102/status/stop", {})
    world.cluster.timeline.advance(30)
    outcome = reconcile(world, tmp_path)
    assert outcome.code == 7
    assert "1 unknown to our records" in outcome.out
    assert "qmstop\t102\tpve1\tOK" in outcome.out
    assert "next: pve task log UPID:pve1:" in outcome.out
    world.cluster.timeline.advance(3 * 3600)
    assert reconcile(world, tmp_path, "--since 1h").code == 0


def test_a_node_that_is_off_is_unknown_and_never_nothing(tmp_path: Path) -> None:
    world = world_of(tmp_path)
    power_off_node(world.cluster, world.cluster.nodes["pve3"])
    outcome = reconcile(world, tmp_path)
    assert outcome.code == 12
    assert "unknown: the tasks of pve3: it is offline" in outcome.out


def test_a_node_that_refuses_is_unknown(tmp_path: Path) -> None:
    world = world_of(tmp_path)
    world.cluster.faults.add(
        "refuse", method="GET", path="/nodes/pve2/tasks$", status=403, times=0
    )
    outcome = reconcile(world, tmp_path)
    assert outcome.code == 12
    assert "unknown: the tasks of pve2" in outcome.out


def test_what_was_begun_and_never_ended_is_named(tmp_path: Path) -> None:
    world = world_of(tmp_path)
    change = request_change(world.session, Ask("guest.stop", ("web02",)))
    kill_at(world, 2, before=False)
    with pytest.raises(KilledError):
        apply_plan(world.session, change.plan_id, Consent("code", world.code))
    # The process is gone, as far as the store can tell.
    with world.session.store._transaction() as db:
        db.execute("UPDATE runs SET pid = 999999, pid_started = 'x'")
    outcome = reconcile(world, tmp_path)
    assert outcome.code == 7
    assert "without an end: guest.stop of qemu/102 web02" in outcome.out
    assert "next: pve run explain run_" in outcome.out


def test_records_are_found_by_guest_time_caller_and_operation(tmp_path: Path) -> None:
    world = world_of(tmp_path)
    run_line(world, tmp_path, "pve guest start windows-lab")
    world.cluster.timeline.advance(7200)
    run_line(world, tmp_path, "pve guest start dns02")
    for words, count in (
        ("--guest windows-lab", 2),
        ("--guest 901", 2),
        ("--guest dns02", 2),
        ("--since 1h", 2),
        ("--operation guest", 4),
        ("--operation guest.start --guest 202", 2),
        ("--operation backup", 0),
        ("--actor agent", 4),
        ("--actor person", 0),
    ):
        told = run_line(world, tmp_path, f"pve audit show {words} --json").json
        assert len(told["data"]["items"]) == count, words
    assert run_line(world, tmp_path, "pve audit show --since soon").code == 2


def test_the_person_sees_the_head_on_the_card(tmp_path: Path) -> None:
    world = make_world(tmp_path)
    world.session.audit.append("policy", {})
    request_change(world.session, Ask("guest.stop", ("web02",)))
    assert f"log {world.session.audit.head().hash[:8]}" in world.messages[-1]


def reconcile_with_tokens(
    world: World, folder: Path, open_writer: Callable[[int], tuple[str, Transport]]
) -> Outcome:
    """As a profile whose own token reads only, and that has others for changes."""
    stdout, stderr = io.StringIO(), io.StringIO()
    call = call_of(world, folder, "pve audit reconcile", stdout=stdout, stderr=stderr)
    inner = call.wiring.connection
    call.wiring.__dict__["connection"] = inner._replace(
        auth_id="agent@pve!look", open_writer=open_writer, writer_tiers=(2,)
    )
    return Outcome(run_call(call), stdout.getvalue(), stderr.getvalue())


def test_tasks_of_every_token_of_the_profile_are_looked_for(tmp_path: Path) -> None:
    world = world_of(tmp_path)
    world.session.make_writer().write("POST", "/nodes/pve2/qemu/901/status/start", {})
    world.cluster.timeline.advance(60)
    found = reconcile_with_tokens(
        world, tmp_path, lambda tier: (world.seed.token_id, world.requests)
    )
    assert found.code == 7
    assert "1 task of agent@pve!look, agent@pve!ops: 1 unknown to our records" in found.out


def test_a_token_that_was_ours_is_known_from_the_records(tmp_path: Path) -> None:
    world = world_of(tmp_path)
    assert run_line(world, tmp_path, "pve guest start dns02").code == 0
    world.session.make_writer().write("POST", "/nodes/pve2/qemu/901/status/start", {})
    world.cluster.timeline.advance(60)

    def closed(tier: int) -> tuple[str, Transport]:
        raise SecretError("it does not decrypt")

    found = reconcile_with_tokens(world, tmp_path, closed)
    assert found.code == 7
    assert "agent@pve!ops: 1 unknown to our records" in found.out
    assert "unknown: the tasks of the token for tier 2: it does not decrypt" in found.out
