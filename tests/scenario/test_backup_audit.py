"""Who has no recent backup, and why: from an operator's question to the answer."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from pveops.sim.membership import power_off_node
from pveops.sim.seeds.furniture import add_backup, add_past_task
from tests.commandline import run_line
from tests.scenario.test_backups import backups_of, guest_of
from tests.world import World, make_world

DAY_S = 86_400


def audit(world: World, folder: Path, words: str = "") -> dict[int, dict[str, Any]]:
    """The rows by vmid."""
    outcome = run_line(world, folder, f"pve backup audit {words} --json")
    assert outcome.code == 0, outcome.out
    return {row["vmid"]: row for row in outcome.json["data"]["items"]}


def why(world: World, folder: Path, words: str = "") -> dict[str, Any]:
    outcome = run_line(world, folder, f"pve backup why {words} --json")
    assert outcome.code == 0, outcome.out
    return outcome.json


def test_which_vms_have_no_backup_newer_than_two_days(tmp_path: Path) -> None:
    """The story of the homelab: four have none, `gitlab` missed two nights."""
    world = make_world(tmp_path)
    rows = audit(world, tmp_path, "--older-than 2d")
    by_state: dict[str, list[str]] = {}
    for row in rows.values():
        by_state.setdefault(row["state"], []).append(row["name"])
    assert sorted(by_state["none"]) == ["debian-13-template", "scratch", "test", "web01"]
    assert by_state["old"] == ["gitlab"]
    assert len(by_state["ok"]) == 27
    assert rows[101]["coverage"] == "none"
    assert rows[105]["jobs"] == ["nightly"]
    assert rows[105]["last"] == "timeout"
    assert rows[106]["last"] == "ok"
    assert rows[900]["is_template"]
    assert world.writes() == []


def test_the_worst_come_first_and_the_way_out_is_named(tmp_path: Path) -> None:
    out = run_line(make_world(tmp_path), tmp_path, "pve backup audit --bad").out
    assert out.startswith("32 guests: 27 ok, 1 too old, 4 without any")
    assert "next: pve backup run 101 122 211 105" in out
    assert "nextcloud" not in out


def test_the_guests_that_are_ok_are_counted_unless_they_are_asked_for(tmp_path: Path) -> None:
    world = make_world(tmp_path)
    out = run_line(world, tmp_path, "pve backup audit").out
    assert "not listed: 27 that are ok; all: pve backup audit --full" in out
    assert "nextcloud" not in out
    for line in ("pve backup audit --full", "pve backup audit nextcloud"):
        assert "nextcloud" in run_line(world, tmp_path, line).out


def test_a_list_that_is_cut_tells_what_was_not_seen_still(tmp_path: Path) -> None:
    world = make_world(tmp_path)
    power_off_node(world.cluster, world.cluster.nodes["pve3"])
    line = "pve backup audit --limit 2 --fields vmid,state --json"
    envelope = run_line(world, tmp_path, line).json
    assert envelope["truncated"] == {"shown": 2, "total": 32}
    assert envelope["data"]["items"][0].keys() == {"vmid", "state"}
    assert envelope["data"]["unknown"] == ["local on pve3"]


def test_a_dead_storage_makes_it_unknown_and_never_none(tmp_path: Path) -> None:
    world = make_world(tmp_path)
    world.cluster.storages.backings["backups", ""].is_online = False
    rows = audit(world, tmp_path)
    assert {row["state"] for row in rows.values()} == {"unknown"}
    assert rows[101]["why"] == ["backups"]
    assert rows[105]["idle_jobs"] == ["nightly (backups does not answer on pve2)"]
    out = run_line(world, tmp_path, "pve backup audit").out
    assert "32 unknown; not seen: backups" in out


def test_a_storage_that_is_switched_off_may_hold_backups(tmp_path: Path) -> None:
    world = make_world(tmp_path)
    world.cluster.storages.definitions["backups"].options["disable"] = 1
    rows = audit(world, tmp_path, "web01 web02")
    assert {row["state"] for row in rows.values()} == {"unknown"}
    assert rows[101]["why"] == ["backups (disabled, or on no node)"]


def test_one_node_that_does_not_mount_a_shared_storage_hides_nothing(tmp_path: Path) -> None:
    world = make_world(tmp_path)
    world.cluster.faults.add("refuse", path="/nodes/pve1/storage/backups/", times=0)
    assert audit(world, tmp_path, "web02")[102]["state"] == "ok"


def test_a_dead_node_leaves_its_own_storage_and_guests_in_doubt(tmp_path: Path) -> None:
    world = make_world(tmp_path)
    power_off_node(world.cluster, world.cluster.nodes["pve3"])
    rows = audit(world, tmp_path)
    assert rows[101]["state"] == "unknown"
    assert rows[101]["why"] == ["local on pve3"]
    assert rows[102]["state"] == "ok"
    assert rows[113]["state"] == "unknown"
    assert "cannot be read" in rows[113]["why"][0]


def test_a_node_that_dies_while_it_is_asked_leaves_its_guests_in_doubt(tmp_path: Path) -> None:
    world = make_world(tmp_path)
    world.cluster.faults.add(
        "refuse", path="/nodes/pve3/", status=595, reason="No route", after=4, times=0
    )
    rows = audit(world, tmp_path)
    on_it = {row["state"] for row in rows.values() if row["node"] == "pve3"}
    assert "unknown" in on_it
    assert rows[102]["state"] == "ok"
    for row in rows.values():
        if row["state"] == "unknown":
            assert row["why"]


def test_backups_of_an_earlier_guest_with_the_id_do_not_count(tmp_path: Path) -> None:
    world = make_world(tmp_path)
    guest = guest_of(world, "web02")
    guest.config["meta"] = f"creation-qemu=10.0.13,ctime={int(world.cluster.timeline.now()) - 600}"
    row = audit(world, tmp_path, "web02")[102]
    assert (row["state"], row["strangers"]) == ("none", 3)


def test_a_backup_that_failed_its_verification_is_none(tmp_path: Path) -> None:
    world = make_world(tmp_path)
    for volume in backups_of(world, 102):
        volume.verification = "failed"
    row = audit(world, tmp_path, "web02")[102]
    assert (row["state"], row["broken"]) == ("none", 3)


def test_without_a_right_to_the_backups_their_age_is_seen_still(tmp_path: Path) -> None:
    """The dry run of pruning shows all of them (Storage/PruneBackups.pm)."""
    world = make_world(tmp_path)
    roles = world.cluster.access.roles
    roles["AgentOperate"] -= {"VM.Backup", "Datastore.Allocate", "Datastore.AllocateSpace"}
    row = audit(world, tmp_path, "web02")[102]
    assert row["state"] == "ok"
    assert row["size_bytes"] is None


def test_storages_that_the_token_cannot_see_make_it_unknown(tmp_path: Path) -> None:
    world = make_world(tmp_path)
    roles = world.cluster.access.roles
    roles["AgentOperate"] -= {"Datastore.Audit", "Sys.Audit"}
    rows = audit(world, tmp_path)
    assert {row["state"] for row in rows.values()} == {"unknown"}
    assert rows[101]["jobs"] is None
    out = run_line(world, tmp_path, "pve backup audit").out
    assert "jobs cannot be read" in out


def test_a_disabled_job_is_no_coverage(tmp_path: Path) -> None:
    """GET /cluster/backup-info/not-backed-up would count it (API2/BackupInfo.pm)."""
    world = make_world(tmp_path)
    world.cluster.backup_jobs["nightly"]["enabled"] = 0
    row = audit(world, tmp_path, "web02")[102]
    assert (row["jobs"], row["idle_jobs"]) == ([], ["nightly (disabled)"])


def test_disks_that_no_backup_takes_are_named(tmp_path: Path) -> None:
    world = make_world(tmp_path)
    guest_of(world, "web02").config["scsi1"] = "local-lvm:vm-102-disk-9,backup=0,size=1G"
    row = audit(world, tmp_path, "web02")[102]
    assert row["left_out"] == ["scsi1"]
    assert "without scsi1" in row["remarks"]


# -- why --------------------------------------------------------------------------------


def test_why_did_last_nights_backup_fail(tmp_path: Path) -> None:
    world = make_world(tmp_path)
    answer = why(world, tmp_path)
    (failure,) = answer["data"]["items"]
    assert (failure["vmid"], failure["name"], failure["node"]) == (105, "gitlab", "pve2")
    assert (failure["cause"], failure["covered"]) == ("timeout", "no")
    assert answer["data"]["untrusted"]["lines"] == [
        "105: ERROR: Backup of VM 105 failed - VM 105 qmp command 'query-backup' failed - got "
        "timeout"
    ]
    assert any(command.startswith("pve backup run 105") for command in answer["next"])
    assert world.writes() == []


def test_a_backup_that_was_made_since_settles_it(tmp_path: Path) -> None:
    world = make_world(tmp_path)
    add_backup(world.cluster, "backups", guest_of(world, "gitlab"), 0.05, 1.5)
    answer = why(world, tmp_path)
    assert answer["data"]["items"][0]["covered"] == "yes"
    assert not any(command.startswith("pve backup run") for command in answer.get("next", ()))


def test_with_a_dead_storage_nobody_knows_whether_it_is_settled(tmp_path: Path) -> None:
    world = make_world(tmp_path)
    world.cluster.storages.backings["backups", ""].is_online = False
    assert why(world, tmp_path)["data"]["items"][0]["covered"] == "unknown"


def test_a_later_try_that_went_well_counts(tmp_path: Path) -> None:
    world = make_world(tmp_path)
    add_past_task(world.cluster.nodes["pve2"], "vzdump", 105, hours_ago=1, lasted_s=60)
    add_backup(world.cluster, "backups", guest_of(world, "gitlab"), 1 / 24, 1.5)
    outcome = run_line(world, tmp_path, "pve backup why")
    assert outcome.out.startswith("0 guests missed in 4 runs of 1d")
    assert "1 of them at a later try" in outcome.out


def test_a_run_that_failed_as_a_whole_is_told(tmp_path: Path) -> None:
    """As recorded for a storage that does not exist: no line about any guest."""
    world = make_world(tmp_path)
    text = "could not activate storage 'vault': storage 'vault' is not online"
    add_past_task(world.cluster.nodes["pve3"], "vzdump", "", hours_ago=2, lasted_s=3, error=text)
    failures = why(world, tmp_path)["data"]["items"]
    assert [(each["vmid"], each["cause"]) for each in failures if each["vmid"] is None] == [
        (None, "storage")
    ]


def test_a_log_that_cannot_be_read_leaves_the_run_s_own_word(tmp_path: Path) -> None:
    world = make_world(tmp_path)
    world.cluster.faults.add("refuse", path=r"/tasks/.*/log", status=595, reason="No", times=0)
    data = why(world, tmp_path)["data"]
    assert "pve1 does not show the logs of 1 runs" in data["unknown"]
    (failure,) = data["items"]
    assert (failure["vmid"], failure["node"], failure["cause"]) == (None, "pve2", "other")


def test_a_worker_that_vanished_is_an_interruption(tmp_path: Path) -> None:
    world = make_world(tmp_path)
    task = add_past_task(
        world.cluster.nodes["pve1"],
        "vzdump",
        "",
        hours_ago=2,
        lasted_s=3,
        log=("INFO: Starting Backup of VM 102 (qemu)",),
    )
    task.exitstatus = "unexpected status"
    task.log_lines.pop()
    failures = {each["vmid"]: each for each in why(world, tmp_path)["data"]["items"]}
    assert failures[102]["cause"] == "interrupted"
    assert failures[102]["covered"] == "no"


@pytest.mark.parametrize("what", ["dead", "hidden"])
def test_a_node_that_tells_nothing_is_named(what: str, tmp_path: Path) -> None:
    world = make_world(tmp_path)
    if what == "dead":
        power_off_node(world.cluster, world.cluster.nodes["pve2"])
    else:
        world.cluster.access.roles["AgentOperate"] -= {"Sys.Audit"}
    unknown = why(world, tmp_path)["data"]["unknown"]
    told = "pve2 does not answer" if what == "dead" else "pve2 shows our own tasks only"
    assert told in unknown


def test_a_real_failure_of_the_simulated_vzdump_is_understood(tmp_path: Path) -> None:
    world = make_world(tmp_path)
    backing = world.cluster.storages.backings["backups", ""]
    writer = world.session.make_writer()
    writer.write("POST", "/nodes/pve1/vzdump", {"vmid": 102, "storage": "backups", "remove": 0})
    backing.used_elsewhere_bytes = backing.total_bytes
    world.cluster.timeline.advance(3600)
    failures = {each["vmid"]: each for each in why(world, tmp_path)["data"]["items"]}
    assert failures[102]["cause"] == "space"
