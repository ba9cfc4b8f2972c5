"""Three equal nodes with Ceph, HA for what matters, and a kernel that waits for a reboot.

Nothing is broken in it: here an evacuation and a rolling reboot can succeed.
"""

from __future__ import annotations

from pveops.sim.ceph import Ceph
from pveops.sim.ha import Resource, add_resource
from pveops.sim.model import Cluster
from pveops.sim.seeds import Seed
from pveops.sim.seeds.accounts import add_agent, add_realms, add_root
from pveops.sim.seeds.furniture import (
    GIB,
    NEW_KERNEL,
    add_backup,
    add_container,
    add_node,
    add_storage,
    add_vm,
)
from pveops.sim.timeline import Timeline
from pveops.sim.version import Version

_TOTAL_GIB, _USED_GIB = 9000, 2400


def build(timeline: Timeline, version: Version) -> Seed:
    """The cluster `three-node-ceph`."""
    cluster = Cluster(timeline, version, "ceph")
    for number in (1, 2, 3):
        added = add_node(cluster, number, cpus=32, memory_gib=128, up_days=63)
        added.installed_kernel = NEW_KERNEL
    cluster.ceph = Ceph(
        dict.fromkeys(cluster.nodes, 4),
        total_bytes=_TOTAL_GIB * GIB,
        used_bytes=_USED_GIB * GIB,
    )
    add_realms(cluster)
    password = add_root(cluster)
    _add_storages(cluster)
    _add_guests(cluster)
    for guest in cluster.guests.values():
        add_backup(cluster, "backups", guest, 0.3, 4)
    token_id, secret = add_agent(cluster)
    return Seed(cluster, password, token_id, secret)


def _add_storages(cluster: Cluster) -> None:
    add_storage(
        cluster,
        "local",
        "dir",
        "backup,import,iso,vztmpl",
        total_gib=100,
        used_gib=12,
        path="/var/lib/vz",
    )
    add_storage(
        cluster,
        "vms",
        "rbd",
        "images,rootdir",
        total_gib=_TOTAL_GIB,
        used_gib=_USED_GIB,
        pool="vms",
    )
    add_storage(
        cluster,
        "backups",
        "nfs",
        "backup",
        total_gib=8000,
        used_gib=1000,
        server="192.0.2.50",
        export="/backups",
        path="/mnt/pve/backups",
    )


def _add_guests(cluster: Cluster) -> None:
    for vmid, name, node, memory_mib, startup in (
        (101, "db01", "pve1", 16384, "order=1,up=30"),
        (102, "db02", "pve2", 16384, "order=1,up=30"),
        (103, "app01", "pve1", 8192, "order=2"),
        (104, "app02", "pve2", 8192, "order=2"),
        (105, "app03", "pve3", 8192, "order=2"),
        (106, "web01", "pve1", 4096, "order=3"),
        (107, "web02", "pve3", 4096, "order=3"),
        (108, "ci01", "pve2", 8192, ""),
        (109, "mail01", "pve3", 8192, ""),
    ):
        guest = add_vm(
            cluster,
            node,
            vmid,
            name,
            storage="vms",
            memory_mib=memory_mib,
            cores=4,
            up_days=60,
            onboot=1,
        )
        if startup:
            guest.config |= {"startup": startup, "tags": "prod"}
    add_vm(cluster, "pve2", 110, "archive", storage="vms", up_days=None)
    for vmid, name, node in ((201, "dns01", "pve1"), (202, "dns02", "pve2"), (203, "ntp", "pve3")):
        add_container(cluster, node, vmid, name, storage="vms", up_days=60, onboot=1)
    for vmid in (101, 102, 106):
        add_resource(cluster, Resource(f"vm:{vmid}", "started", {}, current="started"))
