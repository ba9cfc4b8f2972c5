"""Clones, from an operator's words to the end state of the simulated cluster."""

from __future__ import annotations

from pathlib import Path

import pytest

from pveops.config.policy import Policy
from pveops.domain.inventory import read_inventory
from pveops.domain.selection import resolve_guest
from pveops.engine.apply import apply_plan
from pveops.engine.approve import Consent
from pveops.errors import AmbiguousError, NotFoundError, PreflightError, UsageError
from pveops.sim.guest import Guest
from tests.scenario.test_configuration import agree, ask, guest_of, plan_of
from tests.world import World, make_world

TEMPLATE = "debian-13-template"
GIB = 1 << 30


def give_cloud_init(world: World) -> Guest:
    """The template of the homelab, with a fixed address, and more that must not come along."""
    template = guest_of(world, TEMPLATE)
    template.config |= {
        "ciuser": "admin",
        "ipconfig0": "ip=10.0.0.5/24,gw=10.0.0.1",
        "onboot": 1,
        "protection": 1,
        "tags": "template",
    }
    return template


def test_clone_the_template_five_times_with_addresses(tmp_path: Path) -> None:
    world = make_world(tmp_path)
    give_cloud_init(world)
    change = ask(
        world,
        "guest.clone",
        TEMPLATE,
        count=5,
        name="k8s-{n}",
        ip="10.0.0.{n+10}/24",
        gateway="10.0.0.1",
        start=True,
    )
    plan = plan_of(change)
    assert plan.tier == 2, "outside of the pools for that"
    assert [item.target.name for item in plan.items] == [f"k8s-{n}" for n in range(1, 6)]
    assert len({item.target.id for item in plan.items}) == 5
    assert all(item.headline.startswith("NEW, linked clone of") for item in plan.items)
    receipt = agree(world, change)
    assert receipt.status == "done", receipt
    macs = set()
    for number in range(1, 6):
        clone = guest_of(world, f"k8s-{number}")
        assert clone.config["ipconfig0"] == f"ip=10.0.0.{number + 10}/24,gw=10.0.0.1"
        assert str(clone.config.get("onboot") or 0) == "0"
        assert not clone.config.get("protection")
        assert clone.config["ciuser"] == "admin"
        assert clone.process is not None
        macs.add(str(clone.config["net0"]).split(",")[0])
    assert len(macs) == 5
    assert str(guest_of(world, TEMPLATE).config["onboot"]) == "1"


def test_in_a_pool_for_that_an_agent_clones_at_once(tmp_path: Path) -> None:
    world = make_world(tmp_path, policy=Policy(create_pools=("sandbox",)))
    change = ask(world, "guest.clone", TEMPLATE, name="try", pool="sandbox")
    assert change.receipt is not None
    assert change.receipt.status == "done", change.receipt
    assert guest_of(world, "try").vmid in world.cluster.pools.by_id["sandbox"].vmids


def test_a_guest_that_was_just_made_is_known_by_name_and_not_made_twice(tmp_path: Path) -> None:
    """Before pvestatd's next round, /cluster/resources has neither its name nor its tags."""
    world = make_world(tmp_path, policy=Policy(create_pools=("sandbox",)))
    change = ask(world, "guest.clone", TEMPLATE, name="try", pool="sandbox")
    assert change.receipt is not None
    (row,) = (
        row
        for row in world.session.reader.get("/cluster/resources")
        if str(row.get("vmid")) == change.receipt.items[0].target.id
    )
    assert "name" not in row
    assert resolve_guest(read_inventory(world.session.reader), "try").vmid == row["vmid"]
    with pytest.raises(PreflightError, match="called try already"):
        ask(world, "guest.clone", TEMPLATE, name="try", pool="sandbox")


def test_a_fixed_address_is_not_taken_over_by_accident(tmp_path: Path) -> None:
    world = make_world(tmp_path)
    give_cloud_init(world)
    change = ask(world, "guest.clone", TEMPLATE, name="one")
    assert any(f.code == "address.dropped" for f in plan_of(change).findings)
    assert any("ciuser" in f.message for f in plan_of(change).findings)
    assert agree(world, change).status == "done"
    assert guest_of(world, "one").config["ipconfig0"] == "ip=dhcp"


def test_an_address_that_another_guest_has_is_refused(tmp_path: Path) -> None:
    world = make_world(tmp_path)
    guest_of(world, "dns01").config["net0"] = "name=eth0,bridge=vmbr0,ip=10.0.0.12/24,type=veth"
    with pytest.raises(PreflightError, match=r"10\.0\.0\.12 is configured for dns01") as caught:
        ask(world, "guest.clone", TEMPLATE, count=3, name="k{n}", ip="10.0.0.{n+10}/24")
    assert len(caught.value.details["blocked"]) == 1
    assert world.writes() == []


def test_without_cloud_init_the_shared_identity_is_explained(tmp_path: Path) -> None:
    world = make_world(tmp_path)
    del guest_of(world, TEMPLATE).config["ide2"]
    plan = plan_of(ask(world, "guest.clone", TEMPLATE, name="one"))
    found = next(f for f in plan.findings if f.code == "clone.identity")
    assert "machine-id" in found.message
    assert "ssh_host" in found.remedy
    with pytest.raises(PreflightError, match="no cloud-init drive"):
        ask(world, "guest.clone", TEMPLATE, name="one", ip="dhcp")


