"""What follows from being a cluster: staleness, quorum, HA, dead nodes, in virtual time.

Expectations: pmxcfs status.c (figures are kept 300 s), pve-ha-manager (rounds of 10 s),
qemu-server and pve-container (what needs quorum).
"""

from __future__ import annotations

import json
from typing import Any

import pytest

from pveops.api.port import Request
from pveops.sim.inprocess import InProcess
from pveops.sim.membership import power_off_node, power_on_node, rejoin, split_off
from pveops.sim.model import Cluster
from pveops.sim.seeds import Seed, build
from pveops.sim.timeline import Timeline
from pveops.sim.version import VERSIONS


class Api:
    """Calls on one node, as the agent's token."""

    def __init__(self, seed: Seed, node: str = "pve1") -> None:
        self._face = InProcess(seed.cluster, node)
        secret = f"PVEAPIToken={seed.token_id}={seed.token_secret}"
        self._headers = (("Authorization", secret),)

    def call(self, method: str, path: str, **params: Any) -> tuple[int, str, Any]:
        pairs = tuple((name, str(value)) for name, value in params.items())
        reply = self._face.send(Request(method, path, pairs, self._headers))
        data = json.loads(reply.body).get("data") if reply.body else None
        return reply.status, reply.reason, data

    def get(self, path: str, **params: Any) -> Any:
        status, reason, data = self.call("GET", path, **params)
        assert status == 200, reason
        return data

    def run(self, path: str, **params: Any) -> str:
        """POST, let the task end, and give its exit status."""
        status, reason, upid = self.call("POST", path, **params)
        assert status == 200, reason
        node = upid.split(":")[1]
        for _ in range(400):
            task = self.get(f"/nodes/{node}/tasks/{upid}/status")
            if task["status"] == "stopped":
                return str(task["exitstatus"])
            self._face._cluster.timeline.advance(0.5)
        raise AssertionError("the task does not end")

    def guest(self, vmid: int) -> dict[str, Any]:
        rows = self.get("/cluster/resources", type="vm")
        return next(row for row in rows if row["vmid"] == vmid)


@pytest.fixture
def seed() -> Seed:
    built = build("homelab", Timeline(1_795_451_294.0), VERSIONS["9.2"])
    built.cluster.auth_delay_s = 0.0
    return built


@pytest.fixture
def api(seed: Seed) -> Api:
    return Api(seed)


@pytest.fixture
def cluster(seed: Seed) -> Cluster:
    return seed.cluster


def test_guests_of_a_dead_node_look_alive_for_five_minutes(api: Api, cluster: Cluster) -> None:
    power_off_node(cluster, cluster.nodes["pve2"])
    assert api.guest(103)["status"] == "running"
    cluster.timeline.advance(200)
    assert api.guest(103)["status"] == "running"
    cluster.timeline.advance(120)
    row = api.guest(103)
    assert row["status"] == "unknown"
    assert "name" not in row


def test_calls_to_a_dead_node_end_in_595_without_a_body(api: Api, cluster: Cluster) -> None:
    power_off_node(cluster, cluster.nodes["pve2"])
    assert api.call("GET", "/nodes/pve2/qemu/103/config") == (595, "No route to host", None)


def test_a_status_is_as_old_as_the_last_round(api: Api) -> None:
    api.guest(202)
    assert api.run("/nodes/pve3/lxc/202/status/start") == "OK"
    assert api.get("/nodes/pve3/lxc/202/status/current")["status"] == "running"


def test_without_quorum_nothing_starts_but_stopping_works(seed: Seed, cluster: Cluster) -> None:
    split_off(cluster, ["pve3"])
    alone = Api(seed, "pve3")
    status = {row["type"]: row for row in alone.get("/cluster/status")}
    assert status["cluster"]["quorate"] == 0
    refused = alone.call("POST", "/nodes/pve3/lxc/202/status/start")
    assert refused[:2] == (500, "cluster not ready - no quorum?")
    assert alone.run("/nodes/pve3/qemu/104/status/stop") == "OK"
    rejoin(cluster)
    assert alone.run("/nodes/pve3/lxc/202/status/start") == "OK"


