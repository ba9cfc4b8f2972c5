"""One guest to another node, from an operator's words to the end state of the cluster."""

from __future__ import annotations

from pathlib import Path

import pytest

from pveops.errors import NotFoundError, PveopsError, UsageError
from pveops.operations.plan import Call, Scalar
from pveops.sim.membership import power_off_node
from pveops.sim.seeds.furniture import add_storage
from tests.scenario.test_configuration import agree, ask, guest_of, plan_of
from tests.world import World, make_world


def volumes_on(world: World, node: str, vmid: int) -> list[str]:
    """The disks that carry the guest's id on that node's own storages."""
    found = world.cluster.storages.volumes_of_guest(world.cluster.nodes[node], vmid)
    return [volume.volid for volume in found]


def refusal_of(world: World, guest: str, **params: Scalar) -> PveopsError:
    with pytest.raises(PveopsError) as caught:
        ask(world, "guest.migrate", guest, **params)
    assert world.writes() == []
    return caught.value


def codes_of(error: PveopsError) -> set[str]:
    return {f.code for f in error.details["findings"] if f.severity == "block"}


def test_move_web02_to_pve3(tmp_path: Path) -> None:
    world = make_world(tmp_path)
    change = ask(world, "guest.migrate", "web02", node="pve3")
    plan = plan_of(change)
    assert plan.tier == 2
    assert "live to pve3 with 32 GiB of disks" in plan.items[0].headline
    assert plan.items[0].undo == "pve guest migrate 102 pve1"
    receipt = agree(world, change)
    assert receipt.status == "done", receipt
    assert receipt.items[0].message == "running on pve3"
    guest = guest_of(world, "web02")
    assert (guest.node, guest.is_running, guest.lock) == ("pve3", True, "")
    assert volumes_on(world, "pve1", 102) == []
    assert len(volumes_on(world, "pve3", 102)) == 1
    assert ask(world, "guest.migrate", "web02", node="pve3").proposal.plan is None


def test_what_takes_it_back_takes_it_back(tmp_path: Path) -> None:
    world = make_world(tmp_path)
    agree(world, ask(world, "guest.migrate", "web02", node="pve3"))
    assert agree(world, ask(world, "guest.migrate", "web02", node="pve1")).status == "done"
    assert guest_of(world, "web02").node == "pve1"


@pytest.mark.parametrize("version", ["8.4", "9.2"])
def test_a_container_moves_with_its_downtime_agreed_to(version: str, tmp_path: Path) -> None:
    """PVE before 9.0 tells nothing about containers (GET migrate answers 501)."""
    world = make_world(tmp_path, version=version)
    error = refusal_of(world, "proxy", node="pve3")
    assert codes_of(error) == {"move.container-runs"}
    assert "--restart" in error.hint
    change = ask(world, "guest.migrate", "proxy", node="pve3", restart=True)
    assert "down meanwhile" in plan_of(change).items[0].headline
    receipt = agree(world, change)
    assert receipt.status == "done", receipt
    guest = guest_of(world, "proxy")
    assert (guest.node, guest.is_running, guest.lock) == ("pve3", True, "")


def test_a_stopped_guest_moves_stopped(tmp_path: Path) -> None:
    world = make_world(tmp_path)
    receipt = agree(world, ask(world, "guest.migrate", "windows-lab", node="pve1"))
    assert receipt.items[0].message == "stopped on pve1"
    assert guest_of(world, "windows-lab").node == "pve1"


def test_ha_is_asked_for_what_it_manages_and_waited_for(tmp_path: Path) -> None:
    """`hamigrate` ends OK before anything has moved (observed)."""
    world = make_world(tmp_path)
    change = ask(world, "guest.migrate", "vault", node="pve3")
    assert any(finding.code == "ha.managed" for finding in plan_of(change).findings)
    receipt = agree(world, change)
    assert receipt.status == "done", receipt
    assert ":hamigrate:" in receipt.items[0].upid
    assert guest_of(world, "vault").node == "pve3"


