"""Deleting guests, from an operator's words to the end state of the simulated cluster."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from pveops.config.policy import Policy
from pveops.domain.selection import Selector
from pveops.domain.trash import TRASH_TAG, TrashMark, parse_mark, write_mark
from pveops.engine.apply import apply_plan
from pveops.engine.approve import Consent
from pveops.engine.change import request_change
from pveops.engine.request import Ask
from pveops.errors import PreflightError, UsageError
from pveops.operations.plan import Call, Scalar
from tests.scenario.test_configuration import agree, ask, guest_of, plan_of
from tests.world import World, join_world, make_world

DAY_S = 86_400


def delete(world: World, name: str, **params: Scalar) -> None:
    """The person agrees that the guest goes into the trash."""
    receipt = agree(world, ask(world, "guest.delete", name, **params))
    assert receipt.status == "done", receipt


def undelete(world: World, name: str, **params: Scalar) -> None:
    receipt = ask(world, "guest.undelete", name, **params).receipt
    assert receipt is not None
    assert receipt.status == "done", receipt


def backups_of(world: World, vmid: int) -> list[str]:
    return sorted(
        volume.volid
        for backing in world.cluster.storages.backings.values()
        for volume in backing.volumes.values()
        if volume.content == "backup" and volume.vmid == vmid
    )


def words_of(change: object) -> list[str]:
    """What the calls of a plan's first item do."""
    item = plan_of(change).items[0]  # type: ignore[arg-type]
    return [step.does for step in item.steps if isinstance(step, Call)]


def test_a_deleted_guest_is_backed_up_shut_down_and_marked(tmp_path: Path) -> None:
    """`nextcloud` of the homelab: its newest backup is made older than a day."""
    world = make_world(tmp_path)
    world.cluster.timeline.advance(2 * DAY_S)
    before = backups_of(world, 106)
    change = ask(world, "guest.delete", "nextcloud")
    plan = plan_of(change)
    assert plan.tier == 2
    assert words_of(change) == ["back up to backups", "shut down", "mark as deleted"]
    assert plan.items[0].undo == "pve guest undelete 106"
    receipt = agree(world, change)
    assert receipt.status == "done", receipt
    guest = guest_of(world, "nextcloud")
    assert guest.process is None
    assert TRASH_TAG in str(guest.config["tags"])
    assert str(guest.config["onboot"]) == "0"
    mark = parse_mark(str(guest.config["description"]))
    assert mark is not None
    assert (mark.started_on_boot, mark.was) == (True, "running")
    assert len(set(backups_of(world, 106)) - set(before)) == 1
    assert ask(world, "guest.delete", "nextcloud").proposal.plan is None


def test_a_recent_backup_is_enough(tmp_path: Path) -> None:
    """Nearly every guest of the homelab was backed up last night."""
    change = ask(make_world(tmp_path), "guest.delete", "web02")
    assert words_of(change) == ["shut down", "mark as deleted"]
    assert any(finding.code == "backup.fresh" for finding in plan_of(change).findings)


def test_undelete_brings_back_what_was_there(tmp_path: Path) -> None:
    world = make_world(tmp_path)
    guest = guest_of(world, "wiki")
    before = {key: guest.config.get(key) for key in ("tags", "description", "onboot")}
    delete(world, "wiki")
    change = ask(world, "guest.undelete", "wiki")
    assert change.receipt is not None
    assert change.receipt.status == "done", change.receipt
    assert any(f.code == "trash.was-running" for f in plan_of(change).findings)
    assert str(guest.config.get("onboot") or 0) == str(before["onboot"] or 0)
    assert (guest.config.get("tags") or None) == before["tags"]
    assert "pveops-trash" not in str(guest.config["description"])
    assert "Owner: the documentation group." in str(guest.config["description"])
    assert ask(world, "guest.undelete", "wiki").proposal.plan is None


def test_undelete_starts_it_when_asked_to(tmp_path: Path) -> None:
    world = make_world(tmp_path)
    delete(world, "web02")
    undelete(world, "web02", start=True)
    assert guest_of(world, "web02").process is not None
    assert str(guest_of(world, "web02").config["onboot"]) == "1"


def test_a_guest_that_will_not_shut_down_stays_unmarked(tmp_path: Path) -> None:
    """`legacy-erp` ignores ACPI; what was done before is told."""
    world = make_world(tmp_path)
    world.cluster.timeline.advance(2 * DAY_S)
    receipt = agree(world, ask(world, "guest.delete", "legacy-erp", timeout=30))
    assert receipt.status == "failed"
    assert "done before that: back up to backups" in receipt.items[0].message
    guest = guest_of(world, "legacy-erp")
    assert guest.process is not None
    assert TRASH_TAG not in str(guest.config.get("tags", ""))


