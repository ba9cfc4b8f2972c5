"""Membership and quorum as the asked node sees them, and free vmids."""

from __future__ import annotations

from typing import Any

from pveops.sim.call import Call
from pveops.sim.refusal import parameter_error
from pveops.sim.router import Routes

routes = Routes()
_FIRST_VMID = 100


@routes.get("/cluster/status")
def get_status(call: Call) -> list[dict[str, Any]]:
    """A row for the cluster, unless the node never joined one, and a row a node."""
    cluster = call.cluster
    seen = cluster.members_seen_by(call.receiver)
    rows: list[dict[str, Any]] = []
    if cluster.name is not None:
        rows.append(
            {
                "id": "cluster",
                "type": "cluster",
                "name": cluster.name,
                "nodes": len(cluster.nodes),
                "quorate": int(cluster.has_quorum(call.receiver)),
                "version": len(cluster.nodes),
            }
        )
    for node in cluster.nodes.values():
        rows.append(
            {
                "id": f"node/{node.name}",
                "type": "node",
                "name": node.name,
                "ip": node.address,
                "level": "",
                "local": int(node is call.receiver),
                "nodeid": node.node_id if cluster.name is not None else 0,
                "online": int(node in seen),
            }
        )
    return rows


@routes.get("/cluster/nextid")
def get_next_id(call: Call) -> str:
    """The lowest free vmid, or the asked one if it is free. Nothing is reserved."""
    wanted = call.get("vmid")
    if wanted is not None:
        if int(wanted) in call.cluster.guests:
            raise parameter_error({"vmid": f"VM {wanted} already exists"})
        return str(wanted)
    vmid = _FIRST_VMID
    while vmid in call.cluster.guests:
        vmid += 1
    return str(vmid)
