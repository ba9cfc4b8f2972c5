"""Disks, from an operator's words to the end state of the simulated cluster."""

from __future__ import annotations

from pathlib import Path

import pytest

from pveops.engine.apply import apply_plan
from pveops.engine.approve import Consent
from pveops.errors import ConsentInvalidError, NotFoundError, PreflightError, UsageError
from pveops.operations.plan import Call, Scalar
from tests.scenario.test_configuration import agree, ask, guest_of, plan_of
from tests.world import make_world


def test_give_that_vm_100_gigabytes_more(tmp_path: Path) -> None:
    world = make_world(tmp_path)
    change = ask(world, "disk.grow", "web02", disk="scsi0", by="100G")
    plan = plan_of(change)
    assert plan.tier == 2
    assert "scsi0 32G -> 132G" in plan.items[0].headline
    call = plan.items[0].steps[0]
    assert isinstance(call, Call)
    assert call.params["size"] == "132G"
    assert any("inside the guest" in finding.message for finding in plan.findings)
    receipt = agree(world, change)
    assert receipt.status == "done", receipt
    assert "size=132G" in str(guest_of(world, "web02").config["scsi0"])
    assert ask(world, "disk.grow", "web02", disk="scsi0", to="132G").proposal.plan is None


def test_a_smaller_disk_is_refused_with_the_alternatives(tmp_path: Path) -> None:
    world = make_world(tmp_path)
    with pytest.raises(PreflightError, match="never makes a disk smaller") as caught:
        ask(world, "disk.grow", "web02", disk="scsi0", to="16G")
    assert "restore into a new guest" in caught.value.hint
    assert world.writes() == []


def test_a_full_storage_takes_no_larger_disk(tmp_path: Path) -> None:
    """`fast` of the homelab is a ZFS pool without any space left."""
    world = make_world(tmp_path)
    with pytest.raises(PreflightError, match="free"):
        ask(world, "disk.grow", "mail01", disk="scsi0", by="10G")


def test_more_than_a_thin_pool_has_is_a_warning(tmp_path: Path) -> None:
    change = ask(make_world(tmp_path), "disk.grow", "web02", disk="scsi0", to="5T")
    assert any(f.code == "storage.too-small" for f in plan_of(change).findings)


def test_growing_names_the_snapshots_that_keep_the_old_size(tmp_path: Path) -> None:
    world = make_world(tmp_path)
    guest = guest_of(world, "web02")
    guest.snapshots["old"] = {**guest.config, "snaptime": 1_795_000_000}
    change = ask(world, "disk.grow", "web02", disk="scsi0", by="1G")
    assert any("old" in finding.message for finding in plan_of(change).findings)


def test_a_disk_moves_and_its_source_stays_as_unused(tmp_path: Path) -> None:
    world = make_world(tmp_path)
    change = ask(world, "disk.move", "mail01", disk="scsi0", storage="local-lvm")
    assert plan_of(change).tier == 2
    assert plan_of(change).items[0].undo == "pve disk move 120 scsi0 fast"
    assert agree(world, change).status == "done"
    config = guest_of(world, "mail01").config
    assert str(config["scsi0"]).startswith("local-lvm:")
    assert str(config["unused0"]).startswith("fast:")


def test_deleting_the_source_of_a_move_needs_a_tier_more(tmp_path: Path) -> None:
    world = make_world(tmp_path)
    params: dict[str, Scalar] = {"disk": "scsi0", "storage": "local-lvm", "delete_source": True}
    assert plan_of(ask(world, "disk.move", "mail01", **params)).tier == 3


@pytest.mark.parametrize("storage", ["fast", "backups"])
def test_a_storage_that_cannot_take_the_disk_is_refused(storage: str, tmp_path: Path) -> None:
    """`fast` is on pve2 only, and `backups` takes no disks."""
    world = make_world(tmp_path)
    with pytest.raises(PreflightError):
        ask(world, "disk.move", "web02", disk="scsi0", storage=storage)
    assert world.writes() == []


def test_a_disk_is_detached_and_attached_again(tmp_path: Path) -> None:
    world = make_world(tmp_path)
    guest = guest_of(world, "windows-lab")
    volid = str(guest.config["scsi0"]).partition(",")[0]
    assert agree(world, ask(world, "disk.detach", "windows-lab", disk="scsi0")).status == "done"
    assert guest.config["unused0"] == volid
    assert "scsi0" not in guest.config
    change = ask(world, "disk.attach", "windows-lab", disk="unused0", slot="scsi2")
    receipt = agree(world, change)
    assert receipt.status == "done", receipt
    assert str(guest.config["scsi2"]).startswith(volid)
    assert "unused0" not in guest.config


def test_the_boot_disk_of_a_running_vm_is_not_detached(tmp_path: Path) -> None:
    """PVE answers 400 and yet keeps the removal as pending (observed)."""
    world = make_world(tmp_path)
    with pytest.raises(PreflightError, match="boots from scsi0"):
        ask(world, "disk.detach", "web02", disk="scsi0")
    assert world.writes() == []


def test_detaching_an_unused_disk_never_destroys_it(tmp_path: Path) -> None:
    """`delete=unused0` frees the volume in PVE."""
    world = make_world(tmp_path)
    guest = guest_of(world, "windows-lab")
    guest.config["unused0"] = "local-lvm:vm-901-disk-1"
    change = ask(world, "disk.detach", "windows-lab", disk="unused0")
    assert change.proposal.plan is None
    assert world.writes() == []


@pytest.mark.parametrize(
    ("operation", "params", "error"),
    [
        ("disk.grow", {"disk": "scsi9", "to": "1G"}, NotFoundError),
        ("disk.grow", {"disk": "scsi0"}, UsageError),
        ("disk.grow", {"disk": "scsi0", "to": "1G", "by": "1G"}, UsageError),
        ("disk.grow", {"disk": "scsi0", "to": "much"}, UsageError),
        ("disk.attach", {"disk": "unused3"}, NotFoundError),
    ],
)
def test_what_makes_no_sense_is_refused(
    operation: str, params: dict[str, Scalar], error: type[Exception], tmp_path: Path
) -> None:
    world = make_world(tmp_path)
    with pytest.raises(error):
        ask(world, operation, "web02", **params)
    assert world.writes() == []


def test_a_stopped_vm_becomes_a_template_with_a_persons_code_only(tmp_path: Path) -> None:
    world = make_world(tmp_path)
    change = ask(world, "guest.convert-to-template", "windows-lab")
    plan = plan_of(change)
    assert plan.tier == 3
    assert plan.items[0].undo == ""
    for consent in (Consent("policy"), Consent("terminal", "windows-lab"), Consent("code", "")):
        with pytest.raises(Exception, match=r"consent|code|terminal"):
            apply_plan(world.session, change.plan_id, consent)
    with pytest.raises(ConsentInvalidError):
        apply_plan(world.session, change.plan_id, Consent("code", "AAAA-2222"))
    assert world.writes() == []
    receipt = agree(world, change)
    assert receipt.status == "done", receipt
    assert guest_of(world, "windows-lab").config["template"] == 1
    assert ask(world, "guest.convert-to-template", "windows-lab").proposal.plan is None


def test_a_running_guest_becomes_no_template(tmp_path: Path) -> None:
    world = make_world(tmp_path)
    with pytest.raises(PreflightError, match="it runs"):
        ask(world, "guest.convert-to-template", "web02")
