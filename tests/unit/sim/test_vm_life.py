"""The life of VMs, from create to destroy, through the whole pipeline.

Expectations: recorded answers of a real API daemon (phases machines, disks, deletes, live), and
qemu-server and pve-guest-common where a test says so.
"""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

import pytest

from pveops.sim.ha import Resource, add_resource
from pveops.sim.seeds import build
from pveops.sim.storage import Backing
from pveops.sim.timeline import Timeline
from pveops.sim.version import VERSIONS
from tests.unit.sim.test_methods import Caller

_QEMU = "/nodes/pve1/qemu"
_VM = f"{_QEMU}/100"
_GIB = 1 << 30


@pytest.fixture
def caller() -> Caller:
    """A fresh standalone node with VM 100, which has one disk and stands still."""
    caller = Caller(build("recorded", Timeline(1_800_000_000.0), VERSIONS["9.2"]))
    make(caller, 100, name="vm-a", scsi0="local:1,format=qcow2")
    return caller


def make(caller: Caller, vmid: int, **options: Any) -> None:
    """Create a VM and wait for it."""
    assert finish(caller, "POST", _QEMU, vmid=vmid, **options) == "OK"


def finish(caller: Caller, method: str, path: str, /, **params: Any) -> str:
    """Start a task, let it end, and tell how."""
    return ending(caller, begin(caller, method, path, **params))


def ending(caller: Caller, upid: str) -> str:
    """Let a task end, and tell how."""
    caller.cluster.timeline.advance(60)
    return str(caller.data("GET", f"/nodes/pve1/tasks/{quote(upid)}/status")["exitstatus"])


def begin(caller: Caller, method: str, path: str, /, **params: Any) -> str:
    """Start a task that goes on."""
    return str(caller.data(method, path, **params))


def config(caller: Caller, vmid: int = 100, **params: Any) -> dict[str, Any]:
    """The configuration as it is shown."""
    found: dict[str, Any] = caller.data("GET", f"{_QEMU}/{vmid}/config", **params)
    return found


def volumes(caller: Caller) -> list[str]:
    """The disk images on storage `local`."""
    rows = caller.data("GET", "/nodes/pve1/storage/local/content", content="images")
    return sorted(row["volid"] for row in rows)


def log(caller: Caller, upid: str) -> list[str]:
    """The lines of a task's log."""
    return [row["t"] for row in caller.data("GET", f"/nodes/pve1/tasks/{quote(upid)}/log")]


def test_a_new_vm_gets_what_pve_adds(caller: Caller) -> None:
    made = config(caller)
    assert made["boot"] == "order=scsi0"
    assert made["scsi0"] == "local:100/vm-100-disk-0.qcow2,size=1G"
    assert made["meta"].startswith("creation-qemu=")
    assert made["smbios1"].startswith("uuid=")
    assert "lock" not in made


def test_a_vm_that_is_being_made_holds_the_lock_create(caller: Caller) -> None:
    begin(caller, "POST", _QEMU, vmid=101, scsi0="local:1")
    assert set(config(caller, 101)) == {"digest", "lock"}


def test_nothing_stays_of_a_vm_that_could_not_be_made(caller: Caller) -> None:
    ended = finish(caller, "POST", _QEMU, vmid=101, scsi0="local:1", scsi1="local:9/none.raw")
    assert ended.startswith("unable to create VM 101 - ")
    assert caller.send("GET", f"{_QEMU}/101/config")["status"] == 500
    assert volumes(caller) == ["local:100/vm-100-disk-0.qcow2"]


def test_a_taken_id_is_refused_at_once(caller: Caller) -> None:
    answer = caller.send("POST", _QEMU, vmid=100)
    assert answer["reason"] == "unable to create VM 100 - VM 100 already exists on node 'pve1'"


def test_a_stale_digest_changes_nothing(caller: Caller) -> None:
    stale = config(caller)["digest"]
    caller.data("PUT", f"{_VM}/config", memory=96)
    answer = caller.send("PUT", f"{_VM}/config", memory=128, digest=stale)
    assert answer["reason"] == "checksum mismatch (file change by other user?)"
    assert config(caller)["memory"] == "96"


