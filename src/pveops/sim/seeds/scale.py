"""N guests on up to ten nodes, for measuring."""

from __future__ import annotations

from pveops.sim.model import Cluster
from pveops.sim.seeds import Seed
from pveops.sim.seeds.accounts import add_agent, add_realms, add_root
from pveops.sim.seeds.furniture import add_container, add_node, add_storage, add_vm
from pveops.sim.timeline import Timeline
from pveops.sim.version import Version

_GUESTS_A_NODE = 20
_MOST_NODES = 10
_FIRST_VMID = 100
_KINDS = ("prod", "test", "web", "db")


def build(timeline: Timeline, version: Version, guests: int) -> Seed:
    """Every third guest is a container, every fourth is stopped."""
    cluster = Cluster(timeline, version, f"scale-{guests}")
    nodes = max(1, min(_MOST_NODES, guests // _GUESTS_A_NODE))
    for number in range(1, nodes + 1):
        add_node(cluster, number, cpus=64, memory_gib=1024, up_days=100)
    add_realms(cluster)
    password = add_root(cluster)
    add_storage(
        cluster, "local", "dir", "backup,iso", total_gib=100, used_gib=30, path="/var/lib/vz"
    )
    add_storage(
        cluster,
        "vms",
        "rbd",
        "images,rootdir",
        total_gib=max(1000, 50 * guests),
        pool="vms",
    )
    for index in range(guests):
        node = f"pve{index % nodes + 1}"
        vmid, kind = _FIRST_VMID + index, _KINDS[index % len(_KINDS)]
        up_days = None if index % 4 == 3 else 1 + index % 50
        if index % 3 == 2:
            add_container(
                cluster,
                node,
                vmid,
                f"{kind}-{index:05}",
                storage="vms",
                up_days=up_days,
                tags=kind,
            )
        else:
            add_vm(
                cluster,
                node,
                vmid,
                f"{kind}-{index:05}",
                storage="vms",
                up_days=up_days,
                tags=kind,
            )
    token_id, secret = add_agent(cluster)
    return Seed(cluster, password, token_id, secret)
