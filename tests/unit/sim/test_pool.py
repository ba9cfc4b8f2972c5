"""Resource pools (pve-manager Pool.pm; recorded in phase pools)."""

from __future__ import annotations

import pytest

from pveops.sim.pool import Pools
from pveops.sim.refusal import ApiError


@pytest.fixture
def pools() -> Pools:
    """`web` with a nested pool, a guest and a storage."""
    made = Pools()
    made.create("web", "c")
    made.create("web/sub", None)
    made.get("web").vmids.add(100)
    made.get("web").storages.add("local")
    return made


def test_a_guest_is_in_one_pool(pools: Pools) -> None:
    assert pools.pool_of_guest(100) == "web"
    assert pools.pool_of_guest(101) is None
    assert pools.pools_of_storage("local") == ["web"]


def test_a_nested_pool_needs_its_parent(pools: Pools) -> None:
    with pytest.raises(ApiError, match="parent 'nosuch' of pool 'nosuch/sub' does not exist"):
        pools.create("nosuch/sub", None)


def test_a_pool_with_children_or_members_stays(pools: Pools) -> None:
    with pytest.raises(ApiError, match="contains pool 'web/sub'"):
        pools.delete("web", [100], ["local"])
    pools.delete("web/sub", [], [])
    with pytest.raises(ApiError, match="contains VM 100"):
        pools.delete("web", [100], ["local"])
    with pytest.raises(ApiError, match="contains storage 'local'"):
        pools.delete("web", [], ["local"])


def test_members_that_no_longer_exist_do_not_hold_a_pool(pools: Pools) -> None:
    pools.delete("web/sub", [], [])
    pools.delete("web", [], [])
    assert pools.by_id == {}