def test_full_clones_must_fit_all_together(tmp_path: Path) -> None:
    """`fast` of the homelab has no room; `local-lvm` is thin, so it is a warning there."""
    world = make_world(tmp_path)
    change = ask(world, "guest.clone", TEMPLATE, name="c{n}", count=50, full_clone=True)
    short = [f for f in plan_of(change).findings if f.code == "storage.too-small"]
    assert short == []
    guest_of(world, TEMPLATE).config["scsi0"] = "local-lvm:base-900-disk-0,size=80G"
    change = ask(world, "guest.clone", TEMPLATE, name="c{n}", count=50, full_clone=True)
    short = [f for f in plan_of(change).findings if f.code == "storage.too-small"]
    assert "50 full clones have 3.9 TiB" in short[0].message


def test_a_running_container_is_cloned_from_a_snapshot_only(tmp_path: Path) -> None:
    world = make_world(tmp_path)
    with pytest.raises(PreflightError, match="from a snapshot only") as caught:
        ask(world, "guest.clone", "proxy", name="proxy2")
    assert "pve snapshot create 204" in caught.value.hint
    assert ask(world, "snapshot.create", "proxy", snapname="clone").receipt is not None
    change = ask(world, "guest.clone", "proxy", name="proxy2", snapname="clone")
    assert agree(world, change).status == "done"
    assert guest_of(world, "proxy2").config["hostname"] == "proxy2"


def test_a_container_clone_gets_its_own_address_and_its_own_mac(tmp_path: Path) -> None:
    world = make_world(tmp_path)
    source = guest_of(world, "sandbox")
    source.config["net0"] = (
        "name=eth0,bridge=vmbr0,gw=10.0.0.1,hwaddr=BC:24:11:AA:BB:CC,ip=10.0.0.7/24,type=veth"
    )
    change = ask(world, "guest.clone", "sandbox", name="box2", ip="10.0.0.8/24")
    assert agree(world, change).status == "done"
    net = str(guest_of(world, "box2").config["net0"])
    assert "ip=10.0.0.8/24" in net
    assert "gw=10.0.0.1" in net
    assert "BC:24:11:AA:BB:CC" not in net
    assert "hwaddr=" in net


def test_an_id_that_was_taken_first_is_not_adopted(tmp_path: Path) -> None:
    """PVE reserves no id; the clone gets another one, and the stranger stays as it is."""
    world = make_world(tmp_path)
    change = ask(world, "guest.clone", TEMPLATE, name="mine")
    planned = int(plan_of(change).items[0].target.id)
    stranger = Guest(planned, "qemu", "pve1")
    stranger.config = {"name": "stranger", "memory": 512}
    world.cluster.guests[planned] = stranger
    receipt = agree(world, change)
    assert receipt.status == "done", receipt
    assert guest_of(world, "mine").vmid != planned
    assert world.cluster.guests[planned] is stranger
    assert stranger.config == {"name": "stranger", "memory": 512}


def test_what_was_made_is_listed_when_the_rest_fails(tmp_path: Path) -> None:
    from pveops.cli.changes import answer_of_receipt

    world = make_world(tmp_path)
    change = ask(world, "guest.clone", TEMPLATE, name="k{n}", count=3)
    refusal = {"kind": "refuse", "status": 500, "reason": "storage 'x' does not exist"}
    world.cluster.faults.add(method="POST", path=r"/900/clone$", after=1, times=0, **refusal)
    receipt = apply_plan(world.session, change.plan_id, Consent("code", world.code))
    assert (receipt.status, receipt.exit_code) == ("partial", 11)
    assert [item.status for item in receipt.items] == ["done", "not-executed", "not-executed"]
    answer = answer_of_receipt(receipt)
    assert any("pve guest delete k1" in line for line in answer.next), answer.next


@pytest.mark.parametrize(
    ("params", "error", "text"),
    [
        ({}, UsageError, "called"),
        ({"name": "x", "count": 2}, UsageError, "cannot all be called"),
        ({"name": "x{n}", "count": 2, "ip": "10.0.0.9/24"}, UsageError, "cannot all have"),
        ({"name": "x", "ip": "10.0.0.9"}, UsageError, "is no address"),
        ({"name": "x", "full_clone": True, "linked_clone": True}, UsageError, "either"),
        ({"name": "x", "storage": "local-lvm"}, UsageError, "linked clone"),
        ({"name": "x", "count": 51}, UsageError, "from 1 to 50"),
        ({"name": "bad name"}, UsageError, "is no name"),
        ({"name": "a\nb"}, UsageError, "is no name"),
        ({"name": "x{n*2}", "count": 2}, UsageError, "is no pattern"),
        ({"name": "web01"}, PreflightError, "called web01 already"),
        ({"name": "x", "pool": "nope"}, PreflightError, "there is no pool"),
        ({"name": "x", "node": "pve2"}, PreflightError, "does not reach its disks"),
        ({"name": "x", "node": "pve9"}, NotFoundError, "there is no node"),
        (
            {"name": "x", "full_clone": True, "storage": "fast"},
            PreflightError,
            "no available storage",
        ),
        ({"name": "x", "snapname": "nope"}, PreflightError, "has no snapshot"),
        ({"name": "x", "ip": "10.0.0.9/24", "gateway": "10.9.0.1"}, PreflightError, "gateway"),
    ],
)
def test_what_cannot_be_is_refused(
    params: dict[str, str | int | bool], error: type[Exception], text: str, tmp_path: Path
) -> None:
    world = make_world(tmp_path)
    with pytest.raises(error, match=text):
        ask(world, "guest.clone", TEMPLATE, **params)
    assert world.writes() == []


def test_the_source_has_to_be_one_guest(tmp_path: Path) -> None:
    world = make_world(tmp_path)
    with pytest.raises(AmbiguousError):
        ask(world, "guest.clone", "test", name="x")
    with pytest.raises(NotFoundError):
        ask(world, "guest.clone", "nothing", name="x")
