"""`pve guest ip` and `pve guest agent`: what a running guest tells of itself."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from pveops.cli.answer import Answer, Column, Lines, Listing
from pveops.cli.call import Call
from pveops.cli.commands import Command, Group

if TYPE_CHECKING:
    from pveops.api.client import Client
    from pveops.domain.guest import Guest, GuestState
    from pveops.domain.guest_network import Interface

agent_group = Group(
    "agent",
    help="The guest agent of VMs: ping, info.",
    lazy={
        "ping": ("pveops.cli.guest_network:ping", "whether the agent answers"),
        "info": ("pveops.cli.guest_network:info", "what the agent tells of the system inside"),
    },
)
_COLUMNS = (Column("interface"), Column("address"), Column("mac"))


def _find(call: Call, name: str) -> tuple[Client, Guest, GuestState]:
    from pveops.domain.guest import read_guest_state
    from pveops.domain.inventory import read_inventory
    from pveops.domain.selection import resolve_guest
    from pveops.engine.request import refuse_unreachable

    reader = call.wiring.reader
    inventory = read_inventory(reader)
    found = resolve_guest(inventory, name)
    refuse_unreachable(inventory, (found,))
    return reader, found, read_guest_state(reader, found.ref)


@click.command("ip", cls=Command, operation="guest.ip")
@click.argument("guest")
@click.pass_obj
def ip(call: Call, guest: str) -> Answer:
    """Tell the addresses of a guest; --full with loopback and link-local ones.

    A running VM is asked through its guest agent, a container directly. Where nobody can be
    asked, the addresses that the configuration fixes are told as such.
    """
    from pveops.domain.guest_network import read_interfaces
    from pveops.errors import PveopsError

    reader, found, state = _find(call, guest)
    why = f"it is {state.power}"
    if state.is_running:
        try:
            return _answer_of(found, read_interfaces(reader, found.ref), call.options.is_full)
        except PveopsError as error:
            why = error.message
    return _configured(reader, found, why)


def _answer_of(guest: Guest, interfaces: tuple[Interface, ...], is_full: bool) -> Answer:
    rows = [
        {"interface": each.name, "address": address, "mac": each.mac}
        for each in interfaces
        for address in (*each.addresses, *(each.local_addresses if is_full else ()))
    ]
    words = ", ".join(str(row["address"]) for row in rows)
    verdict = f"{guest.ref.label}: {words or 'no address yet'}"
    fields = tuple(column.key for column in _COLUMNS)
    return Answer(verdict, blocks=(Listing(rows, dict, fields, _COLUMNS),))


def _configured(reader: Client, guest: Guest, why: str) -> Answer:
    from pveops.domain.address import static_addresses
    from pveops.domain.guest import read_guest_config

    fixed = list(static_addresses(guest.kind, read_guest_config(reader, guest.ref)))
    told = f"configured: {', '.join(fixed)}" if fixed else "unknown"
    return Answer(
        f"{guest.ref.label}: {told} ({why})",
        data={"vmid": guest.vmid, "addresses": [], "configured": fixed, "why": why},
        next=(f"pve guest doctor {guest.vmid}",),
    )


@click.command("ping", cls=Command, operation="guest.agent.ping")
@click.argument("guest")
@click.pass_obj
def ping(call: Call, guest: str) -> Answer:
    """Ask whether a VM's guest agent answers. Exit 10 when it does not."""
    from pveops.domain.rows import object_of, text_of
    from pveops.errors import TaskFailedError, UnsupportedError

    reader, found, state = _find(call, guest)
    if found.kind == "lxc":
        raise UnsupportedError(
            f"{found.ref.label} is a container, which has no guest agent",
            hint=f"pve guest ip {found.vmid}",
        )
    if not state.has_agent:
        raise TaskFailedError(
            f"the guest agent of {found.ref.label} is switched off",
            hint=f"pve guest set {found.vmid} --agent on, install qemu-guest-agent inside, reboot",
        )
    result = object_of(object_of(_ask(reader, found, "info")).get("result"))
    version = text_of(result, "version")
    return Answer(
        f"{found.ref.label}: the guest agent answers (version {version})",
        data={"vmid": found.vmid, "answers": True, "version": version},
    )


def _ask(reader: Client, guest: Guest, question: str) -> Any:
    """What the agent says. Raises TaskFailedError when it is silent."""
    from pveops.errors import AccessError, PveopsError, TaskFailedError

    try:
        return reader.get(guest.ref.path("agent", question))
    except AccessError:
        raise
    except PveopsError as error:
        raise TaskFailedError(
            f"the guest agent of {guest.ref.label} does not answer: {error.message}",
            hint=f"pve guest doctor {guest.vmid}",
        ) from error


@click.command("info", cls=Command, operation="guest.agent.info")
@click.argument("guest")
@click.pass_obj
def info(call: Call, guest: str) -> Answer:
    """Tell what a VM's guest agent says of the system inside: untrusted text."""
    from pveops.domain.rows import object_of
    from pveops.sanitize import frame_untrusted

    reader, found, _ = _find(call, guest)
    told = {
        name: object_of(_ask(reader, found, question)).get("result")
        for name, question in (
            ("agent", "info"),
            ("system", "get-osinfo"),
            ("host", "get-host-name"),
            ("file systems", "get-fsinfo"),
        )
    }
    system, host = object_of(told["system"]), object_of(told["host"])
    lines = [
        f"host name: {host.get('host-name') or host.get('host') or ''}",
        f"system: {system.get('pretty-name') or system.get('name') or ''}",
        f"kernel: {system.get('kernel-release') or ''}",
        *_file_systems(told["file systems"]),
    ]
    framed = frame_untrusted("\n".join(line for line in lines if line.split(": ")[-1]), "agent")
    return Answer(
        f"{found.ref.label}: the guest agent answers",
        data={"vmid": found.vmid, "told": told},
        blocks=(Lines(tuple(framed.split("\n"))),),
        has_free_text=True,
    )


def _file_systems(data: Any) -> list[str]:
    from pveops.domain.rows import int_of, rows_of, text_of
    from pveops.units import format_bytes

    return [
        f"{text_of(row, 'mountpoint')}: {format_bytes(int_of(row, 'used-bytes'))} of "
        f"{format_bytes(int_of(row, 'total-bytes'))}"
        for row in rows_of(data)
    ]
