"""Resource pools: the pool part of user.cfg."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field

from pveops.sim.refusal import die


@dataclass(slots=True)
class Pool:
    """One pool and its own members; a nested pool's name holds those of its parents."""

    poolid: str
    comment: str | None = None
    vmids: set[int] = field(default_factory=set)
    storages: set[str] = field(default_factory=set)


@dataclass(slots=True)
class Pools:
    """All pools by name. A guest is in one pool at most, a storage in any number."""

    by_id: dict[str, Pool] = field(default_factory=dict)

    def get(self, poolid: str) -> Pool:
        """The pool; dies when there is none."""
        pool = self.by_id.get(poolid)
        if pool is None:
            raise die(f"pool '{poolid}' does not exist")
        return pool

    def pool_of_guest(self, vmid: int) -> str | None:
        """The name of the pool that holds the guest."""
        return next((pool.poolid for pool in self.by_id.values() if vmid in pool.vmids), None)

    def pools_of_storage(self, storage: str) -> list[str]:
        """The names of the pools that hold the storage."""
        return [pool.poolid for pool in self.by_id.values() if storage in pool.storages]

    def create(self, poolid: str, comment: str | None) -> Pool:
        """Add an empty pool."""
        if poolid in self.by_id:
            raise die(f"pool '{poolid}' already exists")
        parent, slash, leaf = poolid.rpartition("/")
        if slash and parent not in self.by_id:
            raise die(f"parent '{parent}' of pool '{poolid}' does not exist")
        if not re.match("[A-Za-z]", leaf):
            raise die("pool name must start with a letter")
        pool = self.by_id[poolid] = Pool(poolid, comment or None)
        return pool

    def delete(self, poolid: str, vmids: Iterable[int], storages: Iterable[str]) -> None:
        """Drop a pool that has no child and no member that still exists.

        vmids, storages: all that exist in the cluster.
        """
        pool = self.get(poolid)
        child = next((name for name in sorted(self.by_id) if name.startswith(f"{poolid}/")), None)
        if child:
            raise die(f"pool '{poolid}' is not empty (contains pool '{child}')")
        for vmid in sorted(pool.vmids.intersection(vmids)):
            raise die(f"pool '{poolid}' is not empty (contains VM {vmid})")
        for storage in sorted(pool.storages.intersection(storages)):
            raise die(f"pool '{poolid}' is not empty (contains storage '{storage}')")
        del self.by_id[poolid]

    def forget_guest(self, vmid: int) -> None:
        """A destroyed guest leaves its pool."""
        for pool in self.by_id.values():
            pool.vmids.discard(vmid)
