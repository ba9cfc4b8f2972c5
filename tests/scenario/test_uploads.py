"""Files sent to storages, and volumes deleted that nobody uses.

PVE overwrites a file of the same name silently, and deletes what guests still use
(pve-storage API2/Storage/Status.pm, Content.pm).
"""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from pveops.engine.apply import apply_plan
from pveops.engine.approve import Consent
from pveops.engine.change import Change, request_change
from pveops.engine.outcome import Receipt
from pveops.engine.request import Ask
from pveops.errors import AmbiguousError, NotFoundError, PveopsError, UsageError
from pveops.operations.plan import Scalar
from pveops.sim.membership import power_off_node
from pveops.sim.volume import Volume
from tests.commandline import run_line
from tests.scenario.test_configuration import guest_of, plan_of
from tests.world import World, make_world

DATA = b"\x00\r\n--not the end\r\n" * 1000
IMPORTED = "local:import/debian-13-genericcloud-amd64.qcow2"


def file_of(folder: Path, name: str = "rescue.iso", data: bytes = DATA) -> Path:
    path = folder / name
    path.write_bytes(data)
    return path


def upload(world: World, path: Path | str, storage: str = "local", **params: Scalar) -> Change:
    given = {"storage": storage, "node": "pve1", **params}
    return request_change(world.session, Ask("storage.upload", (str(path),), params=given))


def delete(world: World, volid: str, **params: Scalar) -> Change:
    return request_change(world.session, Ask("storage.delete", (volid,), params=params))


def agree(world: World, change: Change) -> Receipt:
    if change.receipt is not None:
        return change.receipt
    return apply_plan(world.session, change.plan_id, Consent("code", world.code))


def volume_of(world: World, volid: str, node: str = "pve1") -> Volume | None:
    return world.cluster.storages.find_volume(world.cluster.nodes[node], volid)


def add_iso(world: World, folder: Path, name: str = "old.iso") -> str:
    assert agree(world, upload(world, file_of(folder, name))).status == "done"
    return f"local:iso/{name}"


# -- uploads -------------------------------------------------------------------------


def test_an_iso_is_sent_verified_by_the_node_and_listed(tmp_path: Path) -> None:
    world = make_world(tmp_path)
    receipt = agree(world, upload(world, file_of(tmp_path)))
    assert receipt.status == "done", receipt
    assert receipt.consent == "policy"
    volume = volume_of(world, "local:iso/rescue.iso")
    assert volume is not None
    assert volume.size_bytes == len(DATA)
    tasks = [t for t in world.cluster.nodes["pve1"].tasks.values() if t.upid.type == "imgcopy"]
    assert any("checksum verified" in line for line in tasks[-1].log_lines)


@pytest.mark.parametrize(
    ("name", "volid"),
    [
        ("a.img", "local:iso/a.img"),
        ("alpine_3_amd64.tar.zst", "local:vztmpl/alpine_3_amd64.tar.zst"),
        ("disk.qcow2", "local:import/disk.qcow2"),
    ],
)
def test_what_it_is_follows_from_its_name(name: str, volid: str, tmp_path: Path) -> None:
    world = make_world(tmp_path)
    assert agree(world, upload(world, file_of(tmp_path, name))).status == "done"
    assert volume_of(world, volid) is not None


def test_the_command_is_that_of_the_help(tmp_path: Path) -> None:
    world = make_world(tmp_path)
    path = file_of(tmp_path)
    outcome = run_line(world, tmp_path, f"pve storage upload {path} local --node pve1 --wait 60")
    assert outcome.code == 0, outcome.out
    assert "there (" in outcome.out


def test_a_file_of_that_name_is_replaced_only_with_more_consent(tmp_path: Path) -> None:
    world = make_world(tmp_path)
    add_iso(world, tmp_path)
    newer = file_of(tmp_path, "old.iso", DATA * 2)
    with pytest.raises(PveopsError, match="already, and PVE would overwrite"):
        upload(world, newer)
    change = upload(world, newer, replace=True)
    assert plan_of(change).tier == 2
    assert plan_of(change).items[0].losses
    assert agree(world, change).status == "done"
    volume = volume_of(world, "local:iso/old.iso")
    assert volume is not None
    assert volume.size_bytes == 2 * len(DATA)


def test_a_file_that_changed_since_the_plan_is_not_sent(tmp_path: Path) -> None:
    world = make_world(tmp_path)
    add_iso(world, tmp_path)
    change = upload(world, file_of(tmp_path, "old.iso", DATA * 2), replace=True)
    file_of(tmp_path, "old.iso", DATA * 3)
    receipt = agree(world, change)
    assert receipt.items[0].status == "not-executed"
    assert "has changed since the plan was made" in receipt.items[0].message