def test_memory_of_a_running_vm_waits_for_its_stop(caller: Caller) -> None:
    caller.data("PUT", f"{_VM}/config", memory=64)
    assert finish(caller, "POST", f"{_VM}/status/start") == "OK"
    caller.data("PUT", f"{_VM}/config", memory=128, name="vm-b")
    assert config(caller, current=1)["memory"] == "64"
    assert config(caller, current=1)["name"] == "vm-b"
    row = next(r for r in caller.data("GET", f"{_VM}/pending") if r["key"] == "memory")
    assert row == {"key": "memory", "value": "64", "pending": "128"}
    assert finish(caller, "POST", f"{_VM}/status/stop") == "OK"
    assert config(caller, current=1)["memory"] == "128"


def test_a_boot_disk_of_a_running_vm_stays_and_is_to_go(caller: Caller) -> None:
    finish(caller, "POST", f"{_VM}/status/start")
    answer = caller.send("PUT", f"{_VM}/config", delete="scsi0")
    assert answer["status"] == 400
    assert answer["errors"] == {"scsi0": "hotplug problem - can't unplug bootdisk 'scsi0'\n"}
    rows = {row["key"]: row for row in caller.data("GET", f"{_VM}/pending")}
    assert rows["scsi0"]["delete"] == 1
    caller.data("PUT", f"{_VM}/config", revert="scsi0")
    rows = {row["key"]: row for row in caller.data("GET", f"{_VM}/pending")}
    assert "delete" not in rows["scsi0"]


def test_a_detached_disk_is_unused_until_it_is_deleted(caller: Caller) -> None:
    caller.data("PUT", f"{_VM}/config", scsi1="local:1")
    caller.data("PUT", f"{_VM}/config", delete="scsi1")
    assert config(caller)["unused0"] == "local:100/vm-100-disk-1.raw"
    caller.data("PUT", f"{_VM}/unlink", idlist="unused0", force=1)
    assert "unused0" not in config(caller)
    assert volumes(caller) == ["local:100/vm-100-disk-0.qcow2"]


def test_only_root_sets_and_skips_a_lock(caller: Caller) -> None:
    caller.data("PUT", f"{_VM}/config", lock="backup")
    assert caller.send("PUT", f"{_VM}/config", memory=64)["reason"] == "VM is locked (backup)"
    assert finish(caller, "DELETE", _VM) == "VM is locked (backup)"
    caller.data("PUT", f"{_VM}/config", delete="lock", skiplock=1)
    assert "lock" not in config(caller)


def test_a_rollback_brings_the_whole_configuration_back(caller: Caller) -> None:
    """And keeps the notes, as AbstractConfig.pm does."""
    assert finish(caller, "POST", f"{_VM}/snapshot", snapname="s1") == "OK"
    caller.data("PUT", f"{_VM}/config", memory=96, description="later", scsi1="local:1")
    assert finish(caller, "POST", f"{_VM}/snapshot/s1/rollback") == "OK"
    now = config(caller)
    assert "memory" not in now
    assert now["description"] == "later"
    assert now["unused0"] == "local:100/vm-100-disk-1.raw"
    assert now["parent"] == "s1"


def test_children_of_a_deleted_snapshot_get_its_parent(caller: Caller) -> None:
    for name in ("s1", "s2", "s3"):
        finish(caller, "POST", f"{_VM}/snapshot", snapname=name)
    assert finish(caller, "DELETE", f"{_VM}/snapshot/s2") == "OK"
    rows = {row["name"]: row for row in caller.data("GET", f"{_VM}/snapshot")}
    assert rows["s3"]["parent"] == "s1"
    assert rows["current"]["parent"] == "s3"


def test_a_raw_disk_in_a_directory_has_no_snapshots(caller: Caller) -> None:
    make(caller, 101, scsi0="local:1")
    feature = caller.data("GET", f"{_QEMU}/101/feature", feature="snapshot")
    assert feature == {"hasFeature": 0, "nodes": ["pve1"]}
    ended = finish(caller, "POST", f"{_QEMU}/101/snapshot", snapname="s1")
    assert ended == "snapshot feature is not available"


