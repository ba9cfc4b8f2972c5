"""Backups, from an operator's words to the end state of the simulated cluster."""

from __future__ import annotations

import itertools
import re
from pathlib import Path
from typing import Any

import pytest

from pveops.cli.run_progress import describe_progress, list_progress
from pveops.domain.selection import Selector
from pveops.engine.apply import apply_plan, resume_run
from pveops.engine.approve import Consent
from pveops.engine.change import Change, request_change
from pveops.engine.outcome import Receipt
from pveops.engine.request import Ask
from pveops.errors import (
    AmbiguousError,
    BusyError,
    LockedError,
    NodeUnreachableError,
    NotFoundError,
    PreflightError,
    PveopsError,
    UsageError,
)
from pveops.operations.plan import Plan, Scalar
from pveops.sim.guest import Guest
from pveops.sim.seeds.furniture import add_backup, add_storage
from pveops.sim.volume import Volume
from tests.commandline import call_of, run_line
from tests.fault.test_matrix import KilledError, kill_at
from tests.world import World, join_world, make_world

DAY_S = 86_400


def ask(world: World, verb: str, *names: str, reason: str = "", **params: Scalar) -> Change:
    return request_change(
        world.session, Ask(f"backup.{verb}", names, params=params, reason=reason)
    )


def agree(world: World, change: Change) -> Receipt:
    assert change.receipt is None
    return apply_plan(world.session, change.plan_id, Consent("code", world.code))


def done(change: Change) -> Receipt:
    assert change.receipt is not None
    assert change.receipt.status == "done", change.receipt
    return change.receipt


def plan_of(change: Change) -> Plan:
    assert change.proposal.plan is not None
    return change.proposal.plan


def guest_of(world: World, name: str) -> Guest:
    return next(guest for guest in world.cluster.guests.values() if guest.name == name)


def backups_of(world: World, vmid: int) -> list[Volume]:
    found = [
        volume
        for backing in world.cluster.storages.backings.values()
        for volume in backing.volumes.values()
        if volume.content == "backup" and volume.vmid == vmid
    ]
    return sorted(found, key=lambda volume: volume.ctime)


def vzdumps(world: World) -> list[dict[str, Any]]:
    return [entry for entry in world.effects() if entry["path"].endswith("/vzdump")]


# -- making them ------------------------------------------------------------------


def test_a_backup_is_made_at_once_with_the_reason_in_its_notes(tmp_path: Path) -> None:
    world = make_world(tmp_path)
    before = backups_of(world, 102)
    receipt = done(ask(world, "run", "web02", reason="before the kernel update"))
    (new,) = [each for each in backups_of(world, 102) if each not in before]
    assert new.notes == "web02: before the kernel update (pveops)"
    assert not new.is_protected
    assert new.volid in receipt.items[0].message
    assert guest_of(world, "web02").lock == ""


@pytest.mark.parametrize("reason", [r"a\b \n c", "{{node}} and {{x}}", "ends with \\"])
def test_no_reason_can_write_anything_but_itself(reason: str, tmp_path: Path) -> None:
    r"""PVE expands `{{...}}`, `\n` and `\\` in the template (VZDump.pm, generate_notes)."""
    world = make_world(tmp_path)
    done(ask(world, "run", "web02", reason=reason))
    expected = f"web02: {reason.replace('{{', '{ {')} (pveops)"
    assert backups_of(world, 102)[-1].notes == expected


def test_a_backup_never_prunes(tmp_path: Path) -> None:
    """PVE's default is `remove=1`, with the retention of the storage (API2/VZDump.pm)."""
    world = make_world(tmp_path)
    world.cluster.storages.definitions["backups"].options["prune-backups"] = "keep-last=9"
    done(ask(world, "run", "web02"))
    assert len(backups_of(world, 102)) == 4


def test_a_storage_that_would_have_to_prune_is_refused_before(tmp_path: Path) -> None:
    """`There is a max backup limit of 3 enforced by the target storage` (VZDump.pm)."""
    world = make_world(tmp_path)
    world.cluster.storages.definitions["backups"].options["prune-backups"] = "keep-last=3"
    with pytest.raises(PreflightError, match="keeps 3 backups of a guest"):
        ask(world, "run", "web02", storage="backups")
    assert world.writes() == []
    receipt = done(ask(world, "run", "web02", storage="backups", protected=True))
    assert backups_of(world, 102)[-1].is_protected, receipt