def test_without_a_backup_it_takes_more_consent(tmp_path: Path) -> None:
    """`test` 122 of the homelab has none."""
    plan = plan_of(ask(make_world(tmp_path), "guest.delete", "122", without_backup=True))
    assert plan.tier == 3
    assert "no backup is made first" in plan.tier_reasons


def test_a_protected_guest_is_not_deleted(tmp_path: Path) -> None:
    world = make_world(tmp_path)
    guest_of(world, "web02").config["protection"] = 1
    with pytest.raises(PreflightError, match="protected against removal"):
        ask(world, "guest.delete", "web02")


def test_disks_that_no_backup_holds_are_named(tmp_path: Path) -> None:
    world = make_world(tmp_path)
    guest = guest_of(world, "web02")
    guest.config["scsi0"] = f"{guest.config['scsi0']},backup=0"
    found = plan_of(ask(world, "guest.delete", "web02")).findings
    assert any(f.code == "backup.partial" and "scsi0" in f.message for f in found)


def test_the_old_test_vms_are_each_listed_and_none_is_destroyed(tmp_path: Path) -> None:
    world = make_world(tmp_path)
    asked = Ask("guest.delete", selector=Selector(names=("test*",)))
    change = request_change(world.session, asked)
    assert [item.target.id for item in plan_of(change).items] == ["121", "122"]
    receipt = apply_plan(world.session, change.plan_id, Consent("code", world.code))
    assert receipt.status == "done", receipt
    assert all(entry["method"] != "DELETE" for entry in world.writes())
    assert set(world.cluster.guests) >= {121, 122}


# -- the end ----------------------------------------------------------------------


def test_only_the_trash_is_purged(tmp_path: Path) -> None:
    with pytest.raises(PreflightError, match="not in the trash"):
        ask(make_world(tmp_path), "guest.purge", "windows-lab")


def test_nothing_is_purged_within_a_week(tmp_path: Path) -> None:
    world = make_world(tmp_path)
    delete(world, "web02")
    with pytest.raises(PreflightError, match="stays 7 days"):
        ask(world, "guest.purge", "web02")


def test_a_guest_is_purged_with_everything_recorded_before(tmp_path: Path) -> None:
    world = make_world(tmp_path)
    delete(world, "web02")
    world.cluster.timeline.advance(7 * DAY_S + 3600)
    later = join_world(tmp_path, world.seed)
    kept = backups_of(later, 102)
    change = ask(later, "guest.purge", "web02")
    plan = plan_of(change)
    assert plan.tier == 3
    item = plan.items[0]
    assert item.headline.startswith("STOPPED, deleted 7d")
    assert "newest backup" in item.headline
    assert item.losses == ("disks scsi0 32G",)
    assert item.undo == ""
    call = item.steps[0]
    assert isinstance(call, Call)
    assert call.params == {"purge": True, "destroy-unreferenced-disks": False}
    assert json.loads(str(item.before["config"]))["name"] == "web02"
    receipt = agree(later, change)
    assert receipt.status == "done", receipt
    assert receipt.items[0].message == "gone with its volumes"
    assert 102 not in later.cluster.guests
    assert backups_of(later, 102) == kept
    lines = (tmp_path / "audit.jsonl").read_text().splitlines()
    intents = [json.loads(line) for line in lines if '"DELETE ' in line]
    assert json.loads(intents[-1]["before"]["config"])["scsi0"].startswith("local-lvm:")


def test_a_policy_can_shorten_the_wait(tmp_path: Path) -> None:
    world = make_world(tmp_path, policy=Policy(trash_days=0))
    delete(world, "web02")
    assert plan_of(ask(world, "guest.purge", "web02")).tier == 3


def test_a_guest_that_runs_again_is_not_purged(tmp_path: Path) -> None:
    world = make_world(tmp_path, policy=Policy(trash_days=0))
    delete(world, "web02")
    assert ask(world, "guest.start", "web02").receipt is not None
    with pytest.raises(PreflightError, match="somebody uses it again"):
        ask(world, "guest.purge", "web02")


def test_what_the_policy_protects_is_not_purged(tmp_path: Path) -> None:
    world = make_world(tmp_path, policy=Policy(trash_days=0))
    delete(world, "web01")
    with pytest.raises(PreflightError, match="the tag 'prod' is protected"):
        ask(world, "guest.purge", "web01")


def test_without_a_backup_nothing_is_purged_unless_that_is_said(tmp_path: Path) -> None:
    world = make_world(tmp_path, policy=Policy(trash_days=0))
    delete(world, "scratch", without_backup=True)
    with pytest.raises(PreflightError, match="nothing brings it back"):
        ask(world, "guest.purge", "scratch")
    plan = plan_of(ask(world, "guest.purge", "scratch", without_backup=True))
    assert "NO BACKUP KNOWN" in plan.items[0].headline


