"""High availability: requests that are queued, and carried out by the CRM in its rounds.

A start or stop of a managed guest only writes down what is wanted (`hastart`, `hastop`); the
manager acts in its next round. A guest of a dead node is recovered elsewhere when the node has
been fenced (pve-ha-manager Manager.pm).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from pveops.sim.guest import Guest, start_process
from pveops.sim.power import power_off, start
from pveops.sim.tasks import Task, start_task

if TYPE_CHECKING:
    from pveops.sim.model import Cluster, Node

ROUND_S = 10.0
FENCE_S = 60.0


@dataclass(slots=True)
class Resource:
    """One guest under HA."""

    sid: str
    """`vm:101`, `ct:102`."""
    state: str = "started"
    """What is wanted: started, stopped, disabled, ignored."""
    options: dict[str, Any] = field(default_factory=dict)
    current: str = "queued"
    """What the CRM makes of it: started, stopped, request_stop, fence, recovery, error."""
    stop_timeout_s: float | None = None
    """How long a wanted shutdown may take; 0: cut the power; None: no stop is wanted."""
    node_lost_at: float | None = None
    start: Task | None = None
    """The LRM's own start of the guest, while it runs."""
    restarts: int = 0
    relocations: int = 0

    @property
    def vmid(self) -> int:
        """The guest."""
        return int(self.sid.partition(":")[2])


@dataclass(slots=True)
class HighAvailability:
    """The manager's state."""

    resources: dict[str, Resource] = field(default_factory=dict)
    rules: dict[str, dict[str, Any]] = field(default_factory=dict)
    groups: dict[str, dict[str, Any]] = field(default_factory=dict)
    is_ticking: bool = False
    frozen: set[str] = field(default_factory=set)
    """Nodes that are rebooting in good order: their guests wait for them."""


def sid_of(guest: Guest) -> str:
    """How HA names a guest."""
    return f"{'vm' if guest.kind == 'qemu' else 'ct'}:{guest.vmid}"


def managed(cluster: Cluster, guest: Guest) -> Resource | None:
    """The guest's resource, if HA takes its requests."""
    resource = cluster.ha.resources.get(sid_of(guest))
    return resource if resource is not None and resource.state != "ignored" else None


def add_resource(cluster: Cluster, resource: Resource) -> None:
    """Put a guest under HA."""
    cluster.ha.resources[resource.sid] = resource
    start_rounds(cluster)


def start_rounds(cluster: Cluster) -> None:
    """Let the CRM work as long as there is something to manage."""
    if not cluster.ha.is_ticking:
        cluster.ha.is_ticking = True
        cluster.timeline.after(ROUND_S, lambda: _round(cluster))


def _round(cluster: Cluster) -> None:
    if not cluster.ha.resources:
        cluster.ha.is_ticking = False
        return
    for resource in list(cluster.ha.resources.values()):
        guest = cluster.guests.get(resource.vmid)
        if guest is not None and any(cluster.has_quorum(n) for n in cluster.nodes.values()):
            _manage(cluster, resource, guest)
    cluster.timeline.after(ROUND_S, lambda: _round(cluster))


def _manage(cluster: Cluster, resource: Resource, guest: Guest) -> None:
    node = cluster.nodes[guest.node]
    if resource.state == "ignored":
        return
    if resource.current == "error":
        # Nothing but `disabled` leads out of it (Manager.pm, next_state_error).
        if resource.state == "disabled":
            resource.current, resource.restarts, resource.relocations = "stopped", 0, 0
        return
    if node.name in cluster.ha.frozen:
        resource.current = "freeze"
        return
    if not node.is_online:
        _recover(cluster, resource, guest)
        return
    resource.node_lost_at = None
    if resource.state == "started":
        resource.stop_timeout_s = None
        if guest.is_running:
            resource.current, resource.restarts, resource.relocations = "started", 0, 0
        elif not guest.is_template and not guest.is_flocked() and resource.start is None:
            resource.current = "started"
            _start(cluster, resource, guest)
    elif resource.state in {"stopped", "disabled"}:
        _stop(cluster, resource, guest)


def _start(cluster: Cluster, resource: Resource, guest: Guest) -> None:
    """The LRM starts it on its node; what fails is tried again, then elsewhere, then given up.

    `max_restart` tries more on the node, `max_relocate` other nodes (Manager.pm,
    next_state_started and recompute).
    """
    node = cluster.nodes[guest.node]
    kind = "qmstart" if guest.kind == "qemu" else "vzstart"
    task = start_task(node, kind, guest.vmid, "root@pam", start(node, guest.kind, guest.vmid))
    resource.start = task
    if task.is_running:
        task.on_end.append(lambda: _judge_start(cluster, resource, guest, task))
    else:
        _judge_start(cluster, resource, guest, task)


def _judge_start(cluster: Cluster, resource: Resource, guest: Guest, task: Task) -> None:
    resource.start = None
    if task.exitstatus == "OK" or guest.is_running or not task.node.is_online:
        return
    if resource.restarts < int(resource.options.get("max_restart", 1)):
        resource.restarts += 1
        return
    others = [n for n in cluster.nodes.values() if n.is_online and n.name != guest.node]
    if others and resource.relocations < int(resource.options.get("max_relocate", 1)):
        resource.relocations, resource.restarts = resource.relocations + 1, 0
        guest.node = min(others, key=lambda node: node.name).name
        return
    resource.current = "error"


def _stop(cluster: Cluster, resource: Resource, guest: Guest) -> None:
    now = cluster.timeline.now()
    if guest.process is None:
        resource.current = "stopped"
        return
    resource.current = "request_stop"
    asked = guest.process.asked_to_stop_at
    if resource.stop_timeout_s == 0:
        power_off(cluster, guest)
        resource.current = "stopped"
    elif asked is None:
        guest.process.asked_to_stop_at = now
    else:
        takes = guest.temper.shutdown_s
        is_down = takes is not None and now - asked >= takes
        # HA always cuts the power when the timeout has passed (PVE/HA/Resources/PVEVM.pm).
        if is_down or now - asked >= (resource.stop_timeout_s or 0.0):
            power_off(cluster, guest)
            resource.current = "stopped"


def _recover(cluster: Cluster, resource: Resource, guest: Guest) -> None:
    now = cluster.timeline.now()
    if resource.node_lost_at is None:
        resource.node_lost_at = now
        resource.current = "fence"
        return
    if now - resource.node_lost_at < FENCE_S:
        return
    resource.current = "recovery"
    target = _recovery_node(cluster)
    if target is None:
        return
    guest.node = target.name
    for lock in ("backup", "mounted", "migrate", "clone", "rollback", "snapshot"):
        if guest.lock == lock:
            guest.config.pop("lock")
    resource.node_lost_at = None
    if resource.state == "started":
        start_process(cluster, target, guest)
        resource.current = "started"


def _recovery_node(cluster: Cluster) -> Node | None:
    online = [n for n in cluster.nodes.values() if n.is_online and cluster.has_quorum(n)]
    counts = {
        node.name: sum(1 for other in cluster.guests.values() if other.node == node.name)
        for node in online
    }
    return min(online, key=lambda node: (counts[node.name], node.name), default=None)
