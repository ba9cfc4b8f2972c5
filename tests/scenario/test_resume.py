"""What a run that was left unfinished may still do, where, and when it may not.

Between two halves of a run lie minutes or days. What was true when a person agreed may have
changed by then: the cluster, the guests, the policy, the configuration, the host.
"""

from __future__ import annotations

import io
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pveops.api.auth import Authenticated, Secret, TokenAuth
from pveops.cli.process import run_call
from pveops.cli.wiring import Connection
from pveops.config.policy import Policy
from pveops.engine.apply import apply_plan, close_run, read_receipt, resume_run
from pveops.engine.approve import Consent
from pveops.engine.change import Change, request_change
from pveops.engine.explain import Progress, explain_run
from pveops.engine.outcome import Receipt
from pveops.engine.process import hold_run, is_carried
from pveops.engine.request import Ask
from pveops.errors import ConflictError, FrozenError, PolicyRefusedError, StalePlanError
from pveops.operations.plan import Call, Scalar, decode_plan
from pveops.sim.inprocess import InProcess
from pveops.sim.membership import power_off_node
from pveops.sim.seeds import build
from pveops.sim.timeline import Timeline
from pveops.sim.version import VERSIONS
from tests.commandline import call_of, run_line
from tests.fault.test_matrix import KilledError
from tests.scenario.test_evacuation import STUCK
from tests.world import START, SimTransport, World, join_world, make_world

Wanted = Callable[[int, dict[str, Any]], bool]


def kill_after(world: World, kind: str, wanted: Wanted = lambda _item, _data: True) -> None:
    """The process dies right after a line of that kind is in the journal."""
    store = world.session.store
    write = store.write_entry
    is_dead = [False]

    def dying(run: str, item: int, line: str, at: float, data: Any) -> None:
        if is_dead[0]:
            raise KilledError
        write(run, item, line, at, data)
        if line == kind and wanted(item, data):
            is_dead[0] = True
            raise KilledError

    store.write_entry = dying  # type: ignore[method-assign]


def agree(world: World, change: Change) -> Receipt:
    return apply_plan(world.session, change.plan_id, Consent("code", world.code))


def be_killed(world: World, change: Change) -> str:
    """Begin and die; the id of the run that is left."""
    with pytest.raises(KilledError):
        agree(world, change)
    run = world.session.store.get_plan(change.plan_id).run
    assert run is not None
    return run


def guest_of(world: World, name: str) -> Any:
    return next(guest for guest in world.cluster.guests.values() if guest.name == name)


def sent(world: World, since: int = 0) -> list[str]:
    return [f"{e['method']} {e['path'].rpartition('/nodes/')[2]}" for e in world.effects()[since:]]


# -- whose cluster it is --------------------------------------------------------------


def left_clone(folder: Path) -> tuple[World, str]:
    """A clone that was claimed, and whose process died before anything was sent."""
    world = make_world(folder)
    ask = Ask("guest.clone", ("debian-13-template",), params={"name": "fresh", "full": True})
    change = request_change(world.session, ask)
    kill_after(world, "intent")
    return world, be_killed(world, change)


def another_cluster(folder: Path) -> World:
    built = build("homelab", Timeline(START), VERSIONS["9.2"])
    built.cluster.auth_delay_s = 0.0
    built.cluster.name = "office"
    other = join_world(folder, built)
    other.session = other.session._replace(profile="office", cluster="another")
    return other


def test_a_run_of_one_cluster_is_not_gone_on_with_at_another(tmp_path: Path) -> None:
    world, run = left_clone(tmp_path)
    other = another_cluster(tmp_path)
    with pytest.raises(StalePlanError) as refusal:
        resume_run(other.session, run)
    assert refusal.value.hint == f"pve run resume {run} --profile sim"
    assert other.writes() == []
    assert world.session.store.get_run(run).state == "running"


