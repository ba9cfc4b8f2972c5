"""The state in which recordings of a real API server begin: one node, freshly installed."""

from __future__ import annotations

from pveops.sim.hardware import installed_certificates
from pveops.sim.model import Cluster, Node
from pveops.sim.node_settings import bare_network
from pveops.sim.seeds import Seed
from pveops.sim.seeds.accounts import add_realms, add_root
from pveops.sim.storage import Backing
from pveops.sim.timeline import Timeline
from pveops.sim.version import Version
from pveops.sim.volume import Volume

_HOSTS = "127.0.0.1 localhost\n192.0.2.2 pve1.example.test pve1\n192.0.2.2 pve2\n"
_DISK = 270_553_174_016
_AVAILABLE = 71_000_000_000
_USED = 37_754_000_000
_TEMPLATE_BYTES = 1_067_592


def build(timeline: Timeline, version: Version) -> Seed:
    """One node `pve1`, storage `local`, one user; no guests, no tokens, no tasks."""
    cluster = Cluster(timeline, version, None)
    node = Node(
        cluster=cluster,
        name="pve1",
        address="192.0.2.2",
        node_id=0,
        version=version,
        cpus=2,
        memory_bytes=25_276_063_744,
        boot_time=timeline.now() - 9000,
        bridges=(),
        hosts=_HOSTS,
    )
    node.settings.network = bare_network()
    node.hardware.certificates = installed_certificates("pve1", node.boot_time)
    cluster.nodes["pve1"] = node
    add_realms(cluster)
    storage = cluster.storages.define(
        "local",
        "dir",
        {
            "path": "/var/lib/vz",
            "content": "backup,images,iso,rootdir,snippets,vztmpl",
            "prune-backups": "keep-all=1",
            "priority": 0,
        },
    )
    cluster.storages.backings["local", "pve1"] = Backing(
        total_bytes=_DISK,
        used_elsewhere_bytes=_USED,
        reserved_bytes=_DISK - _USED - _AVAILABLE,
    )
    cluster.storages.add_volume(
        node,
        Volume(
            storage=storage.name,
            name="vztmpl/alpine-mini_3.20_amd64.tar.gz",
            content="vztmpl",
            format="tgz",
            size_bytes=_TEMPLATE_BYTES,
            used_bytes=_TEMPLATE_BYTES,
            ctime=int(node.boot_time),
        ),
    )
    return Seed(cluster, add_root(cluster), "", "")