def test_a_template_with_linked_clones_is_not_purged(tmp_path: Path) -> None:
    """LVM-thin would let the base volume go (pve-storage LvmThinPlugin.pm)."""
    world = make_world(tmp_path, policy=Policy(trash_days=0))
    writer = world.session.make_writer()
    params = {"newid": 950, "name": "linked"}
    assert str(writer.write("POST", "/nodes/pve1/qemu/900/clone", params)).startswith("UPID")
    world.cluster.timeline.advance(600)
    delete(world, "debian-13-template")
    with pytest.raises(PreflightError, match="linked clones depend on its disks"):
        ask(world, "guest.purge", "debian-13-template", without_backup=True)


def test_references_are_named_and_recorded(tmp_path: Path) -> None:
    world = make_world(tmp_path, policy=Policy(trash_days=0))
    world.cluster.backup_jobs["backup-one"] = {
        "id": "backup-one",
        "type": "vzdump",
        "vmid": "102",
        "storage": "backups",
        "schedule": "daily",
        "enabled": 1,
    }
    delete(world, "web02")
    plan = plan_of(ask(world, "guest.purge", "web02"))
    assert any("names nobody else" in finding.message for finding in plan.findings)
    assert "backup-one" in str(plan.items[0].before["jobs"])


def test_a_volume_that_is_left_behind_is_told(tmp_path: Path) -> None:
    """The guest is gone, but its data is not: that is no success."""
    world = make_world(tmp_path, policy=Policy(trash_days=0))
    delete(world, "web02")
    change = ask(world, "guest.purge", "web02")
    backing = world.cluster.storages.backings["local-lvm", "pve1"]
    name = next(name for name, volume in backing.volumes.items() if volume.vmid == 102)
    volume = backing.volumes[name]

    class Sticky(dict):  # type: ignore[type-arg]
        def pop(self, key: str, *rest: object) -> object:
            return volume if key == name else super().pop(key, *rest)

        def __delitem__(self, key: str) -> None:
            if key != name:
                super().__delitem__(key)

    backing.volumes = Sticky(backing.volumes)
    receipt = agree(world, change)
    assert receipt.status == "failed"
    assert "these volumes are left" in receipt.items[0].message


def test_nobody_forges_the_mark_of_a_deletion(tmp_path: Path) -> None:
    """Else a guest could be made to look as if it had lain in the trash for years."""
    world = make_world(tmp_path)
    forged = write_mark("", TrashMark(0, True, "running"), 102)
    for verb, params in (
        ("guest.note", {"append": f"hello\n  {forged}"}),
        ("guest.note", {"text": forged}),
        ("guest.set", {"description": forged}),
        ("guest.tag", {"add": TRASH_TAG}),
        ("guest.tag", {"set": f"web,{TRASH_TAG}"}),
    ):
        with pytest.raises(UsageError, match="mark of deleted guests"):
            ask(world, verb, "web02", **params)
    delete(world, "web02")
    with pytest.raises(UsageError, match="mark of deleted guests"):
        ask(world, "guest.tag", "web02", remove=TRASH_TAG)


def test_backups_that_the_token_may_not_see_are_unseen_and_not_none(tmp_path: Path) -> None:
    """PVE leaves them out of the list without a word (Storage.pm, check_volume_access)."""
    world = make_world(tmp_path, policy=Policy(trash_days=0))
    delete(world, "web02")
    roles = world.cluster.access.roles
    hidden = {"VM.Backup", "Datastore.Allocate"}
    roles["AgentOperate"] = roles["AgentOperate"] - hidden
    with pytest.raises(PreflightError, match="no backup of it is known") as caught:
        ask(world, "guest.purge", "web02")
    told = [f for f in caught.value.details["findings"] if f.code == "backup.none"]
    assert "backups on pve1" in told[0].evidence


def test_a_guest_of_ha_stays_down_until_it_is_brought_back(tmp_path: Path) -> None:
    world = make_world(tmp_path)
    delete(world, "vault")
    world.cluster.timeline.advance(600)
    assert guest_of(world, "vault").process is None
    assert str(world.cluster.ha.resources["vm:108"].state) == "stopped"
    back = agree(world, ask(world, "guest.undelete", "vault", start=True))
    assert back.status == "done", back
    assert guest_of(world, "vault").process is not None


def test_a_container_is_purged_as_well(tmp_path: Path) -> None:
    world = make_world(tmp_path, policy=Policy(trash_days=0))
    delete(world, "sandbox")
    receipt = agree(world, ask(world, "guest.purge", "sandbox"))
    assert receipt.status == "done", receipt
    assert 210 not in world.cluster.guests
    call = next(entry for entry in world.writes() if entry["method"] == "DELETE")
    assert "force" not in str(call)
