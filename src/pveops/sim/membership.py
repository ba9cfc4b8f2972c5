"""Nodes that die, come back, and lose sight of each other."""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING

from pveops.sim.broadcast import cut_off
from pveops.sim.refusal import ApiError, die

if TYPE_CHECKING:
    from pveops.sim.model import Cluster, Node


def power_off_node(cluster: Cluster, node: Node) -> None:
    """The plug is pulled: tasks and guests of the node end where they stand."""
    if not node.is_online:
        return
    cut_off(cluster, node)
    node.is_online = False
    node.downtimes.append((cluster.timeline.now(), None))
    for task in list(node.tasks.values()):
        task.vanish()
    for guest in cluster.guests.values():
        if guest.node == node.name:
            guest.end_process(cluster.timeline.now())
            guest.flock = None


def power_on_node(cluster: Cluster, node: Node) -> None:
    """The node is back, with the guests that start on boot."""
    from pveops.sim.guest import start_process

    if node.is_online:
        return
    node.is_online = True
    node.boot_time = cluster.timeline.now()
    node.downtimes[-1] = (node.downtimes[-1][0], node.boot_time)
    node.broadcast.stale = None
    node.kernel = node.installed_kernel
    cluster.ha.frozen.discard(node.name)
    for guest in cluster.guests.values():
        if guest.node != node.name:
            continue
        if guest.lock == "backup":
            # pve-guests removes left over backup locks when it starts the guests of a node.
            guest.config.pop("lock")
        if guest.config.get("onboot") and not guest.is_template:
            start_process(cluster, node, guest)


def split_off(cluster: Cluster, names: Collection[str]) -> None:
    """The named nodes lose sight of the others, and the others of them."""
    for node in cluster.nodes.values():
        cut_off(cluster, node)
        node.partition = 1 if node.name in names else 0


def rejoin(cluster: Cluster) -> None:
    """Every node sees every other one again."""
    for node in cluster.nodes.values():
        node.partition = 0
        if node.is_online:
            node.broadcast.stale = None


def quorum_error(kind: str, subject: str = "") -> ApiError:
    """How PVE words a missing quorum, by what was to be written.

    kind: `action` (create, start, clone, migrate), `guest` (a guest's file; `subject` is its
    path), or `file` (a file under a cluster-wide lock; `subject` is its name).
    """
    if kind == "action":
        return die("cluster not ready - no quorum?")
    if kind == "guest":
        return die(f"unable to open file '/etc/pve/{subject}.tmp.4711' - Permission denied")
    return die(f"cfs-lock 'file-{subject}' error: no quorum!")


def require_quorum(cluster: Cluster, node: Node, kind: str = "action", subject: str = "") -> None:
    """Refuse as PVE does when the partition of `node` has no quorum."""
    if not cluster.has_quorum(node):
        raise quorum_error(kind, subject)
