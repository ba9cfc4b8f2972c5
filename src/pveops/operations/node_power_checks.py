"""What stands against taking a node down. Each check is a pure function of the facts."""

from __future__ import annotations

from collections.abc import Iterator

from pveops.domain.node_power import ClusterAround, NodePower
from pveops.domain.votes import Votes
from pveops.operations.findings import Finding
from pveops.sanitize import shell_word

_TROUBLE = frozenset({"error", "fence", "recovery"})
_MAX_NAMES = 12
_REPLICATION = "pve replication status"


def check_votes(votes: Votes, name: str) -> Iterator[Finding]:
    """Whether the others keep the quorum. A single node has no others."""
    if len(votes.online | {name}) == votes.total == 1 or votes.keeps_quorum_without(name):
        return
    yield Finding(
        "cluster.quorum-after",
        "block",
        "cluster",
        f"without {name} {votes.left_without(name)} of {votes.total} votes are left: the cluster "
        "loses its quorum when it is switched off",
        evidence="/cluster/resources, /cluster/config/qdevice",
        remedy="bring the other nodes online or add a QDevice first; single guests can be "
        f"moved with `pve guest migrate`, as long as {name} stays on",
    )


def check_around(around: ClusterAround, *, is_strict: bool) -> Iterator[Finding]:
    """What is true of the whole cluster. is_strict: for a procedure over several nodes."""
    yield from _check_quorum(around)
    yield from _check_offline(around, "block" if is_strict else "warn")
    yield from _check_ha(around, "block" if is_strict else "warn")
    yield from _check_ceph(around)
    yield from _check_busy(around)
    yield from check_replication(around)
    yield from check_sight(around)


def check_sight(around: ClusterAround) -> Iterator[Finding]:
    """What cannot be seen would go down unseen."""
    if not around.sees_all_guests:
        yield Finding(
            "guests.unseen",
            "block",
            "cluster",
            "the token does not see every guest: others may run there and would go down, too",
            evidence="/access/permissions: VM.Audit on /vms",
            remedy="grant VM.Audit on /vms to the token and its user (`pve doctor`)",
        )


def _check_quorum(around: ClusterAround) -> Iterator[Finding]:
    if around.is_quorate:
        return
    told = "has no quorum" if around.is_quorate is False else "may have no quorum: nobody can tell"
    remedy = "look at the nodes with `pve status`"
    if around.is_quorate is None:
        remedy = "the token needs Sys.Audit on / to see it (`pve doctor`)"
    yield Finding(
        "cluster.no-quorum",
        "block",
        "cluster",
        f"the cluster {told}",
        evidence="/cluster/status",
        remedy=remedy,
    )


def _check_offline(around: ClusterAround, severity: str) -> Iterator[Finding]:
    if around.offline:
        yield Finding(
            "cluster.node-offline",
            "block" if severity == "block" else "warn",
            "cluster",
            f"not online: {', '.join(around.offline)}",
            evidence="/cluster/resources",
            remedy="bring it back first" if severity == "block" else "",
        )


def _check_ha(around: ClusterAround, severity: str) -> Iterator[Finding]:
    if around.ha is None:
        yield Finding(
            "ha.unknown",
            "warn",
            "cluster",
            "the token may not see what HA does",
            evidence="/cluster/ha/status/current needs Sys.Audit on /",
        )
        return
    bad = [f"{each.sid} ({each.state})" for each in around.ha if each.state in _TROUBLE]
    if bad:
        yield Finding(
            "ha.trouble",
            "block" if severity == "block" else "warn",
            "cluster",
            f"HA is in trouble: {', '.join(bad)}",
            evidence="/cluster/ha/status/current",
            remedy="look at it with `pve ha list` and mend it first",
        )