def test_zfs_rolls_back_to_the_newest_snapshot_alone(caller: Caller) -> None:
    """ZFSPoolPlugin.pm."""
    storages = caller.cluster.storages
    storages.define("tank", "zfspool", {"pool": "tank", "content": "images"})
    storages.backings["tank", "pve1"] = Backing(100 * _GIB)
    make(caller, 101, scsi0="tank:1")
    for name in ("s1", "s2"):
        finish(caller, "POST", f"{_QEMU}/101/snapshot", snapname=name)
    ended = finish(caller, "POST", f"{_QEMU}/101/snapshot/s1/rollback")
    assert ended == "can't rollback, 's1' is not most recent snapshot on 'tank:vm-101-disk-0'"
    assert finish(caller, "POST", f"{_QEMU}/101/snapshot/s2/rollback") == "OK"


def test_a_killed_snapshot_leaves_its_lock_and_half_an_entry(caller: Caller) -> None:
    upid = begin(caller, "POST", f"{_VM}/snapshot", snapname="s1")
    caller.data("DELETE", f"/nodes/pve1/tasks/{quote(upid)}")
    assert config(caller)["lock"] == "snapshot"
    assert caller.cluster.guests[100].snapshots["s1"]["snapstate"] == "prepare"


def test_memory_is_saved_to_a_volume_that_goes_with_its_snapshot(caller: Caller) -> None:
    finish(caller, "POST", f"{_VM}/status/start")
    assert finish(caller, "POST", f"{_VM}/snapshot", snapname="live1", vmstate=1) == "OK"
    assert "local:100/vm-100-state-live1.raw" in volumes(caller)
    finish(caller, "POST", f"{_VM}/status/stop")
    assert finish(caller, "POST", f"{_VM}/snapshot/live1/rollback") == "OK"
    assert caller.cluster.guests[100].is_running
    finish(caller, "DELETE", f"{_VM}/snapshot/live1")
    assert volumes(caller) == ["local:100/vm-100-disk-0.qcow2"]


def test_a_full_clone_is_somebody_else(caller: Caller) -> None:
    caller.data("PUT", f"{_VM}/config", net0="virtio,bridge=vmbr0")
    assert finish(caller, "POST", f"{_VM}/clone", newid=110, name="b") == "OK"
    source, clone = config(caller), config(caller, 110)
    assert clone["scsi0"] == "local:110/vm-110-disk-0.qcow2,size=1G"
    for key in ("net0", "smbios1", "vmgenid", "name"):
        assert clone[key] != source[key]
    assert clone["meta"] == source["meta"]


def test_a_template_stays_as_long_as_it_has_linked_clones(caller: Caller) -> None:
    assert finish(caller, "POST", f"{_VM}/template") == "OK"
    assert finish(caller, "POST", f"{_VM}/clone", newid=120) == "OK"
    base = "local:100/base-100-disk-0.qcow2"
    assert config(caller, 120)["scsi0"] == f"{base}/120/vm-120-disk-0.qcow2,size=1G"
    assert finish(caller, "DELETE", _VM) == (
        f"base volume '{base}' is still in use by linked cloned"
    )
    assert finish(caller, "DELETE", f"{_QEMU}/120") == "OK"
    assert finish(caller, "DELETE", _VM) == "OK"
    assert volumes(caller) == []


def test_a_disk_grows_and_never_shrinks(caller: Caller) -> None:
    assert finish(caller, "PUT", f"{_VM}/resize", disk="scsi0", size="+1G") == "OK"
    assert config(caller)["scsi0"].endswith("size=2G")
    ended = finish(caller, "PUT", f"{_VM}/resize", disk="scsi0", size="1G")
    assert ended == "shrinking disks is not supported"


def test_a_moved_disk_leaves_its_source_unused(caller: Caller) -> None:
    ended = finish(caller, "POST", f"{_VM}/move_disk", disk="scsi0", storage="local", format="raw")
    assert ended == "OK"
    assert config(caller)["scsi0"] == "local:100/vm-100-disk-1.raw,size=1G"
    assert config(caller)["unused0"] == "local:100/vm-100-disk-0.qcow2"


def test_a_disk_can_become_another_vms(caller: Caller) -> None:
    make(caller, 101, name="b")
    caller.data("PUT", f"{_VM}/config", scsi1="local:1")
    ended = finish(caller, "POST", f"{_VM}/move_disk", disk="scsi1", **{"target-vmid": 101})
    assert ended == "OK"
    assert "scsi1" not in config(caller)
    assert config(caller, 101)["scsi1"] == "local:101/vm-101-disk-0.raw,size=1G"


