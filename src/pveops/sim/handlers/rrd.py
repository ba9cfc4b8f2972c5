"""Measured series: rrddata of nodes, guests and storages."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from pveops.sim.call import Call
from pveops.sim.figures import guest_figures
from pveops.sim.refusal import parameter_error
from pveops.sim.router import Routes

routes = Routes()
_GUESTS = ("/nodes/{node}/qemu/{vmid}", "/nodes/{node}/lxc/{vmid}")
_SPANS = {
    "hour": (60, 60),
    "day": (60, 1440),
    "week": (1800, 336),
    "month": (1800, 1440),
    "year": (21600, 1440),
    "decade": (604800, 570),
}
"""Seconds of a row and number of rows since 9.0 (PVE::RRD)."""
_OLD_SPANS = {
    "hour": (60, 70),
    "day": (1800, 70),
    "week": (10800, 70),
    "month": (43200, 70),
    "year": (604800, 70),
}
_MEMBERS = "cpu maxcpu mem maxmem disk maxdisk netin netout diskread diskwrite memhost"
_GUEST_MEMBERS = tuple(_MEMBERS.split())
_PRESSURES = tuple(
    f"pressure{what}{how}" for what in ("cpu", "io", "memory") for how in ("some", "full")
)


def _moments(call: Call) -> list[int]:
    is_new = call.node.version.major >= 9
    spans = _SPANS if is_new else _OLD_SPANS
    step, count = spans.get(call.params["timeframe"], _OLD_SPANS["year"])
    newest = int(call.cluster.timeline.now()) // step * step
    return list(range(newest - step * count, newest, step))


def _rows(
    call: Call, since: float | None, values: Callable[[int], dict[str, Any]]
) -> list[dict[str, Any]]:
    """What was measured since the start of the thing; before that, rows hold their time alone."""
    rows = [
        {"time": moment} | (values(moment) if since is not None and moment >= since else {})
        for moment in _moments(call)
    ]
    is_new = call.node.version.at_least("9.2")
    return rows[:-1] if is_new and rows and len(rows[-1]) == 1 else rows


def _pressures(call: Call, told: dict[str, float]) -> dict[str, float]:
    """Pressure stall information, which 9.0 began to keep."""
    return {name: told.get(name, 0.0) for name in _PRESSURES if call.node.version.major >= 9}


@routes.get(*(f"{path}/rrddata" for path in _GUESTS))
def get_guest_data(call: Call) -> list[dict[str, Any]]:
    """Load, memory and traffic of a guest."""
    guest = call.cluster.guests.get(call.params["vmid"])
    if guest is None or guest.process is None:
        return _rows(call, None, lambda _: {})
    figures = guest_figures(call.cluster, call.node, guest)
    values = {name: figures[name] for name in _GUEST_MEMBERS if name in figures}
    values |= _pressures(call, {})
    return _rows(call, guest.process.started_at, lambda _: values)


@routes.get("/nodes/{node}/rrddata")
def get_node_data(call: Call) -> list[dict[str, Any]]:
    """Load, memory and root file system of a node, by the copy that each node keeps of it."""
    node = call.cluster.node(call.params["node"]) or call.node
    figures = [
        guest_figures(call.cluster, node, guest)
        for guest in call.cluster.guests.values()
        if guest.node == node.name and guest.is_running
    ]
    local = call.cluster.storages.definitions.get("local")
    usage = call.cluster.storages.usage(local, node) if local else None
    load = node.hardware.load
    busy = sum(row["cpu"] * row["maxcpu"] for row in figures) / node.cpus
    values = {
        "cpu": min(1.0, busy) if load.cpu is None else load.cpu,
        "maxcpu": node.cpus,
        "loadavg": sum(row["cpu"] * row["maxcpu"] for row in figures),
        "iowait": load.iowait,
        "memtotal": node.memory_bytes,
        "memused": min(node.memory_bytes, (1 << 30) + sum(row["mem"] for row in figures)),
        "swaptotal": 0,
        "swapused": 0,
        "roottotal": usage.total if usage else 0,
        "rootused": usage.used if usage else 0,
        "netin": 0.0,
        "netout": 0.0,
    }
    values |= _pressures(call, load.pressures)
    newest = call.cluster.timeline.now() if node.is_online else node.broadcast.sent_at
    return _rows(call, node.boot_time, lambda moment: values if moment <= newest else {})


@routes.get("/nodes/{node}/storage/{storage}/rrddata")
def get_storage_data(call: Call) -> list[dict[str, Any]]:
    """Space of a storage."""
    storage = call.cluster.storages.definitions.get(call.params["storage"])
    if storage is None:
        raise parameter_error({"storage": "No such storage."})
    if not call.cluster.storages.is_active(storage, call.node):
        return _rows(call, None, lambda _: {})
    backing = call.cluster.storages.backing(storage, call.node)
    now, total = call.cluster.timeline.now(), backing.total_bytes
    used = backing.used_bytes(now)

    def values(moment: int) -> dict[str, Any]:
        before = int(backing.growth_bytes_s * (now - moment))
        return {"total": total, "used": min(total, max(0, used - before))}

    return _rows(call, call.node.boot_time, values)
