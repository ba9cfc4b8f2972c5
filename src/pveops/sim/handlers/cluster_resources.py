"""Everything there is: configured members are current, running state is as old as broadcasts."""

from __future__ import annotations

from typing import Any

from pveops.sim.broadcast import heard_figures
from pveops.sim.call import Call
from pveops.sim.figures import memory_bytes, node_load, node_memory
from pveops.sim.guest import Guest
from pveops.sim.ha import sid_of
from pveops.sim.handlers.permission import may
from pveops.sim.model import Node
from pveops.sim.router import Routes
from pveops.sim.storage import Storage

routes = Routes()


@routes.get("/cluster/resources")
def list_resources(call: Call) -> list[dict[str, Any]]:
    """Everything that the caller may see; rows are filtered silently."""
    wanted = call.get("type")
    rows: list[dict[str, Any]] = []
    if wanted in {None, "vm"}:
        rows += _guest_rows(call)
    if wanted in {None, "node"}:
        rows += [node_row(call, node) for node in call.cluster.nodes.values()]
    if wanted in {None, "storage"}:
        rows += _storage_rows(call)
    if wanted is None:
        rows += _pool_rows(call)
    if wanted in {None, "sdn"}:
        rows += _network_rows(call, wanted)
    return rows


def _guest_rows(call: Call) -> list[dict[str, Any]]:
    heard = {
        name: heard_figures(call.cluster, call.receiver, node)
        for name, node in call.cluster.nodes.items()
    }
    return [
        _guest_row(call, guest, heard[guest.node].get(guest.vmid))
        for guest in call.cluster.guests.values()
        if may(call, f"/vms/{guest.vmid}", "VM.Audit")
    ]


def guest_row(call: Call, guest: Guest) -> dict[str, Any]:
    """One guest as /cluster/resources shows it."""
    node = call.cluster.nodes[guest.node]
    figures = heard_figures(call.cluster, call.receiver, node).get(guest.vmid)
    return _guest_row(call, guest, figures)


def _guest_row(call: Call, guest: Guest, figures: dict[str, Any] | None) -> dict[str, Any]:
    row: dict[str, Any] = {
        "id": f"{guest.kind}/{guest.vmid}",
        "type": guest.kind,
        "vmid": guest.vmid,
        "node": guest.node,
        **(figures or {"status": "unknown"}),
    }
    for key in ("tags", "lock"):
        if guest.config.get(key):
            row[key] = guest.config[key]
    pool = call.cluster.pools.pool_of_guest(guest.vmid)
    if pool:
        row["pool"] = pool
    resource = call.cluster.ha.resources.get(sid_of(guest))
    if resource is not None:
        row["hastate"] = resource.current if resource.state != "ignored" else "ignored"
    return row


def node_status(call: Call, node: Node) -> str:
    """As the asked node sees the other one."""
    return "online" if node in call.cluster.members_seen_by(call.receiver) else "offline"


def node_row(call: Call, node: Node) -> dict[str, Any]:
    """One node; figures only with Sys.Audit, and only while it is seen."""
    row: dict[str, Any] = {
        "id": f"node/{node.name}",
        "type": "node",
        "node": node.name,
        "level": "",
        "status": node_status(call, node),
    }
    if row["status"] == "online":
        row["cgroup-mode"] = 2
        if may(call, f"/nodes/{node.name}", "Sys.Audit"):
            row |= node_figures(call, node)
    if call.cluster.ha.resources:
        row["hastate"] = "online" if node.is_online else "unknown"
    return row


def node_figures(call: Call, node: Node) -> dict[str, Any]:
    """Load, memory and disk of a node."""
    guests = [g for g in call.cluster.guests.values() if g.node == node.name and g.is_running]
    used = sum(memory_bytes(guest) for guest in guests)
    root = call.cluster.storages.definitions.get("local")
    usage = call.cluster.storages.usage(root, node) if root is not None else None
    busy = node.hardware.load.cpu
    return {
        "cpu": node_load(len(guests)) if busy is None else busy,
        "maxcpu": node.cpus,
        "mem": node_memory(node, used),
        "maxmem": node.memory_bytes,
        "disk": usage.used if usage else 0,
        "maxdisk": usage.total if usage else 0,
        "uptime": int(call.cluster.timeline.now() - node.boot_time),
    }


def _storage_rows(call: Call) -> list[dict[str, Any]]:
    return [
        storage_row(call, storage, node)
        for storage in call.cluster.storages.definitions.values()
        for node in call.cluster.nodes.values()
        if storage.is_for(node.name)
        and not storage.is_disabled
        and may(call, f"/storage/{storage.name}", "Datastore.Audit")
    ]


def storage_row(call: Call, storage: Storage, node: Node) -> dict[str, Any]:
    """One storage on one node."""
    storages = call.cluster.storages
    is_seen = node in call.cluster.members_seen_by(call.receiver)
    is_active = is_seen and storages.is_active(storage, node)
    row: dict[str, Any] = {
        "id": f"storage/{node.name}/{storage.name}",
        "type": "storage",
        "storage": storage.name,
        "node": node.name,
        "plugintype": storage.type,
        "content": ",".join(storage.content),
        "shared": int(storage.is_shared),
        "status": "available" if is_active else "unknown",
    }
    if is_active:
        usage = storages.usage(storage, node)
        row |= {"disk": usage.used, "maxdisk": usage.total}
    return row


def _pool_rows(call: Call) -> list[dict[str, Any]]:
    return [
        {"id": f"/pool/{name}", "type": "pool", "pool": name}
        for name in call.cluster.pools.by_id
        if may(call, f"/pool/{name}", "Pool.Audit")
    ]


def _network_rows(call: Call, wanted: str | None) -> list[dict[str, Any]]:
    """The zone `localnetwork` of each node: a network since 9.0, an SDN zone before."""
    if not may(call, "/sdn/zones/localnetwork", "SDN.Audit", "SDN.Allocate", "SDN.Use"):
        return []
    is_new = call.cluster.version.at_least("9.0")
    if is_new and wanted == "sdn":
        return []
    rows = []
    for node in call.cluster.members_seen_by(call.receiver):
        row: dict[str, Any] = {"node": node.name, "status": "ok"}
        if is_new:
            row |= {
                "id": f"network/{node.name}/zone/localnetwork",
                "type": "network",
                "network": "localnetwork",
                "network-type": "zone",
            }
        else:
            row |= {
                "id": f"sdn/{node.name}/localnetwork",
                "type": "sdn",
                "sdn": "localnetwork",
            }
        rows.append(row)
    return rows
