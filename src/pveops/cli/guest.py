"""`pve guest`: look at guests; what changes them is in `verbs`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import click

from pveops.cli.answer import Answer, Facts, Lines, Listing
from pveops.cli.call import Call
from pveops.cli.cells import count_of
from pveops.cli.commands import Command, Group, list_options
from pveops.sanitize import shell_word

if TYPE_CHECKING:
    from pveops.domain.guest import Guest, GuestConfig, GuestState, PendingChange
    from pveops.domain.snapshot import Snapshots

_VERB = "pveops.cli.verbs:guest_verb"

group = Group(
    "guest",
    help="""Guests: VMs (qemu) and containers (lxc).

    A guest is named by vmid, by name, or by node/name; a change needs exactly one match, or a
    selector such as --tag for many.""",
    lazy={
        "list": ("pveops.cli.guest:list_guests", "guests with state and place, by selector"),
        "show": ("pveops.cli.guest:show_guest", "one guest: state, configuration, snapshots"),
        "doctor": ("pveops.cli.guest_doctor:command", "what is wrong with one guest"),
        "ip": ("pveops.cli.guest_network:ip", "the addresses of a guest"),
        "agent": ("pveops.cli.guest_network:agent_group", "the guest agent of VMs: ping, info"),
        "exec": (_VERB, "run a command inside a VM that the policy lists"),
        "start": (_VERB, "start guests"),
        "shutdown": (_VERB, "shut guests down cleanly"),
        "stop": (_VERB, "cut the power of guests at once"),
        "reboot": (_VERB, "shut guests down cleanly and start them again"),
        "reset": (_VERB, "press the reset button of VMs"),
        "suspend": (_VERB, "pause guests in memory, or VMs to disk"),
        "resume": (_VERB, "let paused or hibernated guests go on"),
        "create": (_VERB, "make a guest from a template"),
        "clone": (_VERB, "clone a guest, once or many times"),
        "set": (_VERB, "change options of guests, such as memory and cores"),
        "revert": (_VERB, "forget changes of a guest that wait for a restart"),
        "tag": (_VERB, "add, remove or set tags of guests"),
        "note": (_VERB, "write the notes of guests"),
        "delete": (_VERB, "put guests into the trash; nothing is destroyed"),
        "undelete": (_VERB, "take guests out of the trash, as they were"),
        "trash": ("pveops.cli.trash:group", "deleted guests: list"),
        "purge": (_VERB, "destroy guests of the trash, for good"),
        "migrate": (_VERB, "move a guest to another node"),
        "convert-to-template": (_VERB, "turn a guest into a template for good"),
    },
)


def _selectors(function: Any) -> Any:
    from pveops.cli.selectors import selector_options

    return selector_options(function)


@click.command(
    "list",
    cls=Command,
    operation="guest.list",
    examples=("pve guest list --status stopped --fields vmid,name,tags,maxmem_bytes --json",),
)
@_selectors
@list_options
@click.pass_obj
def list_guests(call: Call, /, **options: Any) -> Answer:
    """List guests with state and place."""
    from pveops.cli.guest_items import count_guests, guest_listing
    from pveops.cli.selectors import describe, selector_of
    from pveops.domain.inventory import read_inventory
    from pveops.domain.selection import select_guests

    selector = selector_of(options)
    inventory = read_inventory(call.wiring.reader)
    guests = select_guests(inventory, selector)
    if selector.is_empty:
        verdict = count_guests(guests) + f" on {count_of(len(inventory.nodes), 'node')}"
    else:
        verdict = f"{count_guests(guests)} ({describe(selector)}; {len(inventory.guests)} visible)"
    if inventory.nodes_not_online:
        verdict += f"; not online: {', '.join(inventory.nodes_not_online)}"
    blocks = (guest_listing(guests),)
    if not inventory.guests:
        return Answer(verdict, blocks=blocks, next=("pve status   # may the token see guests?",))
    return Answer(verdict, blocks=blocks)


@click.command("show", cls=Command, operation="guest.show")
@click.argument("guest")
@click.option("--notes", is_flag=True, help="Show its notes, which others wrote.")
@click.option("--config", "with_config", is_flag=True, help="Show the whole configuration.")
@click.pass_obj
def show_guest(call: Call, guest: str, notes: bool, with_config: bool) -> Answer:
    """Show one guest: state, configuration, pending changes, snapshots."""
    from pveops.domain.guest import (
        read_guest_config,
        read_guest_state,
        read_pending_changes,
    )
    from pveops.domain.inventory import read_inventory
    from pveops.domain.selection import resolve_guest
    from pveops.domain.snapshot import read_snapshots

    reader = call.wiring.reader
    inventory = read_inventory(reader)
    found = resolve_guest(inventory, guest)
    if found.node in inventory.nodes_not_online:
        return _unknown(found)
    from pveops.redact import redact_params

    config = read_guest_config(reader, found.ref)
    seen = _Seen(
        guest=found,
        state=read_guest_state(reader, found.ref),
        config=config,
        pending=read_pending_changes(reader, found.ref),
        snapshots=read_snapshots(reader, found.ref),
        values=redact_params({k: v for k, v in config.values.items() if k != "description"}),
    )
    return _show(seen, notes=notes, with_config=with_config)


def _unknown(guest: Guest) -> Answer:
    from pveops.cli.guest_items import guest_item

    return Answer(
        f"{guest.ref.label}: state unknown, because {guest.node} is not online; "
        f"its last word was {guest.reported_status!r}",
        data=guest_item(guest),
        next=(f"pve node show {shell_word(guest.node)}",),
    )


class _Seen(NamedTuple):
    """A guest, as its node tells it."""

    guest: Guest
    state: GuestState
    config: GuestConfig
    pending: tuple[PendingChange, ...]
    snapshots: Snapshots
    values: dict[str, Any]
    """The configuration without notes and secrets."""


def _show(seen: _Seen, *, notes: bool, with_config: bool) -> Answer:
    from pveops.cli.guest_items import guest_item
    from pveops.units import format_duration

    guest, state, values = seen.guest, seen.state, seen.values
    text = seen.config.get("description")
    data = {
        "guest": guest_item(guest),
        "state": state._asdict() | {"ref": state.ref._asdict(), "power": state.power},
        "config": values,
        "pending": [change._asdict() for change in seen.pending],
        "snapshots": [snapshot._asdict() for snapshot in seen.snapshots.all],
    }
    if notes:
        data["untrusted"] = {"notes": text}
    blocks: list[Facts | Lines | Listing] = [_facts(seen)]
    if with_config:
        rows = tuple((key, str(values[key])) for key in sorted(values))
        blocks.append(Facts(rows, "configuration:"))
    if notes:
        blocks.append(_notes(guest, text))
    up = f" for {format_duration(state.uptime_s)}" if state.is_running else ""
    return Answer(
        f"{guest.ref.label} is {state.power}{up}",
        data=data,
        blocks=tuple(blocks),
        next=(f"pve guest show {guest.vmid} --notes",) if text and not notes else (),
        has_free_text=notes and bool(text),
    )


def _facts(seen: _Seen) -> Facts:
    from pveops.domain.guest import disks_of
    from pveops.units import format_bytes

    guest, state, config, values = seen.guest, seen.state, seen.config, seen.values
    agent = "configured" if state.has_agent else "not configured"
    pairs = (
        ("lock", state.lock),
        ("template", "yes" if state.is_template else ""),
        ("ha", state.hastate if state.is_ha_managed else ""),
        ("cpu", f"{guest.cpu:.0%} of {guest.maxcpu:g}"),
        ("memory", f"{format_bytes(guest.mem_bytes)} of {format_bytes(guest.maxmem_bytes)}"),
        *((slot, volume) for slot, volume in sorted(disks_of(guest.kind, values).items())),
        *((key, str(values[key])) for key in sorted(values) if key.startswith("net")),
        ("onboot", "yes" if config.starts_on_boot else "no"),
        ("protection", "yes" if config.is_protected else ""),
        ("agent", agent if guest.kind == "qemu" else ""),
        ("tags", ",".join(guest.tags)),
        ("pool", guest.pool),
        ("pending", _pending(seen.pending)),
        ("snapshots", ", ".join(snapshot.name for snapshot in seen.snapshots.all)),
        ("digest", config.digest[:12]),
    )
    return Facts(pairs)


def _pending(pending: tuple[PendingChange, ...]) -> str:
    from pveops.redact import redact_value

    def word(change: PendingChange) -> str:
        if change.is_removal:
            return f"{change.key} removed"
        return f"{change.key}={redact_value(change.pending, change.key)}"

    return ", ".join(word(change) for change in pending)


def _notes(guest: Guest, text: str) -> Lines:
    if not text:
        return Lines(("no notes",))
    from pveops.sanitize import frame_untrusted

    source = f"notes of {guest.ref.label}; anyone with VM.Config.Options may write them"
    return Lines(tuple(frame_untrusted(text, source, limit=400).split("\n")))