def test_a_profile_that_leads_elsewhere_by_now_does_not_go_on_with_its_old_runs(
    tmp_path: Path,
) -> None:
    _, run = left_clone(tmp_path)
    other = another_cluster(tmp_path)
    with pytest.raises(StalePlanError, match="as it was configured then"):
        resume_run(other.session._replace(profile="sim"), run)
    assert other.writes() == []


def test_a_run_is_resumed_with_its_own_profile_whatever_the_default_is(tmp_path: Path) -> None:
    world, run = left_clone(tmp_path)
    asked: list[str] = []
    stdout = io.StringIO()
    call = call_of(world, tmp_path, f"pve run resume {run}", stdout=stdout)
    transport = Authenticated(
        SimTransport(InProcess(world.cluster, "pve1"), "pve1"),
        TokenAuth(world.seed.token_id, Secret(world.seed.token_secret)),
    )

    def connect(_call: Any, _wiring: Any) -> Connection:
        asked.append(call.options.profile)
        return Connection("sim", "sim", world.seed.token_id, transport)

    call._connect = connect
    run_call(call)
    assert asked == ["sim"]


def as_configured_anew(world: World) -> World:
    """An endpoint was added, or a pin renewed: plans and runs carry another fingerprint."""
    world.session = world.session._replace(cluster="anew")
    return world


def test_the_way_back_is_known_after_an_endpoint_was_added(tmp_path: Path) -> None:
    world = make_world(tmp_path)
    agree(world, request_change(world.session, Ask("node.evacuate", ("pve2",), params=STUCK)))
    as_configured_anew(world)
    back = Ask("node.return", ("pve2",), params={"allow_restart": True})
    plan = request_change(world.session, back).proposal.plan
    assert plan is not None
    assert plan.cluster == "anew"
    assert len(plan.items) == 8


def test_a_lock_holds_after_an_endpoint_was_added(tmp_path: Path) -> None:
    world = make_world(tmp_path)
    change = request_change(world.session, Ask("guest.stop", ("web02",)))
    kill_after(world, "intent")
    run = be_killed(world, change)
    later = as_configured_anew(join_world(tmp_path, world.seed))
    again = request_change(later.session, Ask("guest.stop", ("web02",)))
    with pytest.raises(ConflictError, match=run):
        agree(later, again)
    assert resume_run(later.session, run).status == "not-executed"
    assert later.session.store._all("SELECT * FROM locks") == []


def test_a_plan_does_not_move_to_another_fingerprint(tmp_path: Path) -> None:
    world = make_world(tmp_path)
    agree(world, request_change(world.session, Ask("guest.stop", ("web02",))))
    change = request_change(world.session, Ask("guest.stop", ("mail01",)))
    before = len(world.effects())
    with pytest.raises(StalePlanError, match="as it was configured then"):
        agree(as_configured_anew(world), change)
    assert sent(world, before) == []


def test_the_history_of_another_cluster_is_not_taken_for_ours(tmp_path: Path) -> None:
    world = make_world(tmp_path)
    agree(world, request_change(world.session, Ask("node.evacuate", ("pve2",), params=STUCK)))
    other = another_cluster(tmp_path)
    back = Ask("node.return", ("pve2",), params={"allow_restart": True})
    assert request_change(other.session, back).proposal.plan is None


# -- what has to hold again -----------------------------------------------------------


def boot_of(change: Change) -> int:
    assert change.proposal.plan is not None
    items = change.proposal.plan.items
    return next(index for index, item in enumerate(items) if item.target.kind == "node")


def rolling(world: World) -> Change:
    return request_change(
        world.session, Ask("cluster.rolling-reboot", params={"allow_restart": True})
    )


def test_a_node_that_guests_came_back_to_is_not_rebooted_by_a_resumed_run(tmp_path: Path) -> None:
    world = make_world(tmp_path, seed="three-node-ceph")
    change = rolling(world)
    boot = boot_of(change)
    assert change.proposal.plan is not None
    node = change.proposal.plan.items[boot].target.id
    kill_after(world, "answer", lambda item, _data: item == boot)
    run = be_killed(world, change)
    world.cluster.timeline.advance(3600)
    back = next(g for g in world.cluster.guests.values() if g.node != node and g.is_running)
    back.node = node
    before = len(world.effects())
    receipt = resume_run(join_world(tmp_path, world.seed, node="pve3").session, run)
    assert not [line for line in sent(world, before) if line.endswith(f"{node}/status")]
    assert back.is_running
    assert receipt.items[boot].status == "failed"
    assert "running: '' -> " in receipt.items[boot].message