def test_protected_ones_have_a_limit_of_their_own(tmp_path: Path) -> None:
    world = make_world(tmp_path)
    world.cluster.storages.definitions["backups"].options["max-protected-backups"] = 2
    for volume in backups_of(world, 102)[:2]:
        volume.is_protected = True
    with pytest.raises(PreflightError, match="backups takes 2 of a guest"):
        ask(world, "run", "web02", protected=True)


def test_each_guest_is_backed_up_on_its_own_node(tmp_path: Path) -> None:
    """For a guest elsewhere PVE answers OK and does nothing (API2/VZDump.pm)."""
    world = make_world(tmp_path)
    names = ("web02", "paperless", "photos", "proxy")
    receipt = done(ask(world, "run", *names))
    nodes = [entry["path"].split("/")[4] for entry in vzdumps(world)]
    assert sorted(nodes) == sorted(item.target.node for item in receipt.items)
    assert len(receipt.items) == 4


def test_a_guest_that_moves_at_the_last_moment_is_not_called_backed_up(tmp_path: Path) -> None:
    """PVE answers `OK` then, and no task (API2/VZDump.pm: silent exit)."""
    world = make_world(tmp_path)
    store, guest = world.session.store, guest_of(world, "web02")
    write = store.write_entry

    def moving(*arguments: Any) -> None:
        write(*arguments)
        guest.node = "pve2"

    store.write_entry = moving  # type: ignore[method-assign]
    receipt = ask(world, "run", "web02").receipt
    assert receipt is not None
    assert receipt.status == "failed"
    assert "PVE reports success, but it is without a new backup" in receipt.items[0].message
    assert len(backups_of(world, 102)) == 3


def test_on_one_node_they_come_one_after_the_other(tmp_path: Path) -> None:
    """A run takes a lock of its node; nothing of ours waits in that queue."""
    world = make_world(tmp_path)
    done(ask(world, "run", "web02", "jellyfin", "mqtt"))
    node = world.cluster.nodes["pve1"]
    ours = [t for t in node.tasks.values() if t.upid.type == "vzdump" and t.upid.id]
    ours.sort(key=lambda task: task.upid.starttime)
    assert len(ours) == 3
    for one, other in itertools.pairwise(ours):
        assert one.endtime is not None
        assert one.endtime <= other.upid.starttime + 1


def test_a_locked_guest_is_refused(tmp_path: Path) -> None:
    """`gitlab` of the homelab has kept its lock since the failure of last night."""
    world = make_world(tmp_path)
    with pytest.raises(LockedError):
        ask(world, "run", "gitlab")
    assert world.writes() == []


def test_a_backup_that_runs_on_the_node_is_waited_for(tmp_path: Path) -> None:
    world = make_world(tmp_path)
    writer = world.session.make_writer()
    writer.write("POST", "/nodes/pve1/vzdump", {"vmid": 106, "storage": "backups"})
    with pytest.raises(BusyError, match="one at a time"):
        ask(world, "run", "web02")
    world.cluster.timeline.advance(3600)
    done(ask(world, "run", "web02"))


def test_stopping_a_running_guest_for_it_takes_a_persons_consent(tmp_path: Path) -> None:
    world = make_world(tmp_path)
    change = ask(world, "run", "web02", mode="stop")
    plan = plan_of(change)
    assert plan.tier == 2
    assert "mode stop shuts it down" in " ".join(plan.tier_reasons)
    assert agree(world, change).status == "done"
    assert guest_of(world, "web02").process is not None


def test_stop_mode_is_refused_where_ha_would_start_it(tmp_path: Path) -> None:
    """`Cannot execute a backup with stop mode on a HA managed and enabled` (VZDump.pm)."""
    with pytest.raises(PreflightError, match="HA keeps it running"):
        ask(make_world(tmp_path), "run", "vault", mode="stop")


