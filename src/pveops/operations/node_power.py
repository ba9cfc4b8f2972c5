"""Reboot and shutdown of a node: the decision. Pure.

PVE checks nothing before it reboots a node (pve-manager API2/Nodes.pm, node_cmd), so all of it is
checked here: quorum, what runs there, tasks at work, HA, Ceph.
"""

from __future__ import annotations

from pveops.api.port import api_path
from pveops.domain.ceph import NOOUT
from pveops.domain.node_power import NodePower
from pveops.operations.decision import Decision
from pveops.operations.findings import blocks_among
from pveops.operations.guards import node_guards
from pveops.operations.guest_checks import worst_first
from pveops.operations.node_power_checks import check_around, check_node, check_votes
from pveops.operations.plan import Call, Item, Scalar, Step, Target, WaitState
from pveops.units import format_duration

_BOOT_S = 1800.0
"""Servers test their memory for many minutes; guests take up to 180 s each to go down before."""
_OFF_S = 1200.0
_GUESTS_S = 600.0
_HEALTHY_S = 3600.0
_FLAG_S = 60.0
EMPTY = "EMPTY"
EMPTY_BY_THEN = "EMPTY BY THEN"
"""Of a node whose guests go first, in the same plan."""


def decide_node_power(operation: str, facts: NodePower, params: dict[str, Scalar]) -> Decision:
    """`node.reboot` and `node.shutdown`."""
    restarts, with_guests = operation == "node.reboot", bool(params.get("with_guests"))
    found = worst_first(
        iter(
            [
                *check_votes(facts.around.votes, facts.node.name),
                *check_around(facts.around, is_strict=False),
                *check_node(facts, with_guests=with_guests, restarts=restarts),
            ]
        )
    )
    target, state = node_target(facts.node.name), facts.node.status
    if blocks_among(found):
        return Decision(target, found, state=state)
    item = reboot_item(facts) if restarts else shutdown_item(facts)
    return Decision(target, found, item, state=state)


def node_target(name: str) -> Target:
    """A node as a plan's target."""
    return Target(kind="node", id=name, name=name, node=name)


def reboot_item(facts: NodePower, *, empty: str = EMPTY) -> Item:
    """Down and up again, with quorum, the storages that it had, and Ceph as healthy as before."""
    expect: dict[str, Scalar] = {"storages": ",".join(facts.storages)}
    if facts.kernels.newest:
        expect["kernel"] = facts.kernels.newest
    back = WaitState("node.rebooted", _BOOT_S, expect)
    steps: list[Step] = [_command(facts, "reboot"), back]
    if facts.around.ceph is not None and facts.around.ceph.status:
        steps = [*_without_rebalancing(facts, steps), back]
    started = sorted(facts.onboot or ())
    if started:
        vmids = ",".join(map(str, started))
        steps.append(WaitState("node.guests-up", _GUESTS_S, {"vmids": vmids}, is_optional=True))
    return _item(facts, tuple(steps), empty)


def shutdown_item(facts: NodePower, *, is_last: bool = False, empty: str = EMPTY) -> Item:
    """Down, as the others see it. is_last: nobody is left to see it."""
    expect: dict[str, Scalar] = {"is_last": True} if is_last else {}
    return _item(
        facts, (_command(facts, "shutdown"), WaitState("node.off", _OFF_S, expect)), empty
    )


def _command(facts: NodePower, command: str) -> Call:
    return Call(
        "POST",
        api_path("nodes", facts.node.name, "status"),
        {"command": command},
        effect="C",
        does=command,
        is_late=True,
        # Ceph's flag is set before it, which may take a minute; the run may have lain for hours.
        holds=tuple(node_guards(facts.node.status, ())),
    )


def _without_rebalancing(facts: NodePower, steps: list[Step]) -> list[Step]:
    """Ceph is told meanwhile not to copy away what the node holds; what was set before stays."""
    healthy = WaitState("ceph.healthy", _HEALTHY_S)
    if facts.around.ceph is not None and facts.around.ceph.has_noout:
        return [*steps, healthy]
    return [*set_noout(is_on=True), *steps, *set_noout(is_on=False), healthy]


def set_noout(*, is_on: bool) -> tuple[Step, ...]:
    """Ceph's flag `noout`, on or off."""
    return (
        Call(
            "PUT",
            api_path("cluster", "ceph", "flags", NOOUT),
            {"value": is_on},
            effect="B",
            does=f"{'set' if is_on else 'unset'} {NOOUT}",
        ),
        WaitState("ceph.flag", _FLAG_S, {"flag": NOOUT, "is_on": is_on}),
    )


def _item(facts: NodePower, steps: tuple[Step, ...], empty: str) -> Item:
    node, count = facts.node, len(facts.running)
    up = f"UP {format_duration(node.uptime_s)}" if node.uptime_s else "UP"
    runs = f"{count} {'GUEST RUNS' if count == 1 else 'GUESTS RUN'} THERE" if count else empty
    kernels = facts.kernels
    kernel = f", kernel {kernels.running} -> {kernels.newest}" if kernels.is_reboot_due else ""
    return Item(
        target=node_target(node.name),
        headline=f"{up}, {runs}{kernel}",
        guards=node_guards(node.status, (guest.vmid for guest in facts.running)),
        before={
            "status": node.status,
            "booted_at": facts.booted_at,
            "kernel": kernels.running,
        },
        steps=steps,
    )
