"""What counts as wrong with a cluster."""

from __future__ import annotations

import pytest

from pveops.api.tasks import TaskStatus
from pveops.domain.access import Permissions
from pveops.domain.health import Health
from pveops.domain.inventory import ClusterView, Inventory, Membership, inventory_of
from pveops.ids import Upid
from pveops.operations.health import check_health

NOW = 1_760_000_000
EVERYTHING = Permissions({"/": frozenset()}, {"/": frozenset()})


def make_health(*rows: dict, is_quorate: bool = True, tasks: tuple = ()) -> Health:
    nodes = [{"type": "node", "node": "pve1", "status": "online"}]
    inventory: Inventory = inventory_of([*nodes, *rows])
    membership = Membership("home", is_quorate, 1, {}, ())
    return Health(ClusterView(inventory, membership), tasks, EVERYTHING, NOW)


def codes(health: Health) -> list[str]:
    return [finding.code for finding in check_health(health)]


def guest(**members: object) -> dict:
    row = {"type": "qemu", "vmid": 101, "name": "web01", "node": "pve1", "status": "running"}
    return row | members


def task(started_ago: int, exitstatus: str) -> TaskStatus:
    upid = Upid("pve1", 1, 2, NOW - started_ago, "vzdump", "101", "root@pam")
    return TaskStatus(upid, False, exitstatus, NOW - started_ago + 60)


def test_a_healthy_cluster_has_no_findings():
    assert codes(make_health(guest())) == []


@pytest.mark.parametrize(
    ("rows", "code"),
    [
        ([{"type": "node", "node": "pve2", "status": "offline"}], "node.not-online"),
        ([guest(status="io-error")], "guest.halted"),
        ([guest(status="paused")], "guest.paused"),
        ([guest(lock="backup")], "guest.locked"),
        ([guest(hastate="error")], "ha.trouble"),
        ([guest(hastate="started", status="stopped")], "ha.not-running"),
    ],
)
def test_each_trouble_is_found(rows, code):
    assert codes(make_health(*rows)) == [code]


def test_a_lost_quorum_comes_first():
    assert codes(make_health(guest(lock="backup"), is_quorate=False))[0] == "cluster.no-quorum"


@pytest.mark.parametrize(
    ("used", "found"), [(84, []), (85, ["storage.nearly-full"]), (95, ["storage.full"])]
)
def test_a_storage_is_told_before_it_is_full(used, found):
    row = {"type": "storage", "storage": "local", "node": "pve1", "status": "available"}
    assert codes(make_health(row | {"disk": used, "maxdisk": 100})) == found


def test_a_shared_storage_is_told_once():
    nodes = [{"type": "node", "node": "pve2", "status": "online"}]
    rows = [
        {"type": "storage", "storage": "nfs", "node": node, "status": "available", "shared": 1}
        | {"disk": 99, "maxdisk": 100}
        for node in ("pve1", "pve2")
    ]
    assert codes(make_health(*nodes, *rows)) == ["storage.full"]


def test_the_storages_of_a_dead_node_are_not_told_again():
    rows = [
        {"type": "node", "node": "pve2", "status": "offline"},
        {"type": "storage", "storage": "local", "node": "pve2", "status": "available"},
    ]
    assert codes(make_health(*rows)) == ["node.not-online"]


def test_a_failed_task_is_told_until_a_later_one_succeeds():
    assert codes(make_health(tasks=(task(600, "job errors"),))) == ["task.failed"]
    assert codes(make_health(tasks=(task(600, "job errors"), task(300, "OK")))) == []
    assert codes(make_health(tasks=(task(600, "OK"), task(300, "job errors")))) == ["task.failed"]
    assert codes(make_health(tasks=(task(600, "WARNINGS: 2"),))) == []
    assert codes(make_health(tasks=(task(3 * 86_400, "job errors"),))) == []


def test_a_locked_guest_leads_to_what_finds_the_reason():
    """Tasks of a backup job carry no guest's number: a list of the guest's tasks is empty."""
    (finding,) = check_health(make_health(guest(lock="backup")))
    assert finding.remedy == "pve guest doctor 101"