def test_a_purge_removes_what_names_the_vm(caller: Caller) -> None:
    cluster = caller.cluster
    add_resource(cluster, Resource("vm:100"))
    cluster.backup_jobs["only"] = {"id": "only", "vmid": "100"}
    cluster.backup_jobs["both"] = {"id": "both", "vmid": "100,101"}
    cluster.replication_jobs["100-0"] = {"id": "100-0", "guest": "100"}
    answer = caller.send("DELETE", _VM)
    assert answer["reason"] == (
        "unable to remove VM 100 - used in HA resources and purge parameter not set."
    )
    assert finish(caller, "DELETE", _VM, purge=1) == "OK"
    assert cluster.ha.resources == {}
    assert list(cluster.backup_jobs) == ["both"]
    assert cluster.backup_jobs["both"]["vmid"] == "101"
    assert cluster.replication_jobs == {}


def test_an_agent_that_is_not_there_costs_three_seconds(caller: Caller) -> None:
    ping = f"{_VM}/agent/ping"
    assert caller.send("POST", ping)["reason"] == "No QEMU guest agent configured"
    caller.data("PUT", f"{_VM}/config", agent=1)
    assert caller.send("POST", ping)["reason"] == "VM 100 is not running"
    finish(caller, "POST", f"{_VM}/status/start")
    before = caller.cluster.timeline.now()
    assert caller.send("POST", ping)["reason"] == "QEMU guest agent is not running"
    assert caller.cluster.timeline.now() - before == pytest.approx(3.0)


def test_an_agent_runs_programs(caller: Caller) -> None:
    caller.data("PUT", f"{_VM}/config", agent=1)
    caller.cluster.guests[100].temper.agent = "answers"
    finish(caller, "POST", f"{_VM}/status/start")
    pid = caller.data("POST", f"{_VM}/agent/exec", command="hostname")["pid"]
    assert caller.data("GET", f"{_VM}/agent/exec-status", pid=pid) == {"exited": 0}
    caller.cluster.timeline.advance(1)
    ended = caller.data("GET", f"{_VM}/agent/exec-status", pid=pid)
    assert ended == {"exited": 1, "exitcode": 0, "out-data": "vm-a\n"}
    assert caller.send("POST", f"{_VM}/agent/exec", command="nosuch")["status"] == 500


def test_a_password_for_cloud_init_is_not_shown(caller: Caller) -> None:
    caller.data("PUT", f"{_VM}/config", ide2="local:cloudinit", ciuser="u", cipassword="pw-1")
    assert config(caller)["cipassword"] == "**********"
    assert "pw-1" not in caller.data("GET", f"{_VM}/cloudinit/dump", type="user")


def test_the_drive_of_cloud_init_lags_until_it_is_written_anew(caller: Caller) -> None:
    caller.data("PUT", f"{_VM}/config", ide2="local:cloudinit", ciuser="u")
    caller.data("PUT", f"{_VM}/cloudinit")
    caller.data("PUT", f"{_VM}/config", ciuser="v")
    rows = caller.data("GET", f"{_VM}/cloudinit")
    assert rows == [{"key": "ciuser", "value": "u", "pending": "v"}]
    caller.data("PUT", f"{_VM}/cloudinit")
    assert caller.data("GET", f"{_VM}/cloudinit") == [{"key": "ciuser", "value": "v"}]


def test_a_hibernated_vm_goes_on_and_its_memory_is_freed(caller: Caller) -> None:
    finish(caller, "POST", f"{_VM}/status/start")
    assert finish(caller, "POST", f"{_VM}/status/suspend", todisk=1) == "OK"
    asleep = config(caller)
    assert asleep["lock"] == "suspended"
    assert asleep["vmstate"] in volumes(caller)
    upid = begin(caller, "POST", f"{_VM}/status/start")
    assert ending(caller, upid) == "OK"
    assert log(caller, upid)[-2:] == ["Resumed VM, removing state", "TASK OK"]
    assert "lock" not in config(caller)
    assert volumes(caller) == ["local:100/vm-100-disk-0.qcow2"]


