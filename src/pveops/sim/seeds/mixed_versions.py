"""Half-way through an upgrade: `pve3` runs another release of PVE than the other two."""

from __future__ import annotations

from pveops.sim.model import Cluster
from pveops.sim.seeds import Seed
from pveops.sim.seeds.accounts import add_agent, add_realms, add_root
from pveops.sim.seeds.furniture import (
    NEW_KERNEL,
    add_backup,
    add_container,
    add_node,
    add_storage,
    add_vm,
)
from pveops.sim.timeline import Timeline
from pveops.sim.version import VERSIONS, Version


def build(timeline: Timeline, version: Version) -> Seed:
    """The cluster `mixed-versions`: two nodes of `version`, one of the release before or after."""
    cluster = Cluster(timeline, version, "halfway")
    for number in (1, 2, 3):
        add_node(cluster, number, cpus=16, memory_gib=64, up_days=20)
    cluster.nodes["pve3"].version = VERSIONS["9.0" if version.major < 9 else "8.4"]
    cluster.nodes["pve3"].installed_kernel = NEW_KERNEL
    add_realms(cluster)
    password = add_root(cluster)
    add_storage(
        cluster,
        "local",
        "dir",
        "backup,import,iso,vztmpl",
        total_gib=100,
        used_gib=20,
        path="/var/lib/vz",
    )
    add_storage(
        cluster,
        "san",
        "nfs",
        "images,rootdir,backup",
        total_gib=4000,
        used_gib=900,
        server="192.0.2.60",
        export="/san",
        path="/mnt/pve/san",
    )
    for index, name in enumerate(("erp01", "erp02", "files", "print", "wiki", "chat")):
        add_vm(
            cluster,
            f"pve{index % 3 + 1}",
            101 + index,
            name,
            storage="san",
            memory_mib=4096,
            up_days=15,
            onboot=1,
        )
    for index, name in enumerate(("dns01", "dns02")):
        add_container(
            cluster, f"pve{index + 2}", 201 + index, name, storage="san", up_days=15, onboot=1
        )
    for guest in cluster.guests.values():
        add_backup(cluster, "san", guest, 0.4, 3)
    token_id, secret = add_agent(cluster)
    return Seed(cluster, password, token_id, secret)