def test_stop_mode_of_a_stopped_guest_interrupts_nothing(tmp_path: Path) -> None:
    done(ask(make_world(tmp_path), "run", "windows-lab", mode="stop"))


def test_a_mode_that_does_not_exist_is_no_request(tmp_path: Path) -> None:
    with pytest.raises(UsageError):
        ask(make_world(tmp_path), "run", "web02", mode="live")


def test_a_storage_without_room_is_refused(tmp_path: Path) -> None:
    world = make_world(tmp_path)
    backing = world.cluster.storages.backings["backups", ""]
    backing.used_elsewhere_bytes = backing.total_bytes - (1 << 30)
    world.cluster.timeline.advance(30)
    used = sum(volume.used_bytes for volume in backing.volumes.values())
    backing.total_bytes += used
    with pytest.raises(PreflightError, match=r"its last backup has 1\.5 GiB"):
        ask(world, "run", "web02", storage="backups")


def test_a_storage_of_another_node_or_for_other_things_is_refused(tmp_path: Path) -> None:
    world = make_world(tmp_path)
    with pytest.raises(PreflightError, match="takes no backups on pve1"):
        ask(world, "run", "web02", storage="local-lvm")


def test_a_storage_that_went_away_fails_and_says_so(tmp_path: Path) -> None:
    world = make_world(tmp_path)
    world.cluster.faults.add(
        "task-error", method="POST", path="/vzdump$", reason="storage 'backups' is not online"
    )
    receipt = ask(world, "run", "web02").receipt
    assert receipt is not None
    assert receipt.status == "failed"
    assert "without a new backup on backups" in receipt.items[0].message


def test_one_that_fails_leaves_the_others_done(tmp_path: Path) -> None:
    world = make_world(tmp_path)
    world.cluster.faults.add("task-error", method="POST", path="pve3/vzdump$", reason="job errors")
    receipt = ask(world, "run", "web02", "photos").receipt
    assert receipt is not None
    assert (receipt.status, receipt.exit_code) == ("partial", 11)
    by_name = {item.target.name: item.status for item in receipt.items}
    assert by_name == {"web02": "done", "photos": "failed"}


def test_a_job_that_came_between_is_not_taken_for_ours(tmp_path: Path) -> None:
    """The plan is refused: what it was to make may be there already."""
    world = make_world(tmp_path)
    change = ask(world, "run", "web02", mode="stop")
    add_backup(world.cluster, "backups", guest_of(world, "web02"), -0.001, 1.5)
    receipt = agree(world, change)
    assert receipt.items[0].error == "E_PLAN_STALE"
    assert "backups/backups/pve1/102" in receipt.items[0].message
    assert vzdumps(world) == []


def test_a_few_by_selector_are_backed_up_and_many_take_consent(tmp_path: Path) -> None:
    world = make_world(tmp_path)
    asked = Ask("backup.run", selector=Selector(tags=("home",)))
    done(request_change(world.session, asked))
    plan = plan_of(
        request_change(world.session, Ask("backup.run", selector=Selector(kinds=("lxc",))))
    )
    assert plan.tier == 2
    assert "targets are more than 5" in " ".join(plan.tier_reasons)


def test_warnings_are_shown(tmp_path: Path) -> None:
    world = make_world(tmp_path)
    world.cluster.faults.add("task-warnings", method="POST", path="/vzdump$", reason="odd")
    done_ = run_line(world, tmp_path, "pve backup run web02")
    assert done_.code == 0, done_.out
    assert "WARNINGS: 1" in done_.out
    assert "pve task log UPID:pve1:" in done_.out


# -- looking at them ----------------------------------------------------------------


def test_the_backups_of_a_guest_are_listed_with_those_of_strangers(tmp_path: Path) -> None:
    world = make_world(tmp_path)
    add_backup(world.cluster, "backups", guest_of(world, "web02"), 900, 1.5)
    rows = run_line(world, tmp_path, "pve backup list web02 --json").json["data"]["items"]
    assert [row["is_stranger"] for row in rows] == [False, False, False, True]


