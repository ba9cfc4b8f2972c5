"""`pve guest doctor`: what is wrong with one guest, and what to do."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from pveops.cli.answer import Answer, Facts
from pveops.cli.call import Call
from pveops.cli.cells import count_of
from pveops.cli.commands import Command

if TYPE_CHECKING:
    from pveops.domain.guest import Guest
    from pveops.domain.node import Node


@click.command("doctor", cls=Command, operation="guest.doctor")
@click.argument("guest")
@click.pass_obj
def command(call: Call, guest: str) -> Answer:
    """Examine a guest: lock and its holder, standing still, disks, snapshots, agent, HA.

    Nothing is changed. What only root on a node can do is told as a command, with the proof.
    """
    from pveops.domain.facts import Scene
    from pveops.domain.guest_doctor import read_doctor_facts
    from pveops.domain.inventory import read_inventory, read_membership
    from pveops.domain.selection import resolve_guest
    from pveops.engine.request import refuse_unreachable
    from pveops.operations.guest_doctor import examine

    reader = call.wiring.reader
    inventory = read_inventory(reader)
    found = resolve_guest(inventory, guest)
    refuse_unreachable(inventory, (found,))
    membership = read_membership(reader)
    quorate = membership.is_quorate if membership else None
    scene = Scene(inventory, quorate, (guest,), {}, reader.server_time())
    facts = read_doctor_facts(reader, found, scene)
    findings = examine(facts)
    problems = sum(finding.severity == "block" for finding in findings)
    warnings = sum(finding.severity == "warn" for finding in findings)
    parts = [
        count_of(count, noun)
        for count, noun in ((problems, "problem"), (warnings, "warning"))
        if count
    ]
    verdict = ", ".join(parts) or "nothing wrong found"
    state = facts.base.state
    return Answer(
        f"{found.ref.label}: {verdict}",
        data={
            "vmid": found.vmid,
            "node": found.node,
            "power": state.power,
            "lock": facts.lock,
            "load": _figures(found) if state.is_running else None,
            "node_load": _figures(facts.node),
            "problems": problems,
            "warnings": warnings,
            "unseen": list(facts.unseen),
        },
        findings=tuple(findings),
        blocks=(
            Facts(
                (
                    ("state", state.power),
                    ("lock", facts.lock),
                    ("load", _load(found) if state.is_running else ""),
                    (f"load of {found.node}", _load(facts.node)),
                )
            ),
        ),
    )


def _figures(of: Guest | Node | None) -> dict[str, float] | None:
    """What it uses, as its node last told (up to 20 s ago); None: unknown."""
    if of is None or not of.maxmem_bytes:
        return None
    return {
        "cpu": of.cpu,
        "maxcpu": of.maxcpu,
        "mem_bytes": of.mem_bytes,
        "maxmem_bytes": of.maxmem_bytes,
    }


def _load(of: Guest | Node | None) -> str:
    from pveops.units import format_bytes

    if of is None or not of.maxmem_bytes:
        return "unknown"
    memory = f"{format_bytes(of.mem_bytes)} of {format_bytes(of.maxmem_bytes)} memory"
    return f"{of.cpu:.0%} of {of.maxcpu:g} CPUs, {memory}"
