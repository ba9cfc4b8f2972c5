"""Privileges by path, as /access/permissions tells them."""

from __future__ import annotations

import pytest

from pveops.domain.access import is_below, permissions_of

EVERYWHERE = permissions_of({"/": {"VM.Audit": 1}, "/vms": {"VM.Audit": 1}})
POOLS = permissions_of(
    {
        "/": {"Sys.Audit": 0},
        "/pool/web": {"VM.PowerMgmt": 1, "VM.Audit": 1},
        "/vms/101": {"VM.PowerMgmt": 1, "VM.Audit": 1},
        "/storage/fast": {"Datastore.Audit": 1},
    }
)


@pytest.mark.parametrize(
    ("path", "above", "expected"),
    [
        ("/vms/1", "/vms", True),
        ("/vms", "/", True),
        ("/", "/", False),
        ("/vmsx", "/vms", False),
    ],
)
def test_a_path_lies_below_whole_parts_only(path: str, above: str, expected: bool) -> None:
    assert is_below(path, above) is expected


def test_what_holds_for_all_of_a_kind_is_told_by_its_top() -> None:
    assert EVERYWHERE.allows_below("/vms", "VM.Audit") == ("/vms",)
    assert EVERYWHERE.allows_below("/storage", "VM.Audit") == ("/storage",)


def test_pools_count_for_guests_and_storages_and_for_nothing_else() -> None:
    assert POOLS.allows_below("/vms", "VM.PowerMgmt") == ("/pool/web", "/vms/101")
    assert POOLS.allows_below("/nodes", "VM.PowerMgmt") == ()
    assert POOLS.allows_below("/storage", "Datastore.Audit") == ("/storage/fast",)


def test_what_does_not_propagate_holds_nowhere_below() -> None:
    assert POOLS.allows("/", "Sys.Audit")
    assert not POOLS.allows("/nodes/pve1", "Sys.Audit")
    assert POOLS.allows_below("/nodes", "Sys.Audit") == ()


def test_the_topmost_paths_leave_out_what_is_inherited() -> None:
    assert EVERYWHERE.topmost("VM.Audit") == ("/",)
    assert POOLS.topmost("VM.Audit") == ("/pool/web", "/vms/101")