def test_a_storage_that_does_not_answer_is_named(tmp_path: Path) -> None:
    world = make_world(tmp_path)
    world.cluster.storages.backings["backups", ""].is_online = False
    out = run_line(world, tmp_path, "pve backup list web02").out
    assert "0 backups of web02" in out
    assert "unknown: backups" in out


def test_a_backup_is_shown_with_what_others_wrote_set_apart(tmp_path: Path) -> None:
    world = make_world(tmp_path)
    volume = backups_of(world, 130)[-1]
    out = run_line(world, tmp_path, f"pve backup show {volume.volid}").out
    assert "backup of wiki (VM 130 on pve2)" in out
    assert "| #Note to automation" in out


# -- protection and deletion --------------------------------------------------------


def test_protection_is_given_at_once_and_taken_away_by_a_person(tmp_path: Path) -> None:
    world = make_world(tmp_path)
    volume = backups_of(world, 102)[0]
    done(ask(world, "protect", volume.volid))
    assert volume.is_protected
    assert ask(world, "protect", volume.volid).proposal.plan is None
    change = ask(world, "unprotect", volume.volid)
    assert plan_of(change).tier == 3
    assert agree(world, change).status == "done"
    assert not volume.is_protected


def test_off_is_the_same_as_unprotect(tmp_path: Path) -> None:
    world = make_world(tmp_path)
    volume = backups_of(world, 102)[0]
    volume.is_protected = True
    answer = run_line(world, tmp_path, f"pve backup protect {volume.volid} --off --json")
    assert answer.code == 3
    assert answer.json["plan"]["operation"] == "backup.unprotect"
    assert answer.json["plan"]["tier"] == 3


def test_a_protected_backup_is_not_deleted(tmp_path: Path) -> None:
    world = make_world(tmp_path)
    volume = backups_of(world, 102)[0]
    volume.is_protected = True
    with pytest.raises(PreflightError, match="it is protected") as caught:
        ask(world, "delete", volume.volid)
    assert caught.value.hint == f"pve backup unprotect {volume.volid}"


def test_one_backup_is_deleted_for_good(tmp_path: Path) -> None:
    world = make_world(tmp_path)
    first, *rest = backups_of(world, 102)
    change = ask(world, "delete", first.volid)
    plan = plan_of(change)
    assert plan.tier == 3
    assert plan.items[0].headline.startswith("number 3 of 3 on backups of web02")
    assert plan.items[0].losses == (f"{first.volid} (2d old, 1.5 GiB)",)
    assert plan.items[0].undo == ""
    assert agree(world, change).status == "done"
    assert backups_of(world, 102) == rest


def test_the_last_backup_of_a_guest_is_called_that(tmp_path: Path) -> None:
    world = make_world(tmp_path)
    volumes = world.cluster.storages.backings["backups", ""].volumes
    *older, newest = backups_of(world, 102)
    for volume in older:
        del volumes[volume.name]
    plan = plan_of(ask(world, "delete", newest.volid))
    assert plan.items[0].headline.startswith("THE ONLY ONE on backups")
    assert any("it is the only one on backups" in finding.message for finding in plan.findings)


def test_a_backup_whose_siblings_have_changed_stays(tmp_path: Path) -> None:
    """Whoever agreed saw two others; now there are none."""
    world = make_world(tmp_path)
    first, *rest = backups_of(world, 102)
    change = ask(world, "delete", first.volid)
    for volume in rest:
        del world.cluster.storages.backings["backups", ""].volumes[volume.name]
    assert agree(world, change).items[0].error == "E_PLAN_STALE"
    assert backups_of(world, 102) == [first]


def test_what_is_no_backup_is_not_found(tmp_path: Path) -> None:
    world = make_world(tmp_path)
    with pytest.raises(NotFoundError):
        ask(world, "delete", "backups:backup/vzdump-qemu-102-2020_01_01-00_00_00.vma.zst")
    with pytest.raises(UsageError):
        ask(world, "delete", "web02")
    with pytest.raises(NotFoundError):
        ask(world, "delete", "elsewhere:backup/x")
    world.cluster.storages.backings["backups", ""].is_online = False
    with pytest.raises(NodeUnreachableError):
        ask(world, "delete", "backups:backup/vzdump-qemu-102-2020_01_01-00_00_00.vma.zst")