def _check_ceph(around: ClusterAround) -> Iterator[Finding]:
    ceph = around.ceph
    if ceph is None or ceph.is_healthy:
        return
    if ceph.is_elsewhere:
        yield Finding(
            "ceph.elsewhere",
            "info",
            "cluster",
            "disks lie on a Ceph that is no part of this cluster; its health is not known here",
            evidence="/cluster/ceph/status",
        )
        return
    yield Finding(
        "ceph.not-healthy",
        "block",
        "cluster",
        f"Ceph is not healthy: {ceph.told}",
        evidence="/cluster/ceph/status",
        remedy="wait until it is HEALTH_OK: with one more node away, data may be out of reach",
    )


def _check_busy(around: ClusterAround) -> Iterator[Finding]:
    for node, tasks in sorted(around.busy.items()):
        if tasks is None:
            yield Finding(
                "node.tasks-unknown", "warn", f"node/{node}", "its running tasks cannot be seen"
            )
        elif tasks:
            more = f" and {len(tasks) - 1} more" if len(tasks) > 1 else ""
            yield Finding(
                "node.busy",
                "block",
                f"node/{node}",
                f"a task is at work on {node}{more}, and would be cut off",
                evidence=", ".join(tasks[:3]),
                remedy=f"wait for it: `pve task wait {tasks[0]}`",
            )


def check_replication(around: ClusterAround) -> Iterator[Finding]:
    """Copies of disks that are being made."""
    if around.replicating is None:
        text = "whether replication is at work cannot be seen"
        yield Finding("replication.unknown", "warn", "cluster", text, remedy=_REPLICATION)
    elif around.replicating:
        yield Finding(
            "node.busy",
            "block",
            "cluster",
            f"replication is at work: {', '.join(around.replicating)}",
            evidence="/nodes/NODE/replication",
            remedy=f"it takes minutes at most; look with `{_REPLICATION}`",
        )


def check_node(facts: NodePower, *, with_guests: bool, restarts: bool) -> Iterator[Finding]:
    """What is true of the node itself, and of what runs there."""
    name, subject = facts.node.name, f"node/{facts.node.name}"
    if not facts.node.is_online:
        yield Finding(
            "node.not-online",
            "block",
            subject,
            f"it is {facts.node.status}",
            remedy="look at the nodes with `pve status`",
        )
        return
    if not facts.running:
        return
    names = _names(guest.name or str(guest.vmid) for guest in facts.running)
    if not with_guests:
        yield Finding(
            "node.not-empty",
            "block",
            subject,
            f"{len(facts.running)} guests run on it: {names}",
            remedy=f"`pve node evacuate {shell_word(name)}` first; or --with-guests takes them "
            "down with it",
        )
        return
    yield Finding("node.guests-go-down", "warn", subject, f"these guests go down with it: {names}")
    yield from _check_coming_back(facts, restarts=restarts)


def _check_coming_back(facts: NodePower, *, restarts: bool) -> Iterator[Finding]:
    managed = {each.vmid for each in facts.around.ha or ()}
    subject = f"node/{facts.node.name}"
    if not restarts:
        moved = [guest.name for guest in facts.running if guest.vmid in managed]
        if moved:
            yield Finding(
                "ha.recovers",
                "info",
                subject,
                f"HA starts these on other nodes once it has given the node up: {_names(moved)}",
            )
        return
    kept = (facts.onboot or frozenset()) | managed
    lost = [guest.name for guest in facts.running if guest.vmid not in kept]
    if lost:
        yield Finding(
            "node.not-onboot",
            "warn",
            subject,
            f"these do not start with the node, and stay down: {_names(lost)}",
            remedy="start them afterwards with `pve guest start`, or `pve guest set GUEST "
            "onboot=1` before",
        )


def _names(names: object) -> str:
    listed = list(names)  # type: ignore[call-overload]
    more = f" and {len(listed) - _MAX_NAMES} more" if len(listed) > _MAX_NAMES else ""
    return ", ".join(listed[:_MAX_NAMES]) + more
