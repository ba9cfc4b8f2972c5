"""proxmoxer, a client that others wrote, works on the simulated cluster unchanged."""

from __future__ import annotations

import pytest

from tests.served import Cluster

proxmoxer = pytest.importorskip("proxmoxer", reason="installed by `make test`")

from proxmoxer import ProxmoxAPI, ResourceException  # noqa: E402
from proxmoxer.core import AuthenticationError  # noqa: E402
from proxmoxer.tools import Tasks  # noqa: E402


def by_token(cluster: Cluster) -> ProxmoxAPI:
    user, _, name = cluster.ready["token"]["id"].partition("!")
    return ProxmoxAPI(
        cluster.host,
        user=user,
        token_name=name,
        token_value=cluster.ready["token"]["secret"],
        verify_ssl=cluster.ready["ca_file"],
    )


def by_password(cluster: Cluster) -> ProxmoxAPI:
    return ProxmoxAPI(
        cluster.host,
        user="root@pam",
        password=cluster.ready["root_password"],
        verify_ssl=cluster.ready["ca_file"],
    )


def test_it_lists_with_a_token(cluster: Cluster) -> None:
    api = by_token(cluster)
    rows = api.cluster.resources.get(type="vm")
    assert {row["name"] for row in rows} >= {"web01", "web02"}
    assert [row["node"] for row in api.nodes.get()] == ["pve1", "pve2", "pve3"]


def test_it_logs_in_with_a_password_and_renews_its_ticket(cluster: Cluster) -> None:
    """Proxmoxer renews by giving the old ticket as the password, when it is an hour old."""
    api = by_password(cluster)
    auth = api._store["session"].auth
    old = auth.get_tokens()[0]
    cluster.control("/clock", {"advance": 3700})
    auth.birth_time -= 3700
    assert api.version.get()["release"].startswith("9.2")
    assert auth.get_tokens()[0] != old


def test_a_wrong_password_is_an_authentication_error(cluster: Cluster) -> None:
    with pytest.raises(AuthenticationError):
        ProxmoxAPI(
            cluster.host,
            user="root@pam",
            password="wrong",
            verify_ssl=cluster.ready["ca_file"],
        )


def test_errors_carry_pves_words(cluster: Cluster) -> None:
    api = by_token(cluster)
    with pytest.raises(ResourceException) as caught:
        api.nodes("pve1").qemu(999).config.get()
    assert caught.value.status_code == 500
    assert "nodes/pve1/qemu-server/999.conf' does not exist" in str(caught.value)
    with pytest.raises(ResourceException) as caught:
        api.nodes("pve1").qemu(101).status.shutdown.post(timeout="soon")
    assert caught.value.status_code == 400
    assert "timeout" in str(caught.value)


def test_it_waits_for_a_task_that_it_started(cluster: Cluster) -> None:
    api = by_password(cluster)
    upid = api.nodes("pve1").qemu(101).status.stop.post()
    status = Tasks.blocking_status(api, upid, timeout=30, polling_interval=0.05)
    assert status["exitstatus"] == "OK"
    assert api.nodes("pve1").qemu(101).status.current.get()["status"] == "stopped"


def test_a_failed_task_tells_why(cluster: Cluster) -> None:
    api = by_password(cluster)
    upid = api.nodes("pve1").qemu(101).status.start.post()
    status = Tasks.blocking_status(api, upid, timeout=30, polling_interval=0.05)
    assert status["exitstatus"] == "VM 101 already running"
    log = Tasks.decode_log(api.nodes("pve1").tasks(upid).log.get())
    assert log.endswith("TASK ERROR: VM 101 already running")
