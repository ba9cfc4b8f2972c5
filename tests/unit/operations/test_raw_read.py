"""Which GETs do more than look, however their path is written."""

from __future__ import annotations

import pytest

from pveops.operations.raw_read import find_reach


@pytest.mark.parametrize(
    "path",
    [
        "/nodes/pve1/qemu/101/agent/file-read",
        "/nodes/pve1/qemu/101/agent/file%2Dread",
        "/nodes/pve1//qemu/101/agent//file-read/",
        "/nodes/pve1/qemu/101/agent%2Ffile-read",
        "/nodes/pve1/qemu/101/agent/exec-status",
        "/nodes/pve1/storage/pbs/file-restore/list",
        "/nodes/pve1/query-url-metadata",
        "/nodes/pve1/scan/nfs",
        "/nodes/pve1/vncwebsocket",
        "/nodes/pve1/lxc/201/vncwebsocket",
        "/cluster/acme/tos",
    ],
)
def test_what_reaches_further_is_known(path: str) -> None:
    assert find_reach(path)


@pytest.mark.parametrize(
    "path",
    [
        "/nodes/pve1/qemu/101/agent/info",
        "/nodes/pve1/qemu/101/agent/get-fsinfo",
        "/nodes/pve1/scan/zfs",
        "/nodes/pve1/qemu/101/config",
        "/cluster/resources",
        "/",
    ],
)
def test_what_only_looks_is_let_through(path: str) -> None:
    assert find_reach(path) == ""
