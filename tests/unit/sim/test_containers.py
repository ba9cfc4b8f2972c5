"""The life of containers on the simulated cluster, as pve-container tells it."""

from __future__ import annotations

from urllib.parse import quote

import pytest

from pveops.sim.seeds import build
from pveops.sim.timeline import Timeline
from pveops.sim.version import VERSIONS
from tests.unit.sim.test_methods import Caller

_LXC = "/nodes/pve1/lxc"
_TEMPLATE = "local:vztmpl/alpine-mini_3.20_amd64.tar.gz"


@pytest.fixture
def caller() -> Caller:
    """On a fresh standalone node with one template."""
    return Caller(build("recorded", Timeline(1_800_000_000.0), VERSIONS["9.2"]))


@pytest.fixture
def homelab() -> Caller:
    """On three nodes; containers lie on thin volumes."""
    return Caller(build("homelab", Timeline(1_800_000_000.0), VERSIONS["9.2"]))


def make(caller: Caller, vmid: int = 200, **more: object) -> str:
    given = {"ostemplate": _TEMPLATE, "rootfs": "local:0", "memory": 64, **more}
    return caller.finish(caller.data("POST", _LXC, vmid=vmid, **given))


def a_container(homelab: Caller) -> int:
    """A container of the first node, whatever its state."""
    guests = homelab.cluster.guests.values()
    return next(guest.vmid for guest in guests if guest.kind == "lxc" and guest.node == "pve1")


def test_a_container_gets_what_was_asked_and_pves_defaults(caller: Caller) -> None:
    assert make(caller, net0="name=eth0,bridge=vmbr0", description="d") == "OK"
    config = caller.data("GET", f"{_LXC}/200/config")
    assert (config["hostname"], config["swap"], config["unprivileged"]) == ("CT200", 512, 1)
    assert (config["ostype"], config["description"]) == ("alpine", "d\n")
    assert "hwaddr=BC:24:11:" in config["net0"]
    assert "lock" not in config


def test_nothing_stays_of_a_container_whose_template_is_missing(caller: Caller) -> None:
    given = {"vmid": 200, "ostemplate": "local:vztmpl/nosuch.tar.zst", "rootfs": "local:0"}
    status = caller.finish(caller.data("POST", _LXC, **given))
    assert status.startswith("unable to create CT 200 - ")
    assert 200 not in caller.cluster.guests
    assert caller.data("GET", "/nodes/pve1/storage/local/content", vmid=200) == []


def test_a_storage_without_rootdir_is_refused_at_once(homelab: Caller) -> None:
    """The default storage `local` takes no containers on most nodes."""
    answer = homelab.send("POST", _LXC, vmid=999, ostemplate="local:vztmpl/x.tar.zst")
    assert answer["status"] == 400
    assert "does not support container directories" in answer["errors"]["storage"]


def test_a_directory_has_no_quota_so_it_cannot_be_resized(caller: Caller) -> None:
    make(caller)
    upid = caller.data("PUT", f"{_LXC}/200/resize", disk="rootfs", size="1G")
    assert caller.finish(upid) == "can't resize this image format"


def test_a_volume_grows_to_the_size_that_was_asked(homelab: Caller) -> None:
    path = f"{_LXC}/{a_container(homelab)}"
    grown = homelab.data("PUT", f"{path}/resize", disk="rootfs", size="100G")
    assert homelab.finish(grown) == "OK"
    assert homelab.data("GET", f"{path}/config")["rootfs"].endswith("size=100G")


@pytest.mark.parametrize(
    ("size", "text"), [("1G", "unable to shrink disk size"), ("+0G", "already at specified size")]
)
def test_a_volume_never_shrinks(size: str, text: str, homelab: Caller) -> None:
    path = f"{_LXC}/{a_container(homelab)}"
    upid = homelab.data("PUT", f"{path}/resize", disk="rootfs", size=size)
    assert text in homelab.finish(upid)


def test_thin_volumes_are_snapshotted_and_directories_are_not(
    caller: Caller, homelab: Caller
) -> None:
    make(caller)
    refused = caller.data("POST", f"{_LXC}/200/snapshot", snapname="one")
    assert caller.finish(refused) == "snapshot feature is not available"
    path = f"{_LXC}/{a_container(homelab)}"
    assert homelab.finish(homelab.data("POST", f"{path}/snapshot", snapname="one")) == "OK"
    assert "one" in {row["name"] for row in homelab.data("GET", f"{path}/snapshot")}


def test_a_second_clone_of_one_source_finds_it_locked(caller: Caller) -> None:
    """API2/LXC.pm sets the lock `disk` on the source before it answers."""
    make(caller)
    first = caller.data("POST", f"{_LXC}/200/clone", newid=201)
    answer = caller.send("POST", f"{_LXC}/200/clone", newid=202)
    assert (answer["status"], answer["reason"]) == (500, "CT is locked (disk)")
    assert caller.finish(first) == "OK"
    assert caller.cluster.guests[201].name == "CT201"
    assert caller.cluster.guests[200].lock == ""


def test_a_running_container_is_cloned_from_a_snapshot_only(homelab: Caller) -> None:
    vmid = a_container(homelab)
    assert homelab.cluster.guests[vmid].is_running
    answer = homelab.send("POST", f"{_LXC}/{vmid}/clone", newid=999)
    assert "only possible from a snapshot" in answer["reason"]


def test_a_template_is_made_at_once_and_cloned_by_link(homelab: Caller) -> None:
    vmid = a_container(homelab)
    homelab.finish(homelab.data("POST", f"{_LXC}/{vmid}/status/stop"))
    assert homelab.data("POST", f"{_LXC}/{vmid}/template") is None
    assert homelab.finish(homelab.data("POST", f"{_LXC}/{vmid}/clone", newid=999)) == "OK"
    assert homelab.cluster.guests[999].config["rootfs"].startswith("local-lvm:")


def test_a_killed_creation_leaves_no_half_container(caller: Caller) -> None:
    upid = caller.data("POST", _LXC, vmid=200, ostemplate=_TEMPLATE, rootfs="local:0")
    caller.data("DELETE", f"/nodes/pve1/tasks/{quote(upid)}")
    assert 200 not in caller.cluster.guests


def test_a_running_container_takes_memory_at_once_and_a_console_later(homelab: Caller) -> None:
    path = f"{_LXC}/{a_container(homelab)}"
    homelab.data("PUT", f"{path}/config", memory=2048, cmode="shell")
    rows = {row["key"]: row for row in homelab.data("GET", f"{path}/pending")}
    assert rows["memory"]["value"] == 2048
    assert rows["cmode"]["pending"] == "shell"


def test_a_moved_volume_leaves_the_old_one_unused(homelab: Caller) -> None:
    homelab.data("POST", "/storage", storage="two", type="dir", path="/two", content="rootdir")
    vmid = a_container(homelab)
    homelab.finish(homelab.data("POST", f"{_LXC}/{vmid}/status/stop"))
    moved = homelab.data("POST", f"{_LXC}/{vmid}/move_volume", volume="rootfs", storage="two")
    assert homelab.finish(moved) == "OK"
    config = homelab.cluster.guests[vmid].config
    assert config["rootfs"].startswith("two:")
    assert config["unused0"].startswith("local-lvm:")