def test_what_ha_does_not_take_up_is_pending_within_minutes(tmp_path: Path) -> None:
    """The manager drops requests for nodes that are not online without any task telling so."""
    world = make_world(tmp_path)
    change = ask(world, "guest.migrate", "vault", node="pve3")
    pve3 = world.cluster.nodes["pve3"]
    world.cluster.timeline.after(1.0, lambda: power_off_node(world.cluster, pve3))
    began = world.cluster.timeline.now()
    receipt = agree(world, change)
    assert (receipt.status, receipt.exit_code) == ("pending", 8), receipt
    assert "HA has taken the request, but it is still running on pve2" in receipt.items[0].message
    assert world.cluster.timeline.now() - began < 300


def test_disks_go_to_another_storage_with_a_limit(tmp_path: Path) -> None:
    world = make_world(tmp_path)
    world.cluster.storages.backings["local-lvm", "pve3"].is_online = False
    assert codes_of(refusal_of(world, "web02", node="pve3")) == {"storage.missing"}
    world.cluster.storages.backings["local-lvm", "pve3"].is_online = True
    add_storage(world.cluster, "second", "lvmthin", "images", total_gib=100, vgname="second")
    params: dict[str, Scalar] = {"target_storage": "local-lvm:second", "bwlimit": 102_400}
    change = ask(world, "guest.migrate", "web02", node="pve3", **params)
    call = plan_of(change).items[0].steps[0]
    assert isinstance(call, Call)
    assert call.params["targetstorage"] == "local-lvm:second"
    assert call.params["bwlimit"] == 102_400
    assert agree(world, change).status == "done"
    assert str(guest_of(world, "web02").config["scsi0"]).startswith("second:vm-102-disk-0")


def test_what_keeps_a_guest_where_it_is_is_told_with_a_remedy(tmp_path: Path) -> None:
    """What PVE itself refuses only once the move has begun (QemuMigrate.pm, LXC/Migrate.pm)."""
    world = make_world(tmp_path)
    config = guest_of(world, "web02").config
    config |= {"hostpci0": "0000:01:00.0", "net0": "virtio=BC:24:11:00:00:66,bridge=vmbr9"}
    config["ide2"] = "local:iso/debian.iso,media=cdrom"
    guest_of(world, "web02").snapshots["old"] = {"scsi0": config["scsi0"], "snaptime": 1}
    error = refusal_of(world, "web02", node="pve3")
    assert codes_of(error) == {
        "move.local-device",
        "network.missing",
        "move.local-iso",
        "move.snapshots",
    }
    blocks = [f for f in error.details["findings"] if f.severity == "block"]
    assert all(finding.remedy for finding in blocks)


def test_a_bind_mount_keeps_a_container(tmp_path: Path) -> None:
    world = make_world(tmp_path)
    guest_of(world, "proxy").config["mp0"] = "/srv/data,mp=/data"
    assert codes_of(refusal_of(world, "proxy", node="pve3", restart=True)) == {"move.bind-mount"}
    guest_of(world, "proxy").config["mp0"] = "/srv/data,mp=/data,shared=1"
    assert agree(world, ask(world, "guest.migrate", "proxy", node="pve3", restart=True))


def test_a_host_cpu_does_not_go_live_to_another_processor(tmp_path: Path) -> None:
    world = make_world(tmp_path)
    guest_of(world, "web02").config["cpu"] = "host"
    world.cluster.nodes["pve3"].cpu_model = "Another CPU"
    assert codes_of(refusal_of(world, "web02", node="pve3")) == {"cpu.differs"}
    assert agree(world, ask(world, "guest.migrate", "web02", node="pve2")).status == "done"


def test_a_running_vm_does_not_go_to_an_older_pve(tmp_path: Path) -> None:
    from pveops.sim.version import VERSIONS

    world = make_world(tmp_path)
    world.cluster.nodes["pve3"].version = VERSIONS["8.4"]
    assert codes_of(refusal_of(world, "web02", node="pve3")) == {"version.older"}


def test_a_replicated_vm_goes_to_its_replica_only(tmp_path: Path) -> None:
    """`Cannot live-migrate replicated VM to node ...` (API2/Qemu.pm)."""
    world = make_world(tmp_path)
    job = {"guest": 102, "target": "pve2", "source": "pve1", "type": "local", "jobnum": 0}
    world.cluster.replication_jobs["102-0"] = job
    assert codes_of(refusal_of(world, "web02", node="pve3")) == {"replication.elsewhere"}
    assert agree(world, ask(world, "guest.migrate", "web02", node="pve2")).status == "done"
    assert job["target"] == "pve1"


