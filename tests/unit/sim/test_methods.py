"""Methods beyond guests, asked through the whole pipeline of the simulated cluster."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import quote, urlencode

import pytest

from pveops.schema import Facts
from pveops.sim.handlers import ALL
from pveops.sim.membership import split_off
from pveops.sim.message import RawRequest
from pveops.sim.model import Cluster
from pveops.sim.pipeline import handle
from pveops.sim.seeds import Seed, build
from pveops.sim.timeline import Timeline
from pveops.sim.version import VERSIONS

_NODE = "/nodes/pve1"


class Caller:
    """Root with a ticket, at one node."""

    def __init__(self, seed: Seed, node: str = "pve1") -> None:
        self.cluster: Cluster = seed.cluster
        self.node = node
        self._login = {"username": "root@pam", "password": seed.root_password}
        self._headers: dict[str, str] = {}
        self.log_in()

    def log_in(self) -> None:
        """Take a new ticket: one is valid for two hours."""
        self._headers = {}
        data = self.send("POST", "/access/ticket", **self._login)["data"]
        self._headers = {
            "cookie": f"PVEAuthCookie={quote(data['ticket'], safe='')}",
            "csrfpreventiontoken": data["CSRFPreventionToken"],
        }

    def send(self, method: str, path: str, /, **params: Any) -> dict[str, Any]:
        """The body of an answer, with the status beside it."""
        target, encoded = f"/api2/json{path}", urlencode(params)
        headers = {**self._headers, "content-type": "application/x-www-form-urlencoded"}
        body = encoded.encode() if method in ("POST", "PUT") else b""
        if encoded and not body:
            target += f"?{encoded}"
        answer = handle(
            self.cluster,
            self.cluster.nodes[self.node],
            RawRequest(method, target, headers, body),
        )
        found: dict[str, Any] = json.loads(answer.body) if answer.body else {}
        return {**found, "status": answer.status, "reason": answer.reason}

    def data(self, method: str, path: str, /, **params: Any) -> Any:
        """The data of an answer that must be a success."""
        answer = self.send(method, path, **params)
        assert answer["status"] == 200, answer
        return answer["data"]

    def wait(self, seconds: float) -> None:
        """Let time pass, and go on as the same user."""
        self.cluster.timeline.advance(seconds)
        self.log_in()

    def finish(self, upid: str) -> str:
        """How a task ends."""
        self.wait(3600)
        return str(self.data("GET", f"{_NODE}/tasks/{quote(upid)}/status")["exitstatus"])


@pytest.fixture
def caller() -> Caller:
    """On a fresh standalone node."""
    return Caller(build("recorded", Timeline(1_800_000_000.0), VERSIONS["9.2"]))


def test_every_modelled_method_is_one_of_pve() -> None:
    """A method that no release has would never be found by its path."""
    releases = [Facts.open(version) for version in VERSIONS]
    unknown = [row for row in ALL.modelled() if not any(facts.method(*row) for facts in releases)]
    assert unknown == []


def test_an_index_names_only_what_may_be_below(caller: Caller) -> None:
    names = {row["name"] for row in caller.data("GET", _NODE)}
    assert {"qemu", "lxc", "storage", "tasks", "vzdump"} <= names


def test_a_storage_is_made_changed_and_dropped(caller: Caller) -> None:
    made = caller.data("POST", "/storage", storage="st2", type="dir", path="/x", content="images")
    assert made == {"storage": "st2", "type": "dir"}
    caller.data("PUT", "/storage/st2", disable=1)
    row = next(r for r in caller.data("GET", f"{_NODE}/storage") if r["storage"] == "st2")
    assert (row["enabled"], row["active"], row["total"]) == (0, 0, 0)
    caller.data("DELETE", "/storage/st2")
    assert caller.send("GET", "/storage/st2")["reason"] == "storage 'st2' does not exist"


def test_the_last_storage_comes_back_by_itself(caller: Caller) -> None:
    """PVE::Storage::Plugin::parse_config: there is always a `local`."""
    caller.data("DELETE", "/storage/local")
    assert caller.data("GET", "/storage/local")["path"] == "/var/lib/vz"


def test_without_quorum_a_definition_is_refused_after_a_while() -> None:
    """Recorded on a cluster without quorum: cfs-lock ... error: no quorum! after about 10 s."""
    seed = build("homelab", Timeline(1_800_000_000.0), VERSIONS["9.2"])
    caller = Caller(seed)
    split_off(seed.cluster, ["pve1"])
    before = seed.cluster.timeline.now()
    answer = caller.send("POST", "/storage", storage="st2", type="dir", path="/x")
    text = "create storage failed: cfs-lock 'file-storage_cfg' error: no quorum!"
    assert (answer["status"], answer["reason"]) == (500, text)
    assert seed.cluster.timeline.now() - before >= 9
    assert "st2" not in seed.cluster.storages.definitions


def test_a_new_interface_waits_for_its_application(caller: Caller) -> None:
    caller.data("POST", f"{_NODE}/network", iface="vmbr9", type="bridge", autostart=1)
    answer = caller.send("GET", f"{_NODE}/network")
    assert "+iface vmbr9 inet manual\n" in answer["changes"]
    assert "active" not in next(row for row in answer["data"] if row["iface"] == "vmbr9")
    assert caller.finish(caller.data("PUT", f"{_NODE}/network")) == "OK"
    answer = caller.send("GET", f"{_NODE}/network")
    assert "changes" not in answer
    assert next(row for row in answer["data"] if row["iface"] == "vmbr9")["active"] == 1


def test_a_volume_is_deleted_by_a_task(caller: Caller) -> None:
    content = f"{_NODE}/storage/local/content"
    volid = caller.data("POST", content, vmid=100, filename="vm-100-disk-9.raw", size="16M")
    upid = caller.data("DELETE", f"{content}/{quote(volid, safe='')}")
    assert caller.finish(upid) == "OK"
    assert caller.data("GET", content, vmid=100) == []


def test_a_backup_job_covers_its_guests_even_when_it_is_disabled() -> None:
    """pve-manager BackupInfo.pm looks at neither `enabled` nor the schedule."""
    caller = Caller(build("homelab", Timeline(1_800_000_000.0), VERSIONS["9.2"]))
    for job in caller.data("GET", "/cluster/backup"):
        caller.data("DELETE", f"/cluster/backup/{job['id']}")
    uncovered = caller.data("GET", "/cluster/backup-info/not-backed-up")
    assert len(uncovered) == len(caller.cluster.guests)
    caller.data("POST", "/cluster/backup", id="j1", schedule="daily", all=1, enabled=0)
    assert caller.data("GET", "/cluster/backup-info/not-backed-up") == []


def test_a_backup_on_the_wrong_node_answers_ok_and_does_nothing() -> None:
    """pve-manager VZDump.pm: silent exit if the guests are on other nodes."""
    caller = Caller(build("homelab", Timeline(1_800_000_000.0), VERSIONS["9.2"]))
    vmid = next(g.vmid for g in caller.cluster.guests.values() if g.node != "pve1")
    assert caller.data("POST", f"{_NODE}/vzdump", vmid=vmid, storage="backups") == "OK"


def test_a_pool_shows_its_members(caller: Caller) -> None:
    caller.data("POST", "/pools", poolid="p")
    caller.data("PUT", "/pools", poolid="p", storage="local")
    (pool,) = caller.data("GET", "/pools", poolid="p")
    assert [row["id"] for row in pool["members"]] == ["storage/pve1/local"]


def test_a_stale_digest_of_the_firewall_is_refused(caller: Caller) -> None:
    rules = "/cluster/firewall/rules"
    caller.data("POST", rules, type="in", action="DROP")
    answer = caller.send("PUT", f"{rules}/0", enable=1, digest="0" * 40)
    assert answer["status"] == 500
    assert answer["reason"].startswith("detected modified configuration")


def test_one_failed_command_does_not_stop_the_next(caller: Caller) -> None:
    commands = [{"method": "GET", "path": "nosuch"}, {"method": "GET", "path": "version"}]
    rows = caller.data("POST", f"{_NODE}/execute", commands=json.dumps(commands))
    assert [row["status"] for row in rows] == [500, 200]


def test_a_console_that_nobody_opens_gives_up() -> None:
    """Recorded: a proxy to which nobody connects ends after ten seconds."""
    caller = Caller(build("homelab", Timeline(1_800_000_000.0), VERSIONS["9.2"]))
    guest = next(
        g for g in caller.cluster.guests.values() if g.node == "pve1" and g.kind == "qemu"
    )
    path = f"{_NODE}/qemu/{guest.vmid}"
    opened = caller.data("POST", f"{path}/vncproxy", websocket=1)
    given = {"port": opened["port"], "vncticket": opened["ticket"]}
    assert caller.data("GET", f"{path}/vncwebsocket", **given) == {"port": opened["port"]}
    other = caller.send("GET", f"{path}/vncwebsocket", **{**given, "port": 5999})
    assert other["reason"] == "permission denied - invalid PVEVNC ticket"
    assert caller.finish(opened["upid"]) == "connection timed out"