def test_the_same_name_on_two_nodes_is_told_apart_by_the_node(tmp_path: Path) -> None:
    world = make_world(tmp_path)
    volume = backups_of(world, 102)[0]
    for node in ("pve1", "pve2"):
        twin = Volume(
            "local", volume.name, "backup", "vma.zst", 1, 1, volume.ctime, 102, subtype="qemu"
        )
        world.cluster.storages.add_volume(world.cluster.nodes[node], twin)
    with pytest.raises(AmbiguousError):
        ask(world, "protect", f"local:{volume.name}")
    done(ask(world, "protect", f"local:{volume.name}", node="pve2"))
    assert [v.is_protected for v in backups_of(world, 102) if v.storage == "local"] == [
        False,
        True,
    ]


# -- pruning ------------------------------------------------------------------------


def test_pruning_deletes_exactly_what_was_shown(tmp_path: Path) -> None:
    world = make_world(tmp_path)
    oldest, middle, newest = backups_of(world, 102)
    middle.is_protected = True
    change = ask(world, "prune", "web02", keep_last=1)
    plan = plan_of(change)
    assert plan.tier == 3
    assert plan.items[0].losses == (f"{oldest.volid} (2d old, 1.5 GiB)",)
    assert any("1 protected ones stay" in finding.message for finding in plan.findings)
    assert agree(world, change).status == "done"
    assert backups_of(world, 102) == [middle, newest]
    assert [entry["method"] for entry in world.effects()] == ["DELETE"]


def test_a_backup_that_was_made_since_makes_the_plan_stale(tmp_path: Path) -> None:
    """PVE's own prune call would have chosen anew, and taken another one, too."""
    world = make_world(tmp_path)
    change = ask(world, "prune", "web02", keep_last=2)
    add_backup(world.cluster, "backups", guest_of(world, "web02"), 0.01, 1.5)
    assert agree(world, change).items[0].error == "E_PLAN_STALE"
    assert len(backups_of(world, 102)) == 4


def test_nothing_to_prune_is_already_so(tmp_path: Path) -> None:
    assert ask(make_world(tmp_path), "prune", "web02", keep_last=3).proposal.plan is None


def test_pruning_without_a_rule_is_no_request(tmp_path: Path) -> None:
    with pytest.raises(UsageError):
        ask(make_world(tmp_path), "prune", "web02")


def test_a_storage_that_shows_less_than_it_has_is_left_alone(tmp_path: Path) -> None:
    world = make_world(tmp_path)
    world.cluster.storages.backings["backups", ""].is_online = False
    change = ask(world, "prune", "web02", keep_last=1)
    assert change.proposal.plan is None
    (decision,) = change.proposal.decisions
    assert any(finding.code == "backup.unseen" for finding in decision.findings)


def test_only_what_failed_its_verification_would_stay(tmp_path: Path) -> None:
    world = make_world(tmp_path)
    backups_of(world, 102)[-1].verification = "failed"
    with pytest.raises(PreflightError, match="failed its verification"):
        ask(world, "prune", "web02", keep_last=1)


def test_old_backups_of_another_guest_with_the_id_are_called_that(tmp_path: Path) -> None:
    world = make_world(tmp_path)
    add_backup(world.cluster, "backups", guest_of(world, "web02"), 900, 1.5)
    plan = plan_of(ask(world, "prune", "web02", keep_last=3))
    assert any(finding.code == "backup.stranger" for finding in plan.findings)


def test_what_is_pruned_half_way_is_told(tmp_path: Path) -> None:
    world = make_world(tmp_path)
    change = ask(world, "prune", "web02", keep_last=1)
    assert len(plan_of(change).items[0].losses) == 2
    world.cluster.faults.add(
        "task-error", method="DELETE", path="/content/", after=1, reason="I/O error"
    )
    item = agree(world, change).items[0]
    assert item.status == "failed"
    assert item.message.startswith("done before that: delete backups:backup/")
    assert len(backups_of(world, 102)) == 2


# -- on a Proxmox Backup Server -------------------------------------------------------