def test_a_node_is_not_rebooted_when_a_guest_starts_there_at_the_last_moment(
    tmp_path: Path,
) -> None:
    """Without any interruption: Ceph's flag is waited for between the first look and the call."""
    world = make_world(tmp_path, seed="three-node-ceph")
    for guest in world.cluster.guests.values():
        if guest.node == "pve2":
            guest.node = "pve1"
    change = request_change(world.session, Ask("node.reboot", ("pve2",)))
    store = world.session.store
    write = store.write_entry

    def writing(run: str, item: int, kind: str, at: float, data: Any) -> None:
        write(run, item, kind, at, data)
        if kind == "answer":
            next(g for g in world.cluster.guests.values() if g.is_running).node = "pve2"

    store.write_entry = writing  # type: ignore[method-assign]
    receipt = agree(world, change)
    assert [entry["path"].rpartition("/")[2] for entry in world.effects()] == ["noout"]
    assert receipt.items[0].message.startswith("done before that: set noout; then node pve2 has")


def test_a_resumed_reboot_waits_while_another_node_is_down_and_then_goes_on(
    tmp_path: Path,
) -> None:
    world = make_world(tmp_path, seed="three-node-ceph")
    change = rolling(world)
    boot = boot_of(change)
    kill_after(world, "answer", lambda item, _data: item == boot)
    run = be_killed(world, change)
    assert change.proposal.plan is not None
    node = change.proposal.plan.items[boot].target.id
    other = next(name for name in ("pve3", "pve2") if name != node)
    power_off_node(world.cluster, world.cluster.nodes[other])
    third = next(name for name in world.cluster.nodes if name not in {node, other})
    before = len(world.effects())
    receipt = resume_run(join_world(tmp_path, world.seed, node=third).session, run)
    assert sent(world, before) == []
    assert "not gone on with, because of" in receipt.items[boot].message
    assert f"pve run resume {run}" in receipt.items[boot].hint


def test_what_was_changed_after_the_safety_backup_is_not_replaced(tmp_path: Path) -> None:
    world = make_world(tmp_path)
    volumes = world.cluster.storages.backings["backups", ""].volumes.values()
    volid = [volume for volume in volumes if volume.vmid == 102][-1].volid
    agree(world, request_change(world.session, Ask("guest.stop", ("web02",))))
    ask = Ask("backup.restore", (volid,), params={"replace": True})
    change = request_change(world.session, ask)
    kill_after(world, "task")
    run = be_killed(world, change)
    world.cluster.guests[102].config["description"] = "written since"
    world.cluster.timeline.advance(600)
    before = len(world.effects())
    receipt = resume_run(join_world(tmp_path, world.seed).session, run)
    assert sent(world, before) == []
    assert world.cluster.guests[102].config["description"] == "written since"
    assert "digest" in receipt.items[0].message


def drill_left_running(world: World, name: str) -> tuple[str, Any]:
    change = request_change(world.session, Ask("backup.drill", (name,)))
    assert change.proposal.plan is not None
    steps = change.proposal.plan.items[0].steps
    start = next(
        number
        for number, step in enumerate(steps)
        if isinstance(step, Call) and step.path.endswith("/status/start")
    )
    kill_after(world, "answer", lambda _item, data: data["step"] == start)
    run = be_killed(world, change)
    world.cluster.timeline.advance(600)
    return run, guest_of(world, f"drill-{name}")


