"""Two nodes without a quorum device: when one is off, the other may change nothing.

`nas` passes a disk controller through, so it cannot leave its node; the copies of `pihole` on the
other node are two days old, since there is no space for new ones.
"""

from __future__ import annotations

from pveops.sim.model import Cluster
from pveops.sim.seeds import Seed
from pveops.sim.seeds.accounts import add_agent, add_realms, add_root
from pveops.sim.seeds.furniture import (
    NEW_KERNEL,
    add_backup,
    add_container,
    add_node,
    add_replication,
    add_storage,
    add_vm,
)
from pveops.sim.timeline import Timeline
from pveops.sim.version import Version


def build(timeline: Timeline, version: Version) -> Seed:
    """The cluster `two-node`."""
    cluster = Cluster(timeline, version, "pair")
    for number in (1, 2):
        added = add_node(cluster, number, cpus=8, memory_gib=32, up_days=90)
        added.installed_kernel = NEW_KERNEL
    add_realms(cluster)
    password = add_root(cluster)
    add_storage(
        cluster,
        "local",
        "dir",
        "backup,import,iso,vztmpl",
        total_gib=200,
        used_gib=20,
        path="/var/lib/vz",
    )
    add_storage(
        cluster,
        "local-zfs",
        "zfspool",
        "images,rootdir",
        total_gib=900,
        used_gib=100,
        pool="rpool/data",
    )
    nas = add_vm(
        cluster, "pve1", 100, "nas", storage="local-zfs", memory_mib=8192, up_days=90, onboot=1
    )
    nas.config["hostpci0"] = "0000:01:00.0,pcie=1"
    for vmid, name, node in (
        (101, "homeassistant", "pve1"),
        (102, "pihole", "pve2"),
        (103, "unifi", "pve2"),
    ):
        add_vm(cluster, node, vmid, name, storage="local-zfs", up_days=90, onboot=1)
    for vmid, name, node in ((201, "proxy", "pve1"), (202, "mqtt", "pve2")):
        add_container(cluster, node, vmid, name, storage="local-zfs", up_days=90, onboot=1)
    add_replication(cluster, 101, "pve2")
    add_replication(cluster, 102, "pve1", minutes_ago=2900, error="out of space on rpool/data")
    for guest in cluster.guests.values():
        add_backup(cluster, "local", guest, 1.2, 2)
    token_id, secret = add_agent(cluster)
    return Seed(cluster, password, token_id, secret)
