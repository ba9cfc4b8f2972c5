"""Nodes: the list, and one node's own status (pve-manager API2/Nodes.pm)."""

from __future__ import annotations

import hashlib
from typing import Any

from pveops.sim.call import Call
from pveops.sim.handlers.cluster_resources import node_figures, node_status
from pveops.sim.handlers.permission import may
from pveops.sim.model import Node
from pveops.sim.node_power import go_down
from pveops.sim.router import Routes

routes = Routes()


@routes.get("/nodes")
def list_nodes(call: Call) -> list[dict[str, Any]]:
    """Everybody may list the nodes; figures take Sys.Audit."""
    rows = []
    for node in call.cluster.nodes.values():
        row: dict[str, Any] = {
            "id": f"node/{node.name}",
            "type": "node",
            "node": node.name,
            "level": "",
            "status": node_status(call, node),
            "ssl_fingerprint": _fingerprint(node.name),
        }
        if row["status"] == "online" and may(call, f"/nodes/{node.name}", "Sys.Audit"):
            row |= node_figures(call, node)
        rows.append(row)
    return rows


def _fingerprint(name: str) -> str:
    digest = hashlib.sha256(name.encode()).hexdigest().upper()
    return ":".join(digest[i : i + 2] for i in range(0, len(digest), 2))


def _memory(node: Node, figures: dict[str, Any]) -> dict[str, int]:
    free = figures["maxmem"] - figures["mem"]
    memory = {"total": figures["maxmem"], "used": figures["mem"], "free": free}
    return memory | ({"available": free} if node.version.major >= 9 else {})


@routes.get("/nodes/{node}/status")
def get_status(call: Call) -> dict[str, Any]:
    """The node's load, memory, kernel and version."""
    node = call.node
    figures = node_figures(call, node)
    total, used = figures["maxdisk"], figures["disk"]
    return {
        "uptime": figures["uptime"],
        "cpu": figures["cpu"],
        "wait": node.hardware.load.iowait,
        "idle": 0,
        "loadavg": ["0.10", "0.12", "0.09"],
        "memory": _memory(node, figures),
        "swap": {"total": 0, "used": 0, "free": 0},
        "rootfs": {"total": total, "used": used, "free": total - used, "avail": total - used},
        "ksm": {"shared": 0},
        "cpuinfo": {
            "cpus": node.cpus,
            "cores": node.cpus,
            "sockets": 1,
            "model": node.cpu_model,
            "vendor": "GenuineIntel",
            "family": "6",
            "mhz": "2600.000",
            "hvm": "1",
            "flags": "fpu vme sse sse2",
            "user_hz": 100,
        },
        "kversion": f"Linux {node.kernel} #1 SMP PREEMPT_DYNAMIC",
        "current-kernel": {
            "sysname": "Linux",
            "release": node.kernel,
            "version": "#1 SMP PREEMPT_DYNAMIC",
            "machine": "x86_64",
        },
        "boot-info": {"mode": "efi", "secureboot": 0},
        "pveversion": f"pve-manager/{node.version.version}/{node.version.repoid}",
    }


@routes.post("/nodes/{node}/status")
def command_node(call: Call) -> None:
    """Reboot or shut down: answered at once, and nothing is checked (Nodes.pm, node_cmd)."""
    go_down(call.cluster, call.node, restarts=call.params["command"] == "reboot")
