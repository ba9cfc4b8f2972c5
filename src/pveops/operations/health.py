"""What is wrong with a cluster: findings, the worst first. Pure.

`block` marks what keeps something from working now, `warn` what is going to or looks wrong,
`info` what may be on purpose.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from pveops.domain.health import Health
from pveops.operations.findings import Finding
from pveops.operations.guest_locks import STATES_AS_LOCKS, find_lock_task
from pveops.operations.limits import LIMITS, Limits
from pveops.sanitize import shell_word
from pveops.units import DAY_S, format_bytes, format_percent, format_utc

if TYPE_CHECKING:
    from pveops.api.tasks import TaskStatus
    from pveops.domain.guest import Guest

_RECENT_S = DAY_S
_HA_TROUBLE = frozenset({"error", "fence", "recovery"})
_HALTED = frozenset({"io-error", "internal-error", "guest-panicked"})
_PAUSED = frozenset({"paused", "suspended", "prelaunch"})
_ORDER = {"block": 0, "warn": 1, "info": 2}
_MAX_TEXT = 160


def subject_of(guest: Guest) -> str:
    """`vm/101`, `ct/201`."""
    return f"{'vm' if guest.kind == 'qemu' else 'ct'}/{guest.vmid}"


def check_health(health: Health, limits: Limits = LIMITS) -> tuple[Finding, ...]:
    """Every finding about the cluster."""
    found = [
        *_check_quorum(health),
        *_check_nodes(health, limits),
        *_check_roots(health, limits),
        *_check_guests(health),
        *_check_storages(health, limits),
        *_check_tasks(health),
        *_check_onboot(health),
    ]
    return tuple(sorted(found, key=lambda finding: _ORDER[finding.severity]))


def _check_quorum(health: Health) -> Iterator[Finding]:
    membership = health.view.membership
    if membership is not None and not membership.is_quorate:
        yield Finding(
            "cluster.no-quorum",
            "block",
            "cluster",
            "there is no quorum: nothing can be configured or started",
            "/cluster/status",
            "bring nodes back until a majority is online",
        )


def _check_nodes(health: Health, limits: Limits) -> Iterator[Finding]:
    for node in health.view.inventory.nodes:
        subject = f"node/{node.name}"
        if not node.is_online:
            guests = sum(guest.node == node.name for guest in health.view.inventory.guests)
            yield Finding(
                "node.not-online",
                "block",
                subject,
                f"it is {node.status}; the state of its {guests} guests is unknown",
                "/cluster/resources",
                f"look at its power and network; its guests: pve guest list --node {node.name}",
            )
        elif node.maxmem_bytes and node.mem_bytes / node.maxmem_bytes >= limits.memory:
            yield Finding(
                "node.memory",
                "warn",
                subject,
                f"{format_percent(node.mem_bytes / node.maxmem_bytes)} of its memory is in use",
                remedy=f"pve guest list --node {node.name} --fields vmid,name,mem_bytes",
            )


def _check_roots(health: Health, limits: Limits) -> Iterator[Finding]:
    """A full root stops tasks and the cluster's file system; `local` mostly lies on it and tells.

    PVE tells the root's use as the node's `disk`.
    """
    inventory = health.view.inventory
    for node in inventory.nodes:
        if not node.is_online or not node.maxdisk_bytes:
            continue
        share = node.disk_bytes / node.maxdisk_bytes
        is_told = any(
            storage.node == node.name and storage.total_bytes == node.maxdisk_bytes
            for storage in inventory.storages
        )
        if share < limits.nearly_full or is_told:
            continue
        is_full = share >= limits.full
        yield Finding(
            "node.root-full" if is_full else "node.root-nearly-full",
            "block" if is_full else "warn",
            f"node/{node.name}",
            f"its root file system is {format_percent(share)} full",
            "/cluster/resources",
            f"pve node show {node.name}",
        )


def _check_guests(health: Health) -> Iterator[Finding]:
    running = tuple(task for task in health.tasks or () if task.is_running)
    for guest in health.view.inventory.guests:
        yield from _check_state(guest, running)
        yield from _check_ha(guest)


def _check_state(guest: Guest, running: tuple[TaskStatus, ...]) -> Iterator[Finding]:
    """A guest that a task works on may be locked and stand still: so the work is done."""
    subject = subject_of(guest)
    if guest.status in _HALTED:
        yield Finding(
            "guest.halted",
            "block",
            subject,
            f"{guest.name} stands still: {guest.status}",
            remedy=f"free space or mend its storage, then pve guest resume {guest.vmid}",
        )
    is_worked_on = guest.lock and find_lock_task(guest, running) is not None
    if guest.status in _PAUSED and not is_worked_on:
        yield Finding(
            "guest.paused",
            "warn",
            subject,
            f"{guest.name} is {guest.status}",
            remedy=f"pve guest show {guest.vmid}",
        )
    if guest.lock and guest.lock not in STATES_AS_LOCKS and not is_worked_on:
        yield Finding(
            "guest.locked",
            "warn",
            subject,
            f"{guest.name} is locked ({guest.lock}), and no task that can be seen works on it",
            remedy=f"pve guest doctor {guest.vmid}",
        )


def _check_ha(guest: Guest) -> Iterator[Finding]:
    subject, show = subject_of(guest), f"pve guest show {guest.vmid}"
    if guest.hastate in _HA_TROUBLE:
        yield Finding(
            "ha.trouble",
            "block",
            subject,
            f"the HA resource of {guest.name} is in state {guest.hastate}",
            remedy=show,
        )
    elif guest.hastate == "started" and guest.status == "stopped":
        yield Finding(
            "ha.not-running",
            "warn",
            subject,
            f"HA wants {guest.name} running, and it is stopped",
            remedy=show,
        )


def _check_storages(health: Health, limits: Limits) -> Iterator[Finding]:
    seen: set[str] = set()
    for storage in health.view.inventory.storages:
        if storage.status != "available" and storage.node not in (
            health.view.inventory.nodes_not_online
        ):
            yield Finding(
                "storage.not-available",
                "block",
                # Of a shared storage, too, one node may not reach it while the others do.
                f"storage/{storage.node}/{storage.storage}",
                f"{storage.storage} is {storage.status} on {storage.node}",
                remedy=f"pve storage show {shell_word(storage.storage)}",
            )
        if storage.subject in seen or storage.used_share < limits.nearly_full:
            continue
        seen.add(storage.subject)
        used = format_percent(storage.used_share)
        free = format_bytes(max(0, storage.total_bytes - storage.used_bytes))
        yield Finding(
            "storage.full" if storage.used_share >= limits.full else "storage.nearly-full",
            "block" if storage.used_share >= limits.full else "warn",
            storage.subject,
            f"{storage.label} is {used} full, {free} free",
            remedy=f"pve storage content {shell_word(storage.storage)}"
            + ("" if storage.is_shared else f" --node {storage.node}"),
        )


def _check_tasks(health: Health) -> Iterator[Finding]:
    """The newest end of each kind of task about each thing counts: a later success heals."""
    latest: dict[tuple[str, str, str], TaskStatus] = {}
    for task in health.tasks or ():
        if task.is_running:
            continue
        key = (task.upid.node, task.upid.type, task.upid.id)
        if key not in latest or latest[key].upid.starttime < task.upid.starttime:
            latest[key] = task
    for task in sorted(latest.values(), key=lambda each: -each.upid.starttime):
        ended = task.endtime or task.upid.starttime
        if health.now - ended > _RECENT_S or not task.has_failed:
            continue
        about = f" of {task.upid.id}" if task.upid.id else ""
        yield Finding(
            "task.failed",
            "warn",
            f"task/{task.upid.node}/{task.upid.type}/{task.upid.id}",
            f"{task.upid.type}{about} failed on {task.upid.node} "
            # An alert is told once and kept: an age in it would be true for a moment only.
            f"at {format_utc(ended)}: "
            f"{task.exitstatus[:_MAX_TEXT]}",
            remedy=f"pve task log {task.upid}",
        )


def _check_onboot(health: Health) -> Iterator[Finding]:
    for guest in health.wants_running or ():
        yield tell_not_running(guest)


def tell_not_running(guest: Guest) -> Finding:
    """Of a guest that starts with its node, and is stopped."""
    return Finding(
        "guest.not-running",
        "warn",
        subject_of(guest),
        f"{guest.name} starts at boot (onboot), but it is stopped",
        "config",
        f"pve guest start {guest.vmid}",
    )