def make_pbs_world(folder: Path) -> World:
    """With a second shared storage, `vault`, that has the most room."""
    world = make_world(folder)
    add_storage(
        world.cluster, "vault", "pbs", "backup", total_gib=9000, server="192.0.2.60", datastore="d"
    )
    return world


@pytest.mark.parametrize("name", ["web02", "proxy"])
def test_a_backup_server_takes_and_gives_up_backups(name: str, tmp_path: Path) -> None:
    world = make_pbs_world(tmp_path)
    receipt = done(ask(world, "run", name, reason="by hand"))
    vmid = guest_of(world, name).vmid
    (new,) = [volume for volume in backups_of(world, vmid) if volume.storage == "vault"]
    assert new.volid in receipt.items[0].message
    assert str(new.notes).endswith(": by hand (pveops)")
    done(ask(world, "protect", new.volid))
    assert new.is_protected
    assert agree(world, ask(world, "unprotect", new.volid)).status == "done"
    assert agree(world, ask(world, "delete", new.volid)).status == "done"
    assert new not in backups_of(world, vmid)


def test_pruning_reaches_each_storage_that_holds_some(tmp_path: Path) -> None:
    """The rules hold on each storage by itself, as in PVE."""
    world = make_pbs_world(tmp_path)
    for _ in range(2):
        done(ask(world, "run", "web02", storage="vault"))
        world.cluster.timeline.advance(3600)
    change = ask(world, "prune", "web02", keep_last=1)
    (item,) = plan_of(change).items
    assert [loss.partition(":")[0] for loss in item.losses] == ["backups", "backups", "vault"]
    assert agree(world, change).status == "done"
    assert [volume.storage for volume in backups_of(world, 102)] == ["backups", "vault"]


def test_progress_tells_share_bytes_and_rate(tmp_path: Path) -> None:
    world = make_world(tmp_path)
    told: list[tuple[str, float | None]] = []
    session = world.session._replace(
        on_progress=lambda _index, text, share: told.append((text, share))
    )
    change = request_change(session, Ask("backup.run", ("nextcloud",)))
    done(change)
    shares = [share for _, share in told if share is not None]
    assert shares == sorted(shares)
    assert shares[-1] == 1.0
    assert any(re.fullmatch(r"[\d.]+ GiB of 200 GiB, [\d.]+ [GM]iB/s", text) for text, _ in told)


def test_whoever_looks_at_a_run_is_told_how_far_it_is(tmp_path: Path) -> None:
    """The process that carries it out is killed while the task goes on."""
    world = make_world(tmp_path)
    kill_at(world, 2, before=False)
    with pytest.raises(KilledError):
        ask(world, "run", "nextcloud")
    world.cluster.timeline.advance(120)
    run = world.session.store.list_runs()[0]
    listing = list_progress(call_of(world, tmp_path), run)
    (told,) = listing.rows
    assert told["stage"] == "at work"
    assert 0 < told["task"]["share"] < 1
    assert told["task"]["total_bytes"] == 200 << 30
    words = describe_progress(listing)
    assert re.fullmatch(r"\d+%, [\d.]+ GiB of 200 GiB, [\d.]+ [GM]iB/s", words)
    shown = run_line(world, tmp_path, f"pve task show {told['upid']}").out
    assert f"is running: {words}" in shown
    world.cluster.timeline.advance(3600)
    heir = join_world(tmp_path, world.seed)
    assert resume_run(heir.session, run.id).status == "done"
    assert describe_progress(list_progress(call_of(world, tmp_path), run)) == "done"


def test_many_together_have_to_fit_too(tmp_path: Path) -> None:
    """Each of them alone would: 1.5 GiB of 4."""
    world = make_world(tmp_path)
    backing = world.cluster.storages.backings["backups", ""]
    used = sum(volume.used_bytes for volume in backing.volumes.values())
    backing.used_elsewhere_bytes = backing.total_bytes - used - (4 << 30)
    names = ("web02", "db01", "db02", "nextcloud")
    with pytest.raises(PveopsError, match=r"took 6\.0 GiB on backups, and 4\.0 GiB are free"):
        request_change(world.session, Ask("backup.run", names))
    change = request_change(world.session, Ask("backup.run", names[:2]))
    assert change.proposal.plan is not None
