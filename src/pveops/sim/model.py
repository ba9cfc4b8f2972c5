"""What exists in the simulated cluster: nodes, and what they share.

The shared part is /etc/pve: it can be written only in a partition that has quorum
(`Cluster.require_quorum`). What a node knows of the running state of others comes from their
broadcasts and is as old as those (`broadcast`).
"""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from typing import Any

from pveops.sim.access import Access
from pveops.sim.broadcast import Broadcast
from pveops.sim.ceph import Ceph
from pveops.sim.console import Consoles
from pveops.sim.faults import Faults
from pveops.sim.firewall import FirewallConfig
from pveops.sim.guest import Guest
from pveops.sim.ha import HighAvailability
from pveops.sim.hardware import Hardware
from pveops.sim.node_settings import NodeSettings
from pveops.sim.notification import Notifications
from pveops.sim.pool import Pools
from pveops.sim.replication import JobState
from pveops.sim.sections import Sections, new_sections
from pveops.sim.storage import Storages
from pveops.sim.tasks import Task
from pveops.sim.timeline import Timeline
from pveops.sim.upload import UploadedFile
from pveops.sim.version import Version

KERNEL = "6.17.4-2-pve"


@dataclass(slots=True)
class Node:
    """One server. Its tasks, processes and local volumes die or stay with it."""

    cluster: Cluster
    name: str
    address: str
    node_id: int
    version: Version
    cpus: int = 8
    cpu_model: str = "Simulated CPU"
    memory_bytes: int = 64 << 30
    boot_time: float = 0.0
    installed_at: float = 0.0
    """Since when it measures; 0: since it was booted."""
    downtimes: list[tuple[float, float | None]] = field(default_factory=list)
    """From when to when it was off, oldest first; None: it still is."""
    is_online: bool = True
    """Powered on and its daemons answer."""
    partition: int = 0
    """Nodes with the same number see each other."""
    tasks: dict[str, Task] = field(default_factory=dict)
    """By UPID, oldest first."""
    last_pid: int = 1000
    bridges: tuple[str, ...] = ("vmbr0",)
    broadcast: Broadcast = field(default_factory=Broadcast)
    """What its pvestatd last told the others."""
    hosts: str = ""
    """The text of /etc/hosts."""
    settings: NodeSettings = field(default_factory=NodeSettings)
    hardware: Hardware = field(default_factory=Hardware)
    consoles: Consoles = field(default_factory=Consoles)
    pending_updates: list[dict[str, Any]] = field(default_factory=list)
    """Rows of GET apt/update."""
    vzdump_lock: Task | None = None
    """Who holds /var/run/vzdump.lock."""
    temporary_files: dict[str, UploadedFile] = field(default_factory=dict)
    """Uploads below /var/tmp by path, until their task has taken them."""
    kernel: str = KERNEL
    """What runs since the last boot."""
    installed_kernel: str = KERNEL
    """What the next boot takes."""
    clock_offset_s: float = 0.0
    """How far its clock is ahead of the others'."""
    boot_s: float | None = 60.0
    """How long a reboot takes; None: the node does not come back by itself."""

    def lookup_host(self, name: str) -> str | None:
        """The address of a name by this node's /etc/hosts, or by the list of members."""
        for line in self.hosts.splitlines():
            address, *names = line.split("#")[0].split() or [""]
            if name in names:
                return address
        member = self.cluster.node(name)
        return member.address if member else None

    def next_pid(self) -> int:
        """A process id that was not used yet."""
        self.last_pid += self.cluster.random.randint(1, 7)
        return self.last_pid


@dataclass(slots=True)
class Cluster:
    """The whole model. Guarded by `timeline.lock`."""

    timeline: Timeline
    version: Version
    name: str | None
    """None: a standalone node that never joined a cluster."""
    nodes: dict[str, Node] = field(default_factory=dict)
    storages: Storages = field(default_factory=Storages)
    access: Access = field(default_factory=Access)
    auth_key: bytes = b"signs tickets on every node"
    auth_delay_s: float = 3.0
    """How long a failed authentication is held back."""
    faults: Faults = field(default_factory=Faults)
    guests: dict[int, Guest] = field(default_factory=dict)
    """By vmid."""
    ha: HighAvailability = field(default_factory=HighAvailability)
    pools: Pools = field(default_factory=Pools)
    options: dict[str, Any] = field(default_factory=dict)
    """datacenter.cfg."""
    firewall: dict[str, FirewallConfig] = field(default_factory=dict)
    """By file: `cluster`, `node/NAME`, `guest/VMID`, `vnet/NAME`."""
    notifications: Notifications = field(default_factory=Notifications)
    sections: dict[str, Sections] = field(default_factory=new_sections)
    """Metric servers, mappings and SDN objects by the name of their file."""
    backup_jobs: dict[str, dict[str, Any]] = field(default_factory=dict)
    """jobs.cfg by id, oldest first."""
    replication_jobs: dict[str, dict[str, Any]] = field(default_factory=dict)
    """replication.cfg by id."""
    replication_states: dict[str, JobState] = field(default_factory=dict)
    """How the jobs went."""
    web: dict[str, int] = field(default_factory=dict)
    """What there is to download: the size of the file by its URL. All else leads nowhere."""
    appliances: list[dict[str, str]] = field(default_factory=list)
    """The index of container templates, as `pveam update` fetched it."""
    ceph: Ceph | None = None
    """None: it is not installed."""
    has_qdevice: bool = False
    """A quorum device gives one vote to the part with the lowest node id."""
    ca_certificate: str = ""
    """The cluster's CA in PEM, once somebody made it."""
    random: random.Random = field(default_factory=lambda: random.Random(1))  # noqa: S311
    journal: list[dict[str, Any]] = field(default_factory=list)
    """Every request and its answer, oldest first, for tests and for the demo."""

    def node(self, name: str) -> Node | None:
        """The node of that name."""
        return self.nodes.get(name)

    def members_seen_by(self, node: Node) -> list[Node]:
        """The online nodes of the same partition, `node` among them."""
        return [
            other
            for other in self.nodes.values()
            if other.is_online and other.partition == node.partition
        ]

    def has_quorum(self, node: Node) -> bool:
        """Whether the partition of `node` holds more than half of all votes (one a node)."""
        seen = self.members_seen_by(node)
        online = [each for each in self.nodes.values() if each.is_online]
        lowest = min(online, key=lambda each: each.node_id, default=None)
        extra = int(self.has_qdevice)
        votes = len(seen) + (extra if lowest in seen else 0)
        return 2 * votes > len(self.nodes) + extra