def test_what_cannot_be_sent_is_refused_before(tmp_path: Path) -> None:
    world = make_world(tmp_path)
    with pytest.raises(UsageError, match="cannot be read"):
        upload(world, tmp_path / "nothing.iso")
    with pytest.raises(UsageError, match="is no file"):
        upload(world, tmp_path)
    with pytest.raises(UsageError, match="is empty"):
        upload(world, file_of(tmp_path, data=b""))
    with pytest.raises(UsageError, match="what is"):
        upload(world, file_of(tmp_path, "notes.txt"))
    with pytest.raises(UsageError, match="not what was expected"):
        upload(world, file_of(tmp_path), checksum="0" * 64)
    with pytest.raises(PveopsError, match="takes images, rootdir"):
        upload(world, file_of(tmp_path), "local-lvm")
    with pytest.raises(UsageError, match="no file name"):
        upload(world, file_of(tmp_path), name="../../etc/passwd.iso")
    with pytest.raises(NotFoundError):
        upload(world, file_of(tmp_path), "floppy")
    assert world.writes() == []
    digest = hashlib.sha256(DATA).hexdigest()
    assert agree(world, upload(world, file_of(tmp_path), checksum=digest)).status == "done"


def test_a_link_is_followed_and_that_is_told(tmp_path: Path) -> None:
    world = make_world(tmp_path)
    link = tmp_path / "link.iso"
    link.symlink_to(file_of(tmp_path, "real.bin"))
    change = upload(world, link)
    assert any("is a link to" in f.message for f in plan_of(change).findings)


def test_a_storage_without_the_space_is_refused(tmp_path: Path) -> None:
    world = make_world(tmp_path)
    backing = world.cluster.storages.backings["local", "pve1"]
    backing.used_elsewhere_bytes = backing.total_bytes - 100
    with pytest.raises(PveopsError, match="wanted"):
        upload(world, file_of(tmp_path))


@pytest.mark.parametrize("fault", ["lost-after", "hang-after"])
def test_a_lost_answer_is_settled_by_the_task(fault: str, tmp_path: Path) -> None:
    world = make_world(tmp_path)
    world.cluster.faults.add(fault, method="POST", path=r"/upload$")
    receipt = agree(world, upload(world, file_of(tmp_path)))
    assert receipt.status == "done", receipt
    assert len(world.effects()) == 1


def test_a_copy_that_fails_half_way_is_a_failure(tmp_path: Path) -> None:
    world = make_world(tmp_path)
    world.cluster.faults.add("task-error", method="POST", path=r"/upload$", reason="No space left")
    receipt = agree(world, upload(world, file_of(tmp_path)))
    assert receipt.exit_code == 10
    assert "No space left" in receipt.items[0].message
    assert volume_of(world, "local:iso/rescue.iso") is None


# -- deletions -----------------------------------------------------------------------


def test_an_iso_that_nobody_uses_goes_with_a_code(tmp_path: Path) -> None:
    world = make_world(tmp_path)
    volid = add_iso(world, tmp_path)
    change = delete(world, volid)
    assert plan_of(change).tier == 3
    assert plan_of(change).items[0].losses[0].startswith(volid)
    receipt = agree(world, change)
    assert receipt.status == "done", receipt
    assert volume_of(world, volid) is None
    with pytest.raises(NotFoundError):
        delete(world, volid)


def test_what_a_guest_has_in_its_drive_stays(tmp_path: Path) -> None:
    world = make_world(tmp_path)
    volid = add_iso(world, tmp_path)
    guest_of(world, "web01").config["ide2"] = f"{volid},media=cdrom"
    with pytest.raises(PveopsError, match=r"web01 \(101\) uses it: ide2"):
        delete(world, volid)
    guest_of(world, "web01").config["ide2"] = "none,media=cdrom"
    change = delete(world, volid)
    guest_of(world, "web02").config["ide2"] = f"{volid},media=cdrom"
    receipt = agree(world, change)
    assert receipt.items[0].status == "not-executed"
    assert volume_of(world, volid) is not None


