"""Resource pools, by both APIs: /pools?poolid= knows nested ones, /pools/{poolid} does not."""

from __future__ import annotations

from typing import Any

from pveops.sim.broadcast import heard_figures
from pveops.sim.call import Call
from pveops.sim.config_file import lock_file
from pveops.sim.guest import Guest
from pveops.sim.handlers.permission import check, check_modify, may
from pveops.sim.pool import Pool
from pveops.sim.refusal import ApiError, die
from pveops.sim.router import Routes, Waiting
from pveops.sim.storage import Storage

routes = Routes()


def _members(call: Call, pool: Pool) -> list[dict[str, Any]]:
    wanted = call.get("type")
    rows = []
    for vmid in sorted(pool.vmids, key=str):
        guest = call.cluster.guests.get(vmid)
        if guest is not None and wanted in (None, guest.kind):
            rows.append(_guest_row(call, guest))
    for name in sorted(pool.storages):
        storage = call.cluster.storages.definitions.get(name)
        if storage is not None and wanted in (None, "storage"):
            rows.append(_storage_row(call, storage))
    return rows


def _guest_row(call: Call, guest: Guest) -> dict[str, Any]:
    """What the receiver knows of a guest (PVE::API2Tools::extract_vm_stats)."""
    row = {
        "id": f"{guest.kind}/{guest.vmid}",
        "type": guest.kind,
        "node": guest.node,
        "vmid": guest.vmid,
    }
    node = call.cluster.nodes[guest.node]
    figures = heard_figures(call.cluster, call.receiver, node).get(guest.vmid)
    return row | (figures or {"status": "unknown"})


def _storage_row(call: Call, storage: Storage) -> dict[str, Any]:
    """A storage as the receiver sees it, or as the first node for which it is meant."""
    nodes = [call.receiver, *call.cluster.nodes.values()]
    node = next((node for node in nodes if storage.is_for(node.name)), call.receiver)
    usage = call.cluster.storages.usage(storage, node)
    is_active = call.cluster.storages.is_active(storage, node)
    return {
        "id": f"storage/{node.name}/{storage.name}",
        "type": "storage",
        "node": node.name,
        "storage": storage.name,
        "status": "available" if is_active else "unknown",
        "plugintype": storage.type,
        "content": ",".join(storage.content),
        "shared": int(storage.is_shared),
        "disk": usage.used,
        "maxdisk": usage.total,
    }


def _describe(call: Call, pool: Pool) -> dict[str, Any]:
    row: dict[str, Any] = {"poolid": pool.poolid, "members": _members(call, pool)}
    return row | ({"comment": pool.comment} if pool.comment is not None else {})


@routes.get("/pools")
def list_pools(call: Call) -> list[dict[str, Any]]:
    """All pools that the caller may see, or the one of `poolid` with its members."""
    pools = call.cluster.pools
    poolid = call.get("poolid")
    if poolid:
        check(call, f"/pool/{poolid}", "Pool.Audit")
        return [_describe(call, pools.get(poolid))]
    return [
        {"poolid": pool.poolid} | ({"comment": pool.comment} if pool.comment is not None else {})
        for _, pool in sorted(pools.by_id.items())
        if may(call, f"/pool/{pool.poolid}", "Pool.Audit")
    ]


@routes.get("/pools/{poolid}")
def get_pool(call: Call) -> dict[str, Any]:
    """One pool that is not nested."""
    return _describe(call, call.cluster.pools.get(call.params["poolid"]))


@routes.post("/pools")
def create_pool(call: Call) -> Waiting:
    """Add an empty pool; its parent must exist."""
    yield from lock_file(call.receiver, "user.cfg", "create pool failed")
    try:
        call.cluster.pools.create(call.params["poolid"], call.get("comment"))
    except ApiError as error:
        raise die(f"create pool failed: {error.message}") from error


@routes.put("/pools", "/pools/{poolid}")
def update_pool(call: Call) -> Waiting:
    """Add or remove members; what a member is, is not checked against what exists."""
    yield from lock_file(call.receiver, "user.cfg", "update pools failed")
    try:
        _update(call, call.cluster.pools.get(call.params["poolid"]))
    except ApiError as error:
        if error.status != 500:
            raise
        raise die(f"update pools failed: {error.message}") from error


def _update(call: Call, pool: Pool) -> None:
    """All or nothing, as the file is written once at the end."""
    is_removal = bool(call.get("delete"))
    vmids, storages = set(pool.vmids), set(pool.storages)
    left: list[tuple[Pool, int]] = []
    for vmid in (int(part) for part in _split(call.get("vms"))):
        check_modify(call, f"/vms/{vmid}")
        if is_removal:
            if vmid not in vmids:
                raise die(f"VM {vmid} is not a pool member")
            vmids.discard(vmid)
            continue
        if vmid in vmids:
            raise die(f"VM {vmid} is already a pool member")
        other = call.cluster.pools.pool_of_guest(vmid)
        if other is not None:
            if not call.get("allow-move"):
                raise die(
                    f"VM {vmid} belongs already to pool '{other}' and 'allow-move' is not set"
                )
            check(call, f"/pool/{other}", "Pool.Allocate")
            left.append((call.cluster.pools.get(other), vmid))
        vmids.add(vmid)
    for name in _split(call.get("storage")):
        check_modify(call, f"/storage/{name}")
        if (name in storages) != is_removal:
            relation = "not" if is_removal else "already"
            raise die(f"Storage '{name}' is {relation} a pool member")
        (storages.discard if is_removal else storages.add)(name)
    for former, vmid in left:
        former.vmids.discard(vmid)
    pool.vmids, pool.storages = vmids, storages
    if "comment" in call.params:
        pool.comment = call.params["comment"]


def _split(value: Any) -> list[str]:
    text = ",".join(map(str, value)) if isinstance(value, list) else str(value or "")
    return text.replace(";", ",").replace(" ", ",").strip(",").split(",") if text else []


@routes.delete("/pools", "/pools/{poolid}")
def delete_pool(call: Call) -> Waiting:
    """Drop an empty pool."""
    yield from lock_file(call.receiver, "user.cfg", "delete pool failed")
    cluster = call.cluster
    try:
        cluster.pools.delete(call.params["poolid"], cluster.guests, cluster.storages.definitions)
    except ApiError as error:
        raise die(f"delete pool failed: {error.message}") from error
