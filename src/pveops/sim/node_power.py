"""A node that goes down in good order, and comes back.

`POST /nodes/{node}/status` checks nothing: two seconds later systemd stops the node, on the way
pve-guests shuts down its guests (task `stopall`), in reverse start order, each within 180 s or
what its `down` says, and cuts the power of the rest (pve-manager API2/Nodes.pm, node_cmd and
stopall). HA freezes the guests of a node that reboots, and recovers those of one that is
switched off (`shutdown_policy=conditional`, pve-ha-manager LRM.pm).
"""

from __future__ import annotations

from collections.abc import Generator
from typing import TYPE_CHECKING

from pveops.sim.membership import power_off_node, power_on_node
from pveops.sim.power import power_off
from pveops.sim.property_string import parse_properties
from pveops.sim.tasks import Task, start_task

if TYPE_CHECKING:
    from pveops.sim.guest import Guest
    from pveops.sim.model import Cluster, Node

_DELAY_S = 2.0
_DOWN_S = 180.0
_HALT_S = 3.0
_LAST = 1 << 20
"""Guests without an order start last, and are stopped first."""


def go_down(cluster: Cluster, node: Node, *, restarts: bool) -> None:
    """Begin to stop the node; with `restarts` it boots again."""
    if restarts:
        cluster.ha.frozen.add(node.name)

    def body(task: Task) -> Generator[float, None, None]:
        yield from _stop_guests(cluster, node, task)
        cluster.timeline.after(_HALT_S, lambda: _halt(cluster, node, restarts=restarts))

    cluster.timeline.after(_DELAY_S, lambda: None if not node.is_online else _start(node, body))


def _start(node: Node, body: object) -> None:
    start_task(node, "stopall", "", "root@pam", body)  # type: ignore[arg-type]


def _stop_guests(cluster: Cluster, node: Node, task: Task) -> Generator[float, None, None]:
    running = [g for g in cluster.guests.values() if g.node == node.name and g.is_running]
    groups: dict[int, list[Guest]] = {}
    for guest in running:
        groups.setdefault(order_of(guest), []).append(guest)
    for order in sorted(groups, reverse=True):
        for guest in groups[order]:
            task.log(f"Stopping {guest.noun} {guest.vmid} (timeout = {_limit(guest):.0f} seconds)")
        yield max(_lasts(guest) for guest in groups[order])
        for guest in groups[order]:
            if guest.is_running and guest.node == node.name:
                power_off(cluster, guest)


def _startup(guest: Guest) -> dict[str, str]:
    return parse_properties(str(guest.config.get("startup") or ""), "order")


def order_of(guest: Guest) -> int:
    """`order` of the guest's `startup`; without one it comes last."""
    text = _startup(guest).get("order", "")
    return int(text) if text.isdecimal() else _LAST


def _limit(guest: Guest) -> float:
    text = _startup(guest).get("down", "")
    return float(text) if text.isdecimal() else _DOWN_S


def _lasts(guest: Guest) -> float:
    takes = guest.temper.shutdown_s
    return _limit(guest) if takes is None else min(takes, _limit(guest))


def _halt(cluster: Cluster, node: Node, *, restarts: bool) -> None:
    power_off_node(cluster, node)
    if restarts and node.boot_s is not None:
        cluster.timeline.after(node.boot_s, lambda: _boot(cluster, node))


def _boot(cluster: Cluster, node: Node) -> None:
    power_on_node(cluster, node)
