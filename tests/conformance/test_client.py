"""How the client sees a PVE API: the same cases on every world of conftest.py.

The answers expected here are those of the recorded exchanges with real PVE API daemons.
"""

from __future__ import annotations

import pytest

from pveops.api.tasks import (
    OutcomeKind,
    get_status,
    list_cluster_tasks,
    wait_for_task,
)
from pveops.errors import (
    AuthenticationError,
    NodeUnreachableError,
    NotFoundError,
    NotImplementedByServerError,
    ParameterError,
    PermissionDeniedError,
)

from .world import World


def test_the_version_is_told(world: World) -> None:
    version = world.root.version()
    assert f"{version.major}.{version.minor}" == ".".join(world.version.split(".")[:2])
    assert version.text == world.version


def test_the_resources_are_rows_with_ids(world: World) -> None:
    rows = world.root.get("/cluster/resources")
    assert isinstance(rows, list)
    assert rows
    assert all(isinstance(row, dict) and row["id"] and row["type"] for row in rows)


def test_a_guests_configuration_is_an_object_with_a_digest(world: World) -> None:
    config = world.root.get("/nodes/pve1/qemu/100/config")
    assert isinstance(config, dict)
    assert len(str(config["digest"])) == 40


def test_a_guest_that_does_not_exist_is_not_found(world: World) -> None:
    """PVE answers 500 with a sentence."""
    with pytest.raises(NotFoundError) as caught:
        world.root.get("/nodes/pve1/qemu/999/config")
    assert caught.value.details["status"] == 500
    assert caught.value.details["vmid"] == "999"


def test_what_may_not_be_seen_is_denied_with_path_and_privilege(world: World) -> None:
    with pytest.raises(PermissionDeniedError) as caught:
        world.bob.get("/nodes/pve1/qemu/100/config")
    assert caught.value.details["path"] == "/vms/100"
    assert caught.value.details["privileges"] == ["VM.Audit"]


def test_credentials_that_are_not_taken_are_an_authentication_error(world: World) -> None:
    """A bare 401."""
    with pytest.raises(AuthenticationError):
        world.refused.get("/version")


def test_an_unknown_path_is_not_implemented(world: World) -> None:
    """501, and never 404."""
    with pytest.raises(NotImplementedByServerError):
        world.root.get("/nosuch")


def test_a_bad_parameter_is_named(world: World) -> None:
    with pytest.raises(ParameterError) as caught:
        world.root.get("/cluster/resources", {"type": "bogus"})
    assert "type" in caught.value.details["errors"]


def test_a_node_that_is_down_is_unreachable_and_did_nothing(world: World) -> None:
    """595 has no body at all."""
    with pytest.raises(NodeUnreachableError) as caught:
        world.root.get("/nodes/pve2/qemu")
    assert caught.value.details["executed"] is False
    assert caught.value.details["node"] == "pve2"


def test_a_write_to_a_node_that_is_down_was_not_executed(world: World) -> None:
    with pytest.raises(NodeUnreachableError):
        world.root.write("POST", "/nodes/pve2/qemu/100/status/start")


def test_a_task_that_went_well_is_waited_for(world: World) -> None:
    outcome = wait_for_task(world.root, world.finished, world.clock, 60)
    assert outcome.kind is OutcomeKind.OK
    assert str(outcome.upid) == world.finished


def test_a_failed_task_tells_its_error(world: World) -> None:
    status = get_status(world.root, world.failed)
    assert not status.is_running
    assert status.exitstatus not in ("", "OK")


def test_a_task_that_is_not_there_is_not_found(world: World) -> None:
    """400, with the reason at the parameter `upid`."""
    with pytest.raises(NotFoundError):
        get_status(world.root, world.forgotten)


def test_the_clusters_tasks_are_listed(world: World) -> None:
    listed = list_cluster_tasks(world.root)
    assert listed
    assert all(status.upid.node == "pve1" for status in listed)
