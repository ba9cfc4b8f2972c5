"""`pve status`: the cluster at a glance, and what is wrong with it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from pveops.cli.answer import Answer, Facts, Lines
from pveops.cli.call import Call
from pveops.cli.cells import count_of
from pveops.cli.commands import Command

if TYPE_CHECKING:
    from pveops.api.client import Client
    from pveops.domain.guest import Guest
    from pveops.domain.health import Health


@click.command("status", cls=Command, operation="status")
@click.option("--deep", is_flag=True, help="Read stopped guests' configuration, too (onboot).")
@click.pass_obj
def command(call: Call, deep: bool) -> Answer:
    """The cluster at a glance, and what is wrong with it.

    What the token may not see is told as a blind spot, never as "all is well".
    """
    from pveops.domain.health import read_health
    from pveops.operations.health import check_health

    health = read_health(call.wiring.reader)
    stopped = _stopped(health)
    if deep:
        health = health._replace(wants_running=_starting_at_boot(call.wiring.reader, stopped))
    findings = check_health(health)
    problems = sum(finding.severity == "block" for finding in findings)
    warnings = sum(finding.severity == "warn" for finding in findings)
    blind = _blind_spots(health)
    verdict = f"{_name(health)}: {_judge(problems, warnings, bool(blind))}"
    return Answer(
        verdict,
        data=_data(health, blind),
        findings=findings,
        blocks=(Facts(_facts(health)), Lines(blind)),
        next=_next(stopped, deep),
    )


def _name(health: Health) -> str:
    membership = health.view.membership
    return f"cluster {membership.cluster}" if membership and membership.cluster else "cluster"


def _judge(problems: int, warnings: int, is_blind: bool) -> str:
    parts = [
        count_of(count, noun)
        for count, noun in ((problems, "problem"), (warnings, "warning"))
        if count
    ]
    if parts:
        return ", ".join(parts)
    return "nothing wrong in what can be seen" if is_blind else "nothing wrong"


def _facts(health: Health) -> tuple[tuple[str, str], ...]:
    from pveops.cli.guest_items import count_guests
    from pveops.units import format_bytes

    inventory, membership = health.view.inventory, health.view.membership
    quorum = "unknown" if membership is None else ("yes" if membership.is_quorate else "NO")
    online = sum(node.is_online for node in inventory.nodes)
    used = sum(node.mem_bytes for node in inventory.nodes)
    whole = sum(node.maxmem_bytes for node in inventory.nodes)
    running = sum(task.is_running for task in health.tasks or ())
    return (
        ("nodes", f"{online} of {len(inventory.nodes)} online; quorum: {quorum}"),
        ("guests", count_guests(inventory.guests)),
        ("memory", f"{format_bytes(used)} of {format_bytes(whole)}" if whole else "unknown"),
        ("running tasks", "unknown" if health.tasks is None else str(running)),
    )


def _blind_spots(health: Health) -> tuple[str, ...]:
    from pveops.domain.access import list_blind_spots

    if health.permissions is None:
        return ("blind spot: nobody could tell what the token may see",)
    if health.permissions.is_empty:
        return ("blind spot: the token has no privileges at all, so it sees next to nothing",)
    return tuple(
        f"blind spot: {spot.what} (needs {spot.privilege} on {spot.path})"
        for spot in list_blind_spots(health.permissions)
    )


def _data(health: Health, blind: tuple[str, ...]) -> dict[str, object]:
    inventory, membership = health.view.inventory, health.view.membership
    by_status: dict[str, int] = {}
    for guest in inventory.guests:
        by_status[guest.status] = by_status.get(guest.status, 0) + 1
    return {
        "cluster": membership.cluster if membership else None,
        "is_quorate": membership.is_quorate if membership else None,
        "nodes": {node.name: node.status for node in inventory.nodes},
        "guests": {"total": len(inventory.guests), "by_status": by_status},
        "running_tasks": None
        if health.tasks is None
        else [str(task.upid) for task in health.tasks if task.is_running],
        "blind_spots": list(blind),
    }


def _stopped(health: Health) -> tuple[Guest, ...]:
    return tuple(
        guest
        for guest in health.view.inventory.guests
        if guest.status == "stopped" and not guest.is_template
    )


def _starting_at_boot(reader: Client, stopped: tuple[Guest, ...]) -> tuple[Guest, ...]:
    from pveops.domain.guest import read_guest_config
    from pveops.engine.pool import run_bounded
    from pveops.errors import NotFoundError

    def starts(index: int) -> bool:
        try:
            return read_guest_config(reader, stopped[index].ref).starts_on_boot
        except NotFoundError:
            return False

    if not stopped:
        return ()
    wanted = run_bounded([guest.node for guest in stopped], starts)
    return tuple(guest for guest, is_wanted in zip(stopped, wanted, strict=True) if is_wanted)


def _next(stopped: tuple[Guest, ...], deep: bool) -> tuple[str, ...]:
    if deep or not stopped:
        return ()
    return (f"pve status --deep   # reads which of {len(stopped)} stopped should run (onboot)",)