def test_a_disk_in_use_pending_or_in_a_snapshot_stays(tmp_path: Path) -> None:
    world = make_world(tmp_path)
    lab = guest_of(world, "windows-lab")
    volid = str(lab.config["scsi0"]).partition(",")[0]
    with pytest.raises(PveopsError, match="uses it: scsi0"):
        delete(world, volid)
    lab.snapshots["before"] = dict(lab.config)
    lab.config.pop("scsi0")
    with pytest.raises(PveopsError, match="scsi0 of the snapshot before"):
        delete(world, volid)
    lab.snapshots.clear()
    change = delete(world, volid)
    assert any("by its name it belongs to" in f.message for f in plan_of(change).findings)
    assert agree(world, change).status == "done"


def test_an_orphan_is_named_as_what_may_be_left_of_a_guest(tmp_path: Path) -> None:
    world = make_world(tmp_path)
    node = world.cluster.nodes["pve1"]
    volid = world.cluster.storages.allocate_disk(node, "local-lvm", 999, 1 << 30).volid
    change = delete(world, volid)
    assert any("no guest 999" in f.message for f in plan_of(change).findings)
    assert agree(world, change).status == "done"


def test_backups_bases_and_what_cannot_be_judged_stay(tmp_path: Path) -> None:
    world = make_world(tmp_path)
    backup = next(
        f"backups:{v.name}"
        for v in world.cluster.storages.backings["backups", ""].volumes.values()
    )
    with pytest.raises(PveopsError, match="it is a backup") as caught:
        delete(world, backup)
    assert caught.value.hint.startswith("pve backup delete")
    volid = add_iso(world, tmp_path)
    world.cluster.access.roles["AgentOperate"] -= {"VM.Audit"}
    with pytest.raises(PveopsError, match="does not see every guest"):
        delete(world, volid)


def test_while_a_node_is_silent_nobody_knows_who_uses_a_shared_volume(tmp_path: Path) -> None:
    world = make_world(tmp_path, seed="mixed-versions")
    node = world.cluster.nodes["pve1"]
    volid = world.cluster.storages.allocate_disk(node, "san", 999, 1 << 30, "raw").volid
    change = delete(world, volid)
    power_off_node(world.cluster, world.cluster.nodes["pve3"])
    with pytest.raises(PveopsError, match="nobody knows whether these use it"):
        delete(world, volid)
    receipt = agree(world, change)
    assert receipt.items[0].status == "not-executed"


def test_two_nodes_with_a_volume_of_that_name_are_asked_about(tmp_path: Path) -> None:
    world = make_world(tmp_path)
    add_iso(world, tmp_path)
    agree(world, upload(world, tmp_path / "old.iso", node="pve2"))
    with pytest.raises(AmbiguousError):
        delete(world, "local:iso/old.iso")
    assert agree(world, delete(world, "local:iso/old.iso", node="pve2")).status == "done"
    assert volume_of(world, "local:iso/old.iso") is not None


# -- several backups -----------------------------------------------------------------


def backups_of(world: World, vmid: int) -> list[str]:
    volumes = world.cluster.storages.backings["backups", ""].volumes.values()
    return sorted(f"backups:{v.name}" for v in volumes if v.vmid == vmid)


def test_several_backups_go_with_one_consent_and_each_is_named(tmp_path: Path) -> None:
    world = make_world(tmp_path)
    old = [*backups_of(world, 102)[:2], *backups_of(world, 104)[:1]]
    change = request_change(world.session, Ask("backup.delete", tuple(reversed(old))))
    items = plan_of(change).items
    assert sorted(item.target.id for item in items) == sorted(old)
    assert all(item.losses for item in items)
    receipt = agree(world, change)
    assert receipt.status == "done", receipt
    assert len(backups_of(world, 102)) == 1
    assert len(backups_of(world, 104)) == 2


def test_a_backup_that_came_meanwhile_stops_those_that_were_judged_without_it(
    tmp_path: Path,
) -> None:
    world = make_world(tmp_path)
    old = backups_of(world, 102)[:2]
    change = request_change(world.session, Ask("backup.delete", tuple(old)))
    path = r"/content/.*102.*"
    world.cluster.faults.add("task-error", method="DELETE", path=path, reason="disk error")
    receipt = agree(world, change)
    assert receipt.exit_code in {10, 11}
    statuses = [item.status for item in receipt.items]
    assert statuses == ["failed", "not-executed"]
    assert len(backups_of(world, 102)) == 3


def test_a_protected_one_among_them_stops_all(tmp_path: Path) -> None:
    world = make_world(tmp_path)
    old = backups_of(world, 102)
    world.cluster.storages.backings["backups", ""].volumes[
        old[1].partition(":")[2]
    ].is_protected = True
    with pytest.raises(PveopsError, match="protected"):
        request_change(world.session, Ask("backup.delete", tuple(old)))
    assert world.writes() == []
