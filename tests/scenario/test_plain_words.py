"""What an operator reads: true at first sight, and it leads somewhere."""

from __future__ import annotations

import io
import json
import re
from pathlib import Path

import pytest

from pveops.cli.changes import answer_of_receipt
from pveops.cli.failure import INTERRUPTED, answer_of
from pveops.cli.process import run_call
from pveops.clock import VirtualClock
from pveops.engine.apply import apply_plan
from pveops.engine.approve import Consent
from pveops.engine.card import render_card
from pveops.engine.change import request_change
from pveops.engine.request import Ask
from pveops.errors import ConflictError, ParameterError
from pveops.sim.membership import power_off_node
from tests.commandline import call_of, run_line
from tests.fault.test_matrix import KilledError, kill_at
from tests.scenario.test_configuration import agree, ask, guest_of, plan_of
from tests.scenario.test_deletion import delete
from tests.world import World, make_world

# -- what was done -------------------------------------------------------------------


def test_a_prune_tells_what_went_and_not_that_the_guest_is_gone(tmp_path: Path) -> None:
    world = make_world(tmp_path)
    change = ask(world, "backup.prune", "web02", keep_last=1)
    oldest, middle = (loss.split()[0] for loss in plan_of(change).items[0].losses)
    told = answer_of_receipt(agree(world, change)).verdict
    assert told == f"done: web02 (VM 102 on pve1): 2 backups deleted: {oldest}, {middle}"


def test_a_prune_of_snapshots_names_each(tmp_path: Path) -> None:
    world = make_world(tmp_path)
    for name in ("one", "two", "three"):
        ask(world, "snapshot.create", "web02", snapname=name)
        world.cluster.timeline.advance(3600)
    told = answer_of_receipt(agree(world, ask(world, "snapshot.prune", "web02", keep_last=1)))
    assert told.verdict == "done: web02 (VM 102 on pve1): 2 snapshots deleted: one, two"


def test_a_rollback_tells_each_state_once(tmp_path: Path) -> None:
    world = make_world(tmp_path)
    ask(world, "snapshot.create", "dns02", snapname="before")
    told = answer_of_receipt(
        agree(world, ask(world, "snapshot.rollback", "dns02", snapname="before"))
    )
    assert told.verdict == "done: dns02 (CT 202 on pve3) is rolled back to before, stopped"


def test_a_grown_disk_is_what_the_guest_has(tmp_path: Path) -> None:
    world = make_world(tmp_path)
    told = answer_of_receipt(
        agree(world, ask(world, "disk.grow", "web02", disk="scsi0", to="40G"))
    )
    assert told.verdict.startswith("done: web02 (VM 102 on pve1) is with scsi0 of 40G")


def test_what_cloud_init_tells_a_running_vm_waits_and_the_answer_says_so(tmp_path: Path) -> None:
    world = make_world(tmp_path)
    running = ask(world, "guest.set", "web02", option="ipconfig0=ip=dhcp")
    waits = "waits for a full stop and start: ipconfig0"
    assert waits in agree(world, running).items[0].message
    stopped = ask(world, "guest.set", "windows-lab", option="ipconfig0=ip=dhcp")
    assert waits not in agree(world, stopped).items[0].message


def test_a_cluster_that_was_not_shut_down_is_called_once(tmp_path: Path) -> None:
    out = run_line(make_world(tmp_path), tmp_path, "pve cluster bring-back").out
    assert out.startswith("already so: the cluster is as it was: ")


# -- what is refused -------------------------------------------------------------------


def test_a_trial_that_is_at_work_is_waited_for_and_not_deleted(tmp_path: Path) -> None:
    world = make_world(tmp_path)
    first = ask(world, "backup.drill", "web02")
    kill_at(world, 4, before=True)
    with pytest.raises(KilledError):
        apply_plan(world.session, first.plan_id, Consent("code", world.code))
    run = world.session.store.list_runs()[0].id
    assert guest_of(world, "drill-web02")
    with pytest.raises(ConflictError, match=f"{run} is at work on drill-web02") as caught:
        ask(world, "backup.drill", "web02")
    assert f"pve run wait {run}" in caught.value.hint
    assert "delete" not in caught.value.hint