def test_ha_rules_are_heeded(tmp_path: Path) -> None:
    world = make_world(tmp_path)
    rules = world.cluster.ha.rules
    rules["keep"] = {"type": "node-affinity", "resources": "vm:108", "nodes": "pve1,pve2"}
    rules["keep"]["strict"] = 1
    found = codes_of(refusal_of(world, "vault", node="pve3"))
    assert found == {"move.not-allowed", "ha.not-allowed"}
    rules["keep"] = {"type": "node-affinity", "resources": "vm:108", "nodes": "pve2:9,pve3"}
    plan = plan_of(ask(world, "guest.migrate", "vault", node="pve3"))
    back = next(finding for finding in plan.findings if finding.code == "ha.fails-back")
    assert "node-maintenance enable pve2" in back.remedy


def test_full_memory_and_dead_nodes_are_no_place(tmp_path: Path) -> None:
    world = make_world(tmp_path)
    guest_of(world, "db01").config["memory"] = str(40 * 1024)
    assert codes_of(refusal_of(world, "db01", node="pve3")) == {"memory.short"}
    power_off_node(world.cluster, world.cluster.nodes["pve3"])
    assert codes_of(refusal_of(world, "web02", node="pve3")) == {"node.not-online"}


def test_after_a_failed_move_the_answer_says_where_the_guest_is(tmp_path: Path) -> None:
    world = make_world(tmp_path)
    change = ask(world, "guest.migrate", "web02", node="pve3")
    world.cluster.storages.backings["local-lvm", "pve3"].is_online = False
    item = agree(world, change).items[0]
    assert item.status == "failed"
    assert "migration aborted; it is running on pve1 (it can be asked for again" in item.message
    assert "pve guest migrate 102 pve3" in item.message
    assert guest_of(world, "web02").is_running


def test_what_a_failed_move_leaves_behind_is_named(tmp_path: Path) -> None:
    """Copies of a container's volumes stay on the target (LXC/Migrate.pm phase1_cleanup)."""
    world = make_world(tmp_path)
    storages, nodes = world.cluster.storages, world.cluster.nodes
    add_storage(world.cluster, "thick", "lvm", "images,rootdir", total_gib=40, vgname="thick")
    data = storages.allocate_disk(nodes["pve2"], "thick", 204, 8 << 30)
    guest = guest_of(world, "proxy")
    guest.config["mp0"] = f"{data.volid},mp=/data,size=8G"
    change = ask(world, "guest.migrate", "proxy", node="pve3", restart=True)
    storages.backings["thick", "pve3"].used_elsewhere_bytes = 39 << 30
    item = agree(world, change).items[0]
    assert item.status == "failed"
    assert "it is running on pve2 (left on pve3: local-lvm:vm-204-disk-0;" in item.message
    assert item.after["left"] == "local-lvm:vm-204-disk-0"
    assert (guest.node, guest.is_running) == ("pve2", True)


def test_a_killed_move_leaves_a_lock_and_the_way_out_is_told(tmp_path: Path) -> None:
    """A worker that is killed cleans nothing up: lock and half copy stay."""
    world = make_world(tmp_path)
    change = ask(world, "guest.migrate", "web02", node="pve3")
    path = r"/qemu/102/migrate$"
    world.cluster.faults.add("task-error", method="POST", path=path, reason="got signal")
    item = agree(world, change).items[0]
    assert "running on pve1, locked (migrate) (left on pve3: local-lvm:vm-102" in item.message
    assert "qm unlock 102" in item.message


@pytest.mark.parametrize(
    ("params", "error"),
    [
        ({"node": "nowhere"}, NotFoundError),
        ({"node": "pve3", "online": True, "offline": True}, UsageError),
        ({"node": "pve3", "target_storage": "a b"}, UsageError),
    ],
)
def test_what_makes_no_sense_is_refused(
    params: dict[str, Scalar], error: type[Exception], tmp_path: Path
) -> None:
    with pytest.raises(error):
        ask(make_world(tmp_path), "guest.migrate", "web02", **params)