def test_a_vm_moves_with_its_disks_to_another_node() -> None:
    caller = Caller(build("homelab", Timeline(1_800_000_000.0), VERSIONS["9.2"]))
    path = f"{_QEMU}/102"
    before = caller.data("GET", f"{path}/migrate")
    assert before["running"] == 1
    assert [disk["drivename"] for disk in before["local_disks"]] == ["scsi0"]
    refused = caller.send("POST", f"{path}/migrate", target="pve3")
    assert refused["reason"] == "can't migrate running VM without --online"
    params = {"target": "pve3", "online": 1, "with-local-disks": 1}
    assert finish(caller, "POST", f"{path}/migrate", **params) == "OK"
    guest = caller.cluster.guests[102]
    assert (guest.node, guest.is_running, guest.lock) == ("pve3", True, "")
    storages = caller.cluster.storages
    volid = guest.config["scsi0"].split(",")[0]
    assert storages.find_volume(caller.cluster.nodes["pve3"], volid) is not None
    assert storages.find_volume(caller.cluster.nodes["pve1"], volid) is None


def test_a_move_that_ha_is_asked_for_comes_later() -> None:
    """Hamigrate ends at once; the manager's own qmigrate follows (pve-ha-manager)."""
    caller = Caller(build("homelab", Timeline(1_800_000_000.0), VERSIONS["9.2"]))
    guest = caller.cluster.guests[108]
    node, path = guest.node, f"/nodes/{guest.node}/qemu/108"
    upid = begin(caller, "POST", f"{path}/migrate", target="pve3", online=1)
    caller.cluster.timeline.advance(2)
    status = caller.data("GET", f"/nodes/{node}/tasks/{quote(upid)}/status")
    assert status["exitstatus"] == "OK"
    assert guest.node == node
    caller.cluster.timeline.advance(120)
    assert (guest.node, guest.is_running) == ("pve3", True)


def test_a_killed_migration_leaves_its_lock() -> None:
    caller = Caller(build("homelab", Timeline(1_800_000_000.0), VERSIONS["9.2"]))
    params = {"target": "pve3", "online": 1, "with-local-disks": 1}
    upid = begin(caller, "POST", f"{_QEMU}/102/migrate", **params)
    caller.data("DELETE", f"/nodes/pve1/tasks/{quote(upid)}")
    guest = caller.cluster.guests[102]
    assert (guest.node, guest.lock, guest.is_running) == ("pve1", "migrate", True)


def test_a_cd_needs_to_be_called_one(caller: Caller) -> None:
    answer = caller.send("PUT", f"{_VM}/config", ide2="local:iso/a.iso")
    assert answer["reason"] == "explicit 'media=cdrom' is required for iso images"


def test_a_clone_that_cannot_be_finished_leaves_nothing(caller: Caller) -> None:
    upid = begin(caller, "POST", f"{_VM}/clone", newid=110)
    caller.data("DELETE", f"/nodes/pve1/tasks/{quote(upid)}")
    assert 110 not in caller.cluster.guests
    assert volumes(caller) == ["local:100/vm-100-disk-0.qcow2"]


def test_a_change_waits_ten_seconds_for_the_file_lock(caller: Caller) -> None:
    finish(caller, "POST", f"{_VM}/status/start")
    begin(caller, "POST", f"{_VM}/status/shutdown", timeout=60)
    before = caller.cluster.timeline.now()
    answer = caller.send("PUT", f"{_VM}/config", memory=64)
    assert answer["reason"] == (
        "can't lock file '/var/lock/qemu-server/lock-100.conf' - got timeout"
    )
    assert caller.cluster.timeline.now() - before == pytest.approx(10.0)


def test_a_killed_move_of_a_disk_changes_nothing(caller: Caller) -> None:
    params = {"disk": "scsi0", "storage": "local", "format": "raw"}
    upid = begin(caller, "POST", f"{_VM}/move_disk", **params)
    caller.data("DELETE", f"/nodes/pve1/tasks/{quote(upid)}")
    assert config(caller)["scsi0"] == "local:100/vm-100-disk-0.qcow2,size=1G"
    assert volumes(caller) == ["local:100/vm-100-disk-0.qcow2"]
