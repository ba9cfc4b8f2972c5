"""Goals about pools."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pveops.domain.pool import read_pool
from pveops.engine.goals.sight import Look, Sight, Sought

if TYPE_CHECKING:
    from pveops.api.client import Client


def _look_whether_there(client: Client, sought: Sought) -> Sight:
    """`expect`: `exists`."""
    exists = read_pool(client, sought.target.id) is not None
    word = "there" if exists else "not there"
    return Sight(exists is bool(sought.expect["exists"]), word, {"exists": exists})


def _look_at_members(client: Client, sought: Sought) -> Sight:
    """`expect`: `vmids`, `storages` (by comma), and whether they `are_in`."""
    pool = read_pool(client, sought.target.id)
    if pool is None:
        return Sight(False, "not there", {"exists": False})
    vmids = {int(vmid) for vmid in str(sought.expect["vmids"] or "").split(",") if vmid}
    storages = set(filter(None, str(sought.expect["storages"] or "").split(",")))
    inside = vmids <= pool.vmids and storages <= pool.storages
    outside = not vmids & pool.vmids and not storages & pool.storages
    is_reached = inside if sought.expect["are_in"] else outside
    count = len(pool.vmids)
    return Sight(is_reached, f"a pool of {count} guests", {"members": count})


GOALS: dict[str, Look] = {"pool.there": _look_whether_there, "pool.members": _look_at_members}