@pytest.mark.parametrize("name", ["web02", "proxy"])
def test_a_guest_of_others_under_the_id_of_a_drill_is_left_alone(
    tmp_path: Path, name: str
) -> None:
    world = make_world(tmp_path)
    run, guest = drill_left_running(world, name)
    guest.config["name" if guest.kind == "qemu" else "hostname"] = "customer-db"
    before = len(world.effects())
    receipt = resume_run(join_world(tmp_path, world.seed).session, run)
    assert sent(world, before) == []
    assert guest.is_running
    assert "is another guest by now ('customer-db')" in receipt.items[0].message


def test_a_guest_of_the_same_name_with_another_uuid_is_left_alone(tmp_path: Path) -> None:
    world = make_world(tmp_path)
    run, guest = drill_left_running(world, "web02")
    guest.config["smbios1"] = "uuid=11111111-2222-4333-8444-555555555555"
    before = len(world.effects())
    receipt = resume_run(join_world(tmp_path, world.seed).session, run)
    assert sent(world, before) == []
    assert receipt.items[0].status == "failed"


def test_a_drill_that_was_cut_off_clears_its_own_guest_away(tmp_path: Path) -> None:
    world = make_world(tmp_path)
    run, guest = drill_left_running(world, "web02")
    resume_run(join_world(tmp_path, world.seed).session, run)
    assert guest.vmid not in world.cluster.guests


@pytest.mark.parametrize("ask", ["replace", "new", "drill"])
def test_a_backup_that_changed_since_the_plan_is_not_restored(tmp_path: Path, ask: str) -> None:
    world = make_world(tmp_path)
    volumes = world.cluster.storages.backings["backups", ""].volumes.values()
    mine = [volume for volume in volumes if volume.vmid == 102]
    if ask == "drill":
        change = request_change(world.session, Ask("backup.drill", ("web02",)))
    else:
        agree(world, request_change(world.session, Ask("guest.stop", ("web02",))))
        params: dict[str, Scalar] = {"replace": True} if ask == "replace" else {}
        restore = Ask("backup.restore", (mine[-1].volid,), params=params)
        change = request_change(world.session, restore)
    for volume in mine:
        volume.size_bytes //= 2
        volume.verification = "failed"
    before = len(world.effects())
    receipt = agree(world, change)
    assert sent(world, before) == []
    assert receipt.items[0].status == "not-executed"
    assert receipt.items[0].message.startswith("the backup has changed since the plan was made")


# -- what failed before ---------------------------------------------------------------


def test_nodes_stay_on_as_long_as_a_guest_did_not_go_down(tmp_path: Path) -> None:
    world = make_world(tmp_path, seed="three-node-ceph")
    stubborn = guest_of(world, "app02")
    stubborn.temper.shutdown_s = None
    change = request_change(world.session, Ask("cluster.shutdown-plan", params={"timeout": 20}))
    run = agree(world, change).run
    before = len(world.effects())
    receipt = resume_run(world.session, run)
    assert sent(world, before) == []
    held = next(item for item in receipt.items if item.target.kind == "node")
    assert "because of app02" in held.message
    assert "it is running" in held.message
    assert all(node.is_online for node in world.cluster.nodes.values())


def test_a_shutdown_goes_on_once_the_guest_is_down(tmp_path: Path) -> None:
    world = make_world(tmp_path, seed="three-node-ceph")
    stubborn = guest_of(world, "app02")
    stubborn.temper.shutdown_s = None
    ask = Ask("cluster.shutdown-plan", params={"timeout": 20, "guests_only": True})
    run = agree(world, request_change(world.session, ask)).run
    writer = world.session.make_writer()
    writer.write("POST", f"/nodes/{stubborn.node}/qemu/{stubborn.vmid}/status/stop", {})
    world.cluster.timeline.advance(30)
    resume_run(world.session, run)
    assert not [guest.name for guest in world.cluster.guests.values() if guest.is_running]


def test_a_node_with_its_old_kernel_keeps_the_next_one_from_being_rebooted(tmp_path: Path) -> None:
    world = make_world(tmp_path, seed="three-node-ceph")
    change = rolling(world)
    for node in world.cluster.nodes.values():
        node.installed_kernel = node.kernel
    run = agree(world, change).run
    before = len(world.effects())
    receipt = resume_run(world.session, run)
    assert sent(world, before) == []
    assert [i.status for i in receipt.items if i.target.kind == "node"].count("not-executed") == 2