def test_ha_takes_a_request_at_once_and_carries_it_out_later(api: Api, cluster: Cluster) -> None:
    status, _, upid = api.call("POST", "/nodes/pve2/qemu/108/status/stop")
    assert status == 200
    assert ":hastop:" in upid
    cluster.timeline.advance(1)
    assert api.get(f"/nodes/pve2/tasks/{upid}/status")["exitstatus"] == "OK"
    assert api.get("/nodes/pve2/qemu/108/status/current")["status"] == "running"
    cluster.timeline.advance(25)
    assert api.get("/nodes/pve2/qemu/108/status/current")["status"] == "stopped"


def test_ha_recovers_a_guest_of_a_fenced_node(api: Api, cluster: Cluster) -> None:
    power_off_node(cluster, cluster.nodes["pve2"])
    cluster.timeline.advance(120)
    guest = cluster.guests[108]
    assert guest.node != "pve2"
    assert guest.is_running


def test_a_node_that_comes_back_starts_what_starts_on_boot(cluster: Cluster) -> None:
    node = cluster.nodes["pve1"]
    power_off_node(cluster, node)
    assert not cluster.guests[101].is_running
    power_on_node(cluster, node)
    assert cluster.guests[101].is_running
    assert not cluster.guests[211].is_running


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/nodes/pve1/qemu/101/status/stop", "OK"),
        ("/nodes/pve2/qemu/901/status/stop", "OK"),
        ("/nodes/pve1/qemu/101/status/start", "VM 101 already running"),
        ("/nodes/pve1/qemu/900/status/start", "you can't start a vm if it's a template"),
        ("/nodes/pve2/qemu/105/status/stop", "VM is locked (backup)"),
        (
            "/nodes/pve1/qemu/999/status/start",
            "Configuration file 'nodes/pve1/qemu-server/999.conf' does not exist",
        ),
    ],
)
def test_what_a_power_task_of_a_vm_ends_with(api: Api, path: str, expected: str) -> None:
    assert api.run(path) == expected


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/nodes/pve1/lxc/201/status/start", "CT 201 already running"),
        ("/nodes/pve3/lxc/202/status/stop", "CT 202 not running"),
        ("/nodes/pve1/qemu/900/status/reset", "VM 900 not running"),
        ("/nodes/pve1/qemu/132/status/shutdown", "VM is paused - cannot shutdown"),
        ("/nodes/pve2/qemu/901/status/resume", "VM 901 not running"),
    ],
)
def test_what_is_refused_at_once(api: Api, path: str, expected: str) -> None:
    assert api.call("POST", path)[:2] == (500, expected)


def test_a_guest_that_ignores_the_button_stays_up(api: Api) -> None:
    exitstatus = api.run("/nodes/pve3/qemu/114/status/shutdown", timeout=5)
    assert exitstatus == "VM quit/powerdown failed - got timeout"
    assert api.get("/nodes/pve3/qemu/114/status/current")["status"] == "running"
    assert api.run("/nodes/pve3/qemu/114/status/shutdown", timeout=5, forceStop=1) == "OK"


def test_a_second_shutdown_waits_for_the_lock_and_gives_up(api: Api) -> None:
    api.call("POST", "/nodes/pve3/qemu/114/status/shutdown", timeout=60)
    exitstatus = api.run("/nodes/pve3/qemu/114/status/stop")
    assert exitstatus == "can't lock file '/var/lock/qemu-server/lock-114.conf' - got timeout"


def test_what_is_not_modelled_is_501_and_journalled(api: Api, cluster: Cluster) -> None:
    status, reason, _ = api.call("POST", "/nodes/pve1/suspendall")
    assert status in {403, 501}
    status, reason, _ = api.call("GET", "/nodes/pve1/report")
    assert (status, reason) == (501, "Method 'GET /nodes/pve1/report' not implemented")
    assert cluster.journal[-1]["is_unmodelled"]


def test_the_same_seed_tells_the_same_story() -> None:
    def story() -> str:
        built = build("homelab", Timeline(1_795_451_294.0), VERSIONS["9.2"])
        return repr(
            sorted(
                (g.vmid, g.node, sorted(g.config.items())) for g in built.cluster.guests.values()
            )
        )

    assert story() == story()
