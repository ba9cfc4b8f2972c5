"""A cluster of many nodes and guests, for what has to stay small whatever there is."""

from __future__ import annotations

from pathlib import Path

from pveops.sim.model import Cluster
from pveops.sim.seeds import Seed
from pveops.sim.seeds.accounts import add_agent, add_realms, add_root
from pveops.sim.seeds.furniture import add_backup, add_node, add_storage, add_vm
from pveops.sim.timeline import Timeline
from pveops.sim.version import VERSIONS
from tests.world import START, World, join_world

NODES, GUESTS = 50, 2000


def make_large_world(folder: Path, version: str = "9.2") -> World:
    """50 nodes with two storages each, a shared one for backups, 2,000 guests, half backed up."""
    cluster = Cluster(Timeline(START), VERSIONS[version], "large")
    for number in range(1, NODES + 1):
        add_node(cluster, number, cpus=64, memory_gib=512, up_days=100)
    add_realms(cluster)
    password = add_root(cluster)
    add_storage(
        cluster, "local", "dir", "iso,vztmpl", total_gib=100, used_gib=30, path="/var/lib/vz"
    )
    add_storage(
        cluster, "local-lvm", "lvmthin", "images", total_gib=4000, vgname="p", thinpool="d"
    )
    add_storage(
        cluster,
        "backups",
        "nfs",
        "backup",
        total_gib=90_000,
        used_gib=40_000,
        grows_gib_day=900,
        server="192.0.2.50",
        export="/backups",
        path="/mnt/pve/backups",
    )
    for index in range(GUESTS):
        guest = add_vm(
            cluster, f"pve{index % NODES + 1}", 100 + index, f"guest-{index:04}", up_days=40
        )
        if index % 2:
            add_backup(cluster, "backups", guest, 0.4, 2)
    token_id, secret = add_agent(cluster)
    return join_world(folder, Seed(cluster, password, token_id, secret))