# -- freeze, policy, and a person's last word -----------------------------------------


def test_a_freeze_that_comes_while_the_intent_is_written_still_stops_the_call(
    tmp_path: Path,
) -> None:
    world = make_world(tmp_path)
    change = request_change(world.session, Ask("guest.stop", ("web02",)))
    audit = world.session.audit
    append = audit.append

    def slow(kind: str, facts: Any) -> Any:
        if kind == "intent":
            world.session.freeze_file.write_text("now")
        return append(kind, facts)

    audit.append = slow  # type: ignore[method-assign]
    receipt = agree(world, change)
    assert world.writes() == []
    assert (receipt.status, receipt.items[0].error) == ("not-executed", "E_FROZEN")
    assert audit.verify().is_whole


def frozen_on_the_way(world: World) -> Receipt:
    change = request_change(world.session, Ask("node.evacuate", ("pve2",), params=STUCK))
    store = world.session.store
    write = store.write_entry

    def writing(run: str, item: int, kind: str, at: float, data: Any) -> None:
        write(run, item, kind, at, data)
        if kind == "task":
            world.session.freeze_file.write_text("now")

    store.write_entry = writing  # type: ignore[method-assign]
    receipt = agree(world, change)
    store.write_entry = write  # type: ignore[method-assign]
    return receipt


def test_what_met_a_freeze_is_gone_on_with_once_it_is_lifted(tmp_path: Path) -> None:
    world = make_world(tmp_path)
    first = frozen_on_the_way(world)
    assert first.status == "partial"
    before = len(world.effects())
    claimed: list[str] = []
    with pytest.raises(FrozenError):
        resume_run(world.session, first.run, claimed.append)
    assert sent(world, before) == []
    assert claimed == []
    world.session.freeze_file.unlink()
    again = resume_run(world.session, first.run, claimed.append)
    assert claimed == [first.run]
    assert {item.status for item in again.items} == {"done"}


def test_after_a_freeze_the_next_step_is_to_resume(tmp_path: Path) -> None:
    world = make_world(tmp_path)
    first = frozen_on_the_way(world)
    world.session.freeze_file.unlink()
    store = world.session.store
    row = store.get_run(first.run)
    plan = decode_plan(store.get_plan(row.plan).json)
    rows = explain_run(row.id, plan, Progress(read_receipt(row), store.read_entries(row.id)))
    left = [row for row in rows if row.status != "done"]
    assert left
    assert {row.status for row in left} == {"not begun"}
    assert {row.steps for row in left} == {(f"pve run resume {first.run}",)}
    shown = run_line(world, tmp_path, f"pve run show {first.run} --json").json
    assert not [line for line in shown["next"] if "unfreeze" in line]


def test_a_policy_that_denies_it_by_now_holds_for_what_is_left_too(tmp_path: Path) -> None:
    world = make_world(tmp_path)
    first = frozen_on_the_way(world)
    world.session.freeze_file.unlink()
    strict = join_world(tmp_path, world.seed, policy=Policy(operations={"node.evacuate": "deny"}))
    before = len(world.effects())
    with pytest.raises(PolicyRefusedError, match="denies it by now"):
        resume_run(strict.session, first.run)
    assert sent(world, before) == []


def test_what_a_person_has_closed_is_not_gone_on_with(tmp_path: Path) -> None:
    world = make_world(tmp_path)
    first = frozen_on_the_way(world)
    world.session.freeze_file.unlink()
    close_run(world.session, first.run)
    before = len(world.effects())
    with pytest.raises(ConflictError, match="closed by a person"):
        resume_run(world.session, first.run)
    assert sent(world, before) == []
    shown = run_line(world, tmp_path, f"pve run show {first.run}").out
    assert "a person has closed it" in shown
    explained = run_line(world, tmp_path, f"pve run explain {first.run}").out
    assert "run resume" not in explained