@pytest.mark.parametrize(
    ("line", "what", "known"),
    [
        ("guest list --node pve7", "there is no node 'pve7'", "pve1, pve2, pve3"),
        ("guest list --pool nope", "there is no pool 'nope'", "production, sandbox"),
        ("guest stop --node pve7", "there is no node 'pve7'", "pve1, pve2, pve3"),
        ("storage list --node pve7", "there is no node 'pve7'", "pve1, pve2, pve3"),
        ("storage content local --node pve7", "there is no node 'pve7'", "pve1, pve2, pve3"),
        ("backup list --storage backpus", "there is no storage 'backpus'", "backups, fast"),
        ("backup run web02 --storage backpus", "there is no storage 'backpus'", "backups, fast"),
        ("disk move web02 scsi0 nope", "there is no storage 'nope'", "backups, fast"),
    ],
)
def test_an_unknown_name_is_not_found_and_the_known_ones_are_told(
    line: str, what: str, known: str, tmp_path: Path
) -> None:
    outcome = run_line(make_world(tmp_path), tmp_path, f"pve {line}")
    assert outcome.code == 5, outcome.out
    assert what in outcome.out
    assert known in outcome.out


@pytest.mark.parametrize(
    "option", ["net0=bridg=vmbr0", "ipconfig0=ip=10.0.0.9", "ipconfig0=gw=10.0.0.1"]
)
def test_a_value_that_pve_would_refuse_is_refused_before_anybody_agrees(
    option: str, tmp_path: Path
) -> None:
    world = make_world(tmp_path)
    with pytest.raises(ParameterError, match=option.partition("=")[0]):
        ask(world, "guest.set", "web02", option=option)
    assert world.session.store.list_plans() == ()
    assert world.messages == []


def test_a_disk_in_use_is_not_called_left_over_as_well(tmp_path: Path) -> None:
    out = run_line(
        make_world(tmp_path), tmp_path, "pve storage delete local-lvm:vm-101-disk-0"
    ).out
    assert "web01 (101) uses it: scsi0" in out
    assert "left over" not in out


def test_a_refusal_says_its_reason_once_and_no_id_that_nobody_has(tmp_path: Path) -> None:
    out = run_line(make_world(tmp_path), tmp_path, "pve guest clone 900 --name web02").out
    assert out.startswith("error E_PREFLIGHT: web02: ")
    assert out.count("there is a guest called web02 already") == 1


def test_evidence_is_told_beside_a_reason_that_the_first_line_has(tmp_path: Path) -> None:
    out = run_line(make_world(tmp_path), tmp_path, "pve guest shutdown gitlab").out
    assert out.count("it is locked (backup)") == 1
    assert "\nevidence: no running task of this guest is visible" in out


def test_one_reason_for_many_guests_is_one_line(tmp_path: Path) -> None:
    out = run_line(make_world(tmp_path), tmp_path, "pve cluster rolling-reboot").out
    lines = [line for line in out.splitlines() if "containers cannot move" in line]
    assert [line.split()[0] for line in lines] == ["error", "problem"]
    assert "ct/201, ct/205, " in lines[1]
    assert "`pve guest shutdown GUEST`" in lines[1]


def test_what_ha_does_not_manage_is_put_under_ha_first(tmp_path: Path) -> None:
    out = run_line(make_world(tmp_path), tmp_path, "pve ha set-state web02 stopped").out
    assert out.splitlines()[-1] == "next: pve ha add 102"


def test_a_command_that_no_policy_lists_is_refused_for_that_first(tmp_path: Path) -> None:
    out = run_line(make_world(tmp_path), tmp_path, "pve guest exec db01 -- ls").out
    reason = out.partition("to agent:root: ")[2]
    assert reason.startswith("the policy lists no such command for db01")


def test_nothing_has_changed_when_somebody_breaks_off_before_a_run(tmp_path: Path) -> None:
    call = call_of(make_world(tmp_path), tmp_path)
    told = answer_of(call, KeyboardInterrupt())
    assert (told.verdict, told.code) == ("interrupted; nothing was changed", INTERRUPTED)
    call.claimed_run = "run_1"
    told = answer_of(call, KeyboardInterrupt())
    assert "run_1 is not finished, and what PVE has begun goes on" in told.verdict


# -- the trash ---------------------------------------------------------------------------


def test_the_trash_shows_a_guest_as_its_node_has_it(tmp_path: Path) -> None:
    """The list of /cluster/resources is some ten seconds behind."""
    world = make_world(tmp_path)
    run_line(world, tmp_path, "pve guest list")
    delete(world, "cache01", without_backup=True)
    assert "running" in run_line(world, tmp_path, "pve guest list --name cache01").out
    listed = run_line(world, tmp_path, "pve guest trash list --json").json
    assert [item["status"] for item in listed["data"]["items"]] == ["stopped"]


