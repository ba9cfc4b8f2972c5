"""Measured series: rrddata of nodes, guests and storages.

Nodes' and guests' series are on every node (pmxcfs sends them around), so whoever is asked
answers, for a dead node, too; a storage's are asked of the node that measured them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from pveops.sim.call import Call
from pveops.sim.refusal import parameter_error
from pveops.sim.router import Routes
from pveops.sim.rrd import Values, list_moments, measure_guest, measure_node, measure_storage

routes = Routes()
_GUESTS = ("/nodes/{node}/qemu/{vmid}", "/nodes/{node}/lxc/{vmid}")


def _rows(call: Call, measure: Callable[[int, int], Values] | None) -> list[dict[str, Any]]:
    """What was measured; rows of which nothing is known hold their time alone."""
    now = call.cluster.timeline.now()
    moments = list_moments(call.node.version.major, call.params["timeframe"], now)
    rows = [
        {"time": moment, **(measure(moment, step) if measure else {})} for moment, step in moments
    ]
    is_new = call.node.version.at_least("9.2")
    return rows[:-1] if is_new and rows and len(rows[-1]) == 1 else rows


def _is_max(call: Call) -> bool:
    return bool(call.get("cf") == "MAX")


@routes.get(*(f"{path}/rrddata" for path in _GUESTS))
def get_guest_data(call: Call) -> list[dict[str, Any]]:
    """Load, memory and traffic of a guest."""
    guest = call.cluster.guests.get(call.params["vmid"])
    if guest is None:
        return _rows(call, None)
    return _rows(call, measure_guest(call.cluster, guest, is_max=_is_max(call)))


@routes.get("/nodes/{node}/rrddata")
def get_node_data(call: Call) -> list[dict[str, Any]]:
    """Load, memory and root file system of a node."""
    node = call.cluster.node(call.params["node"]) or call.node
    return _rows(call, measure_node(call.cluster, node, is_max=_is_max(call)))


@routes.get("/nodes/{node}/storage/{storage}/rrddata")
def get_storage_data(call: Call) -> list[dict[str, Any]]:
    """Space of a storage."""
    storage = call.cluster.storages.definitions.get(call.params["storage"])
    if storage is None:
        raise parameter_error({"storage": "No such storage."})
    return _rows(call, measure_storage(call.cluster, storage, call.node))
