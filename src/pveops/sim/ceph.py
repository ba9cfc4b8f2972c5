"""Ceph as far as its health tells: OSDs on nodes, flags, and a recovery after a node was away."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pveops.sim.model import Cluster, Node

FLAGS = (
    "nobackfill",
    "nodeep-scrub",
    "nodown",
    "noin",
    "noout",
    "norebalance",
    "norecover",
    "noscrub",
    "notieragent",
    "noup",
    "pause",
)
_RECOVERY_S = 30.0
"""How long placement groups stay degraded after the last OSD came back."""


@dataclass(slots=True)
class Ceph:
    """A hyper-converged Ceph: each member node has a monitor and OSDs."""

    osds: dict[str, int] = field(default_factory=dict)
    """How many each node has."""
    flags: set[str] = field(default_factory=set)
    total_bytes: int = 0
    used_bytes: int = 0
    trouble: dict[str, str] = field(default_factory=dict)
    """Further health checks by their code, such as `OSD_NEARFULL`."""


def checks_of(cluster: Cluster, ceph: Ceph, seer: Node) -> dict[str, str]:
    """Health checks by code, as `ceph health detail` names them."""
    seen = {node.name for node in cluster.members_seen_by(seer)}
    away = [name for name in ceph.osds if name not in seen]
    newest = max((cluster.nodes[name].boot_time for name in ceph.osds), default=0.0)
    checks = dict(ceph.trouble)
    if away:
        down = sum(ceph.osds[name] for name in away)
        checks["OSD_DOWN"] = f"{down} osds down"
        checks["MON_DOWN"] = f"{len(away)}/{len(ceph.osds)} mons down"
        checks["PG_DEGRADED"] = "Degraded data redundancy"
    elif cluster.timeline.now() < newest + _RECOVERY_S:
        checks["PG_DEGRADED"] = "Degraded data redundancy"
    if ceph.flags:
        checks["OSDMAP_FLAGS"] = f"{','.join(sorted(ceph.flags))} flag(s) set"
    return checks


def status_of(cluster: Cluster, ceph: Ceph, seer: Node) -> dict[str, Any]:
    """`ceph status --format json`, cut to what is modelled."""
    checks = checks_of(cluster, ceph, seer)
    seen = {node.name for node in cluster.members_seen_by(seer)}
    up = sum(count for name, count in ceph.osds.items() if name in seen)
    total = sum(ceph.osds.values())
    return {
        "health": {
            "status": "HEALTH_WARN" if checks else "HEALTH_OK",
            "checks": {
                code: {"severity": "HEALTH_WARN", "summary": {"message": text, "count": 1}}
                for code, text in checks.items()
            },
        },
        "quorum_names": [name for name in ceph.osds if name in seen],
        "monmap": {"num_mons": len(ceph.osds)},
        "osdmap": {"num_osds": total, "num_up_osds": up, "num_in_osds": total},
        "pgmap": {
            "bytes_total": ceph.total_bytes,
            "bytes_used": ceph.used_bytes,
            "bytes_avail": ceph.total_bytes - ceph.used_bytes,
        },
    }