def test_starting_a_guest_of_the_trash_says_where_it_is(tmp_path: Path) -> None:
    world = make_world(tmp_path)
    delete(world, "windows-lab", without_backup=True)
    out = run_line(world, tmp_path, "pve guest start 901").out
    assert "it is in the trash" in out
    assert "pve guest undelete 901" in out


def test_undelete_with_a_start_leads_on_when_it_is_out_already(tmp_path: Path) -> None:
    out = run_line(make_world(tmp_path), tmp_path, "pve guest undelete windows-lab --start").out
    assert "not in the trash, but stopped (`pve guest start 901`)" in out


# -- plans -------------------------------------------------------------------------------


def card_of(world: World, operation: str, guest: str, **params: str) -> str:
    plan = plan_of(ask(world, operation, guest, **params))
    return render_card(plan, "pl_1", plan.created)


def test_that_nothing_takes_it_back_is_said_where_something_is_lost(tmp_path: Path) -> None:
    world = make_world(tmp_path)
    assert "undo:" not in card_of(world, "guest.reboot", "web02")
    assert "undo: nothing takes it back" in card_of(world, "guest.reset", "web02")
    assert "undo: nothing takes it back" in card_of(
        world, "disk.grow", "web02", disk="scsi0", to="40G"
    )


def test_a_node_that_is_emptied_first_is_not_called_empty(tmp_path: Path) -> None:
    world = make_world(tmp_path, seed="three-node-ceph")
    change = request_change(world.session, Ask("cluster.shutdown-plan"))
    nodes = [item for item in plan_of(change).items if item.target.kind == "node"]
    assert nodes
    assert all("EMPTY BY THEN" in item.headline for item in nodes)


# -- what is wrong -------------------------------------------------------------------------


def test_a_full_storage_leads_to_what_lies_on_it(tmp_path: Path) -> None:
    out = run_line(make_world(tmp_path), tmp_path, "pve status").out
    assert "fast on pve2 is 100% full, 0 B free -> pve storage content fast --node pve2" in out


def test_a_node_that_is_not_online_leads_somewhere(tmp_path: Path) -> None:
    world = make_world(tmp_path)
    power_off_node(world.cluster, world.cluster.nodes["pve3"])
    world.cluster.timeline.advance(60)
    out = run_line(world, tmp_path, "pve status").out
    assert re.search(r"problem node/pve3: .* -> look at its power and network", out)


def test_an_alert_has_no_age_that_stands_still_and_one_name_for_how_bad_it_is(
    tmp_path: Path,
) -> None:
    world = make_world(tmp_path)
    for _ in range(2):
        looked = run_line(world, tmp_path, "pve monitor run").out
        world.cluster.timeline.advance(90)
    assert not re.search(r"\d+[smhd] ago", looked)
    listed = run_line(world, tmp_path, "pve monitor status").out
    words = {line.split("\t")[1] for line in listed.splitlines() if line.startswith("al_")}
    assert words <= {"PROBLEM", "warning", "note"}
    assert words
    as_json = run_line(world, tmp_path, "pve monitor status --json").json
    assert {each["severity"] for each in as_json["data"]["items"]} <= {"block", "warn", "info"}


# -- the simulated cluster -----------------------------------------------------------------


class _Writing:
    """A clock with which a file appears after a second of waiting."""

    def __init__(self, file: Path, text: str) -> None:
        self._clock, self._file, self._text = VirtualClock(), file, text

    def now(self) -> float:
        return self._clock.now()

    def monotonic(self) -> float:
        return self._clock.monotonic()

    def sleep(self, seconds: float) -> None:
        self._clock.sleep(seconds)
        if self.monotonic() > 1.0:
            self._file.write_text(self._text)


def test_demo_use_waits_for_a_server_that_is_still_starting(tmp_path: Path) -> None:
    world = make_world(tmp_path)
    ready, stdout, stderr = tmp_path / "ready.json", io.StringIO(), io.StringIO()
    token = {"id": "", "secret": ""}
    text = json.dumps({"ca_pem": "", "endpoints": [], "token": token, "reader": token})
    call = call_of(world, tmp_path, f"pve demo use {ready}", stdout=stdout, stderr=stderr)
    call.clock = _Writing(ready, text)
    run_call(call)
    assert stderr.getvalue() == f"waiting up to 15 s for {ready}\n"
    assert "this seed has no token" in stdout.getvalue()


def test_demo_use_gives_up_on_a_file_that_never_comes(tmp_path: Path) -> None:
    world = make_world(tmp_path)
    outcome = run_line(world, tmp_path, f"pve demo use {tmp_path / 'none.json'}")
    assert outcome.code == 7
    assert "next: pve demo serve --ready-file FILE" in outcome.out