def test_an_abandoned_run_can_be_withdrawn(tmp_path: Path) -> None:
    world, run = left_clone(tmp_path)
    assert close_run(world.session, run) == 1
    assert world.session.store.get_run(run).state == "closed"
    told = run_line(world, tmp_path, f"pve run wait {run}")
    assert told.code == 11
    assert "closed by a person" in told.out


# -- who is at it ---------------------------------------------------------------------


def test_a_run_is_resumed_when_the_host_has_another_name_by_then(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The container is gone; its successor has the same files and another name."""
    world = make_world(tmp_path)
    change = request_change(world.session, Ask("guest.stop", ("web02",)))
    kill_after(world, "answer")
    run = be_killed(world, change)
    monkeypatch.setattr(socket, "gethostname", lambda: "f00ba4c0ffee")
    world.cluster.timeline.advance(600)
    assert resume_run(join_world(tmp_path, world.seed).session, run).status == "done"


def test_a_run_that_is_held_is_carried_whatever_the_host_is_called(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    world, run = left_clone(tmp_path)
    store = world.session.store
    monkeypatch.setattr(socket, "gethostname", lambda: "f00ba4c0ffee")
    with hold_run(store.folder, run) as is_ours:
        assert is_ours
        assert is_carried(store.folder, store.get_run(run)) is True
        with pytest.raises(ConflictError, match="being carried out"):
            resume_run(world.session, run)
        with pytest.raises(ConflictError, match="being carried out"):
            close_run(world.session, run)


def test_a_run_of_a_host_that_cannot_be_seen_is_not_waited_for_and_can_be_closed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run that an earlier version began has left no file to hold."""
    world, run = left_clone(tmp_path)
    (tmp_path / "runs" / f"{run}.lock").unlink()
    monkeypatch.setattr(socket, "gethostname", lambda: "f00ba4c0ffee")
    with pytest.raises(ConflictError, match="cannot be seen from this host"):
        resume_run(world.session, run)
    now = world.cluster.timeline.now()
    told = run_line(world, tmp_path, f"pve run wait {run} --wait 300")
    assert world.cluster.timeline.now() - now < 5
    assert f"pve run close {run}" in told.out
    assert close_run(world.session, run) == 1


def test_of_two_that_resume_an_ended_run_the_slower_one_is_refused(tmp_path: Path) -> None:
    world = make_world(tmp_path)
    first = frozen_on_the_way(world)
    world.session.freeze_file.unlink()
    store = world.session.store
    stale = store.get_run(first.run)
    store.reopen_run(stale, ())
    heir = stale._replace(state="running")
    assert store.adopt_run(heir, heir._replace(pid=1, pid_started="another"))
    store.end_run(first.run, b"", 0.0, keep_locks=False)
    assert store.reopen_run(stale, ()) == "run"
    assert store.get_run(first.run).state == "ended"


# -- what is told ---------------------------------------------------------------------


def test_explain_and_wait_tell_the_same_of_a_run_at_work(tmp_path: Path) -> None:
    world = make_world(tmp_path)
    first = frozen_on_the_way(world)
    store = world.session.store
    row = store.get_run(first.run)
    plan = decode_plan(store.get_plan(row.plan).json)
    progress = Progress(None, store.read_entries(row.id), is_at_work=True)
    rows = explain_run(row.id, plan, progress)
    through = {row.id for row in rows if row.status == "done"}
    assert through == {i.target.id for i in first.items if i.status == "done"}


def test_a_list_that_is_cut_says_so(tmp_path: Path) -> None:
    world = make_world(tmp_path, seed="three-node-ceph")
    ask = Ask("cluster.shutdown-plan", params={"guests_only": True})
    change = request_change(world.session, ask)
    assert change.proposal.plan is not None
    more = len(change.proposal.plan.items) - 8
    assert more > 0
    plans = run_line(world, tmp_path, "pve plan list --json").json
    assert plans["data"]["items"][0]["targets"].endswith(f" and {more} more")
