"""Moves of guests on the simulated cluster, as qemu-server and pve-container tell them."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

import pytest

from pveops.sim.ha import Resource, add_resource
from pveops.sim.seeds import build
from pveops.sim.seeds.furniture import add_storage
from pveops.sim.timeline import Timeline
from pveops.sim.version import VERSIONS
from tests.unit.sim.test_methods import Caller

CT = "/nodes/pve1/lxc/201"
VM = "/nodes/pve1/qemu/102"


def homelab(version: str = "9.2") -> Caller:
    return Caller(build("homelab", Timeline(1_800_000_000.0), VERSIONS[version]))


def move(caller: Caller, path: str, **params: Any) -> tuple[str, list[str]]:
    """How the task ended, and its log."""
    upid = caller.data("POST", f"{path}/migrate", target="pve3", **params)
    caller.wait(7200)
    node = upid.split(":")[1]
    place = f"/nodes/{node}/tasks/{quote(upid)}"
    lines = [row["t"] for row in caller.data("GET", f"{place}/log", limit=500)]
    return str(caller.data("GET", f"{place}/status")["exitstatus"]), lines


def test_before_9_0_nothing_is_told_about_containers() -> None:
    assert homelab("8.4").send("GET", f"{CT}/migrate")["status"] == 501
    answer = homelab().data("GET", f"{CT}/migrate")
    assert answer["allowed-nodes"] == ["pve2", "pve3"]
    assert answer["running"] == 1


def test_a_running_container_has_to_be_restarted() -> None:
    caller = homelab()
    refused = caller.send("POST", f"{CT}/migrate", target="pve3")
    assert refused["reason"] == "can't migrate running container without --online or --restart"
    status, log = move(caller, CT, online=1)
    assert status == "migration aborted"
    assert "lxc live migration is currently not implemented" in log[0]
    assert caller.cluster.guests[201].node == "pve1"


def test_restart_mode_stops_moves_and_starts() -> None:
    caller = homelab()
    before = caller.cluster.guests[201].process
    status, log = move(caller, CT, restart=1)
    guest = caller.cluster.guests[201]
    assert status == "OK"
    assert log[0] == "shutdown CT 201"
    assert "start container on target node" in log
    assert (guest.node, guest.is_running, guest.lock) == ("pve3", True, "")
    assert guest.process is not before
    storages, nodes = caller.cluster.storages, caller.cluster.nodes
    assert list(storages.volumes_of_guest(nodes["pve1"], 201)) == []
    assert len(list(storages.volumes_of_guest(nodes["pve3"], 201))) == 1


def test_a_container_that_does_not_stop_is_never_killed() -> None:
    caller = homelab()
    caller.cluster.guests[201].temper.shutdown_s = None
    status, log = move(caller, CT, restart=1, timeout=30)
    assert status == "migration aborted"
    assert any("container did not stop" in line for line in log)
    guest = caller.cluster.guests[201]
    assert (guest.node, guest.is_running, guest.lock) == ("pve1", True, "")


def test_bind_mounts_stay_unless_they_are_called_shared() -> None:
    caller = homelab()
    caller.cluster.guests[201].config["mp0"] = "/srv,mp=/srv"
    _, log = move(caller, CT, restart=1)
    assert "cannot migrate local bind mount point 'mp0'" in log[0]
    caller.cluster.guests[201].config["mp0"] = "/srv,mp=/srv,shared=1"
    assert move(caller, CT, restart=1)[0] == "OK"


def test_copies_of_a_containers_volumes_are_left_behind() -> None:
    caller = homelab()
    add_storage(caller.cluster, "thick", "lvm", "rootdir", total_gib=8, vgname="thick")
    storages, nodes = caller.cluster.storages, caller.cluster.nodes
    data = storages.allocate_disk(nodes["pve1"], "thick", 201, 4 << 30)
    storages.backings["thick", "pve3"].used_elsewhere_bytes = 8 << 30
    guest = caller.cluster.guests[201]
    guest.config["mp0"] = f"{data.volid},mp=/data,size=4G"
    status, log = move(caller, CT, restart=1)
    assert status == "migration aborted"
    stale = "ERROR: found stale volume copy 'local-lvm:vm-201-disk-0' on node 'pve3'"
    assert stale in log
    assert len(list(storages.volumes_of_guest(nodes["pve3"], 201))) == 1
    assert (guest.node, guest.is_running, guest.lock) == ("pve1", True, "")


def test_ha_relocates_containers() -> None:
    caller = homelab()
    add_resource(caller.cluster, Resource("ct:201", "started", {}, current="started"))
    status, log = move(caller, CT, restart=1)
    assert (status, log[0]) == ("OK", "Requesting HA migration for CT 201 to node pve3")
    guest = caller.cluster.guests[201]
    assert (guest.node, guest.is_running) == ("pve3", True)


@pytest.mark.parametrize(
    ("config", "snapshots", "params", "words"),
    [
        ({"hostpci0": "0000:01:00"}, (), {}, "uses local devices: hostpci0"),
        ({"ide2": "local:iso/a.iso,media=cdrom"}, (), {}, "local cdrom image"),
        ({}, ("old",), {}, "online storage migration not possible if snapshot exists"),
    ],
)
def test_what_keeps_a_vm_is_told_in_the_log_and_nothing_is_left(
    config: dict[str, str],
    snapshots: tuple[str, ...],
    params: dict[str, Any],
    words: str,
) -> None:
    caller = homelab()
    guest = caller.cluster.guests[102]
    if "ide2" in config:
        _add_iso(caller)
    guest.config |= config
    for name in snapshots:
        guest.snapshots[name] = dict(guest.config)
    status, log = move(caller, VM, online=1, **{"with-local-disks": 1}, **params)
    assert status == "migration aborted"
    assert any(words in line for line in log), log
    assert (guest.node, guest.is_running, guest.lock) == ("pve1", True, "")
    pve3 = caller.cluster.nodes["pve3"]
    assert list(caller.cluster.storages.volumes_of_guest(pve3, 102)) == []


def _add_iso(caller: Caller) -> None:
    from pveops.sim.volume import Volume

    volume = Volume("local", "iso/a.iso", "iso", "iso", 1 << 20, 1 << 20, 0)
    caller.cluster.storages.add_volume(caller.cluster.nodes["pve1"], volume)


def test_disks_go_where_the_map_says() -> None:
    caller = homelab()
    add_storage(caller.cluster, "second", "lvmthin", "images", total_gib=90, vgname="second")
    wanted = {"targetstorage": "nothing:local,local-lvm:second", "with-local-disks": 1}
    assert move(caller, VM, online=1, **wanted)[0] == "OK"
    assert caller.cluster.guests[102].config["scsi0"].startswith("second:vm-102-disk-0,")


def test_a_template_keeps_the_names_of_its_disks_and_stays_with_its_clones() -> None:
    caller = homelab()
    path = "/nodes/pve1/qemu/900"
    assert move(caller, path)[0] == "OK"
    assert caller.cluster.guests[900].config["scsi0"].startswith("local-lvm:base-900-disk-0,")
    back = caller.data("POST", "/nodes/pve3/qemu/900/clone", newid=950)
    caller.wait(60)
    assert 950 in caller.cluster.guests, back
    upid = caller.data("POST", "/nodes/pve3/qemu/900/migrate", target="pve1")
    caller.wait(600)
    log = caller.data("GET", f"/nodes/pve3/tasks/{quote(upid)}/log")
    assert any("referenced by linked clone(s)" in row["t"] for row in log)


def test_ha_rules_refuse_nodes() -> None:
    caller = homelab()
    rule = {"type": "node-affinity", "resources": "vm:108", "nodes": "pve1,pve2", "strict": 1}
    caller.cluster.ha.rules["home"] = rule
    told = caller.data("GET", "/nodes/pve2/qemu/108/migrate")
    assert told["allowed_nodes"] == ["pve1"]
    blocking = told["not_allowed_nodes"]["pve3"]["blocking-ha-resources"]
    assert blocking == [{"sid": "vm:108", "cause": "node-affinity"}]
    status, _ = move(caller, "/nodes/pve2/qemu/108", online=1)
    assert status.startswith("cannot migrate resource 'vm:108' to node 'pve3'")


def test_a_replicated_vm_runs_on_to_its_replica_only() -> None:
    caller = homelab()
    job = {"guest": 102, "target": "pve3", "source": "pve1", "type": "local", "jobnum": 0}
    caller.cluster.replication_jobs["102-0"] = job
    given = {"online": 1, "with-local-disks": 1}
    refused = caller.send("POST", f"{VM}/migrate", target="pve2", **given)
    assert refused["reason"].startswith("Cannot live-migrate replicated VM to node 'pve2'")
    assert move(caller, VM, **given)[0] == "OK"
    assert (job["source"], job["target"]) == ("pve3", "pve1")
