"""`pve node`: look at nodes; what empties and fills them is in `verbs`."""

from __future__ import annotations

from typing import Any

import click

from pveops.cli.answer import Answer, Column, Facts, Listing
from pveops.cli.call import Call
from pveops.cli.cells import count_of
from pveops.cli.commands import Group, list_options
from pveops.domain.node import Node

_VERB = "pveops.cli.verbs:node_verb"

group = Group(
    "node",
    help="Nodes: the servers of the cluster.",
    lazy={
        "evacuate": (_VERB, "move every guest of a node to the others"),
        "reboot": (_VERB, "reboot a node, and see that it comes back whole"),
        "shutdown": (_VERB, "switch a node off in good order"),
        "return": (_VERB, "bring back the guests that an evacuation moved off a node"),
    },
)

_COLUMNS = (
    Column("name"),
    Column("status"),
    Column("guests", kind="number"),
    Column("cpu", kind="percent"),
    Column("maxcpu", "cores", kind="number"),
    Column("mem_bytes", "memory", kind="bytes"),
    Column("maxmem_bytes", "of", kind="bytes"),
    Column("disk_bytes", "root", kind="bytes", is_wide=True),
    Column("maxdisk_bytes", "of", kind="bytes", is_wide=True),
    Column("uptime_s", "up", kind="duration"),
    Column("hastate", "ha", is_sparse=True),
)
_FIGURES = frozenset(
    {"cpu", "maxcpu", "mem_bytes", "maxmem_bytes", "disk_bytes", "maxdisk_bytes", "uptime_s"}
)


def node_item(node: Node, guests: int) -> dict[str, Any]:
    """A node as a JSON object; figures that the token may not see are null."""
    item = node._asdict() | {"guests": guests}
    if not node.has_figures or not node.is_online:
        item |= dict.fromkeys(_FIGURES)
    return item


@group.command("list", operation="node.list")
@list_options
@click.pass_obj
def list_nodes(call: Call) -> Answer:
    """List nodes with state and load."""
    from pveops.domain.inventory import read_inventory

    inventory = read_inventory(call.wiring.reader)
    counts = {
        node.name: sum(guest.node == node.name for guest in inventory.guests)
        for node in inventory.nodes
    }
    listing = Listing(
        inventory.nodes,
        lambda node: node_item(node, counts[node.name]),
        (*Node._fields, "guests"),
        _COLUMNS,
    )
    online = sum(node.is_online for node in inventory.nodes)
    return Answer(f"{count_of(len(inventory.nodes), 'node')}, {online} online", blocks=(listing,))


@group.command("show", operation="node.show")
@click.argument("node")
@click.pass_obj
def show_node(call: Call, node: str) -> Answer:
    """Show one node: load, version, storages, guests."""
    from pveops.cli.guest_items import count_guests, guest_listing
    from pveops.cli.storage import storage_item, use_of
    from pveops.domain.inventory import read_inventory

    inventory = read_inventory(call.wiring.reader)
    found = inventory.get_node(node)
    guests = tuple(guest for guest in inventory.guests if guest.node == node)
    storages = [storage for storage in inventory.storages if storage.node == node]
    more = _read_status(call, node) if found.is_online else {}
    facts = Facts(
        (
            *_load(found),
            ("version", str(more.get("pveversion", ""))),
            ("kernel", str(more.get("kernel", ""))),
            ("load", str(more.get("loadavg", ""))),
            ("ha", found.hastate),
            (
                "storages",
                ", ".join(f"{each.storage} {use_of(each)}" for each in storages),
            ),
            ("guests", count_guests(guests)),
        )
    )
    data = {
        "node": node_item(found, len(guests)) | more,
        "storages": [storage_item(storage) for storage in storages],
        "guests": [guest._asdict() for guest in guests],
    }
    return Answer(f"{node} is {found.status}", data=data, blocks=(facts, guest_listing(guests)))


def _load(node: Node) -> tuple[tuple[str, str], ...]:
    from pveops.units import format_bytes, format_duration

    if not node.is_online or not node.has_figures:
        return (("figures", "unknown"),)
    return (
        ("up", format_duration(node.uptime_s)),
        ("cpu", f"{node.cpu:.0%} of {node.maxcpu:g}"),
        ("memory", f"{format_bytes(node.mem_bytes)} of {format_bytes(node.maxmem_bytes)}"),
        ("root disk", f"{format_bytes(node.disk_bytes)} of {format_bytes(node.maxdisk_bytes)}"),
    )


def _read_status(call: Call, node: str) -> dict[str, Any]:
    """What only the node itself knows; nothing when the token may not ask it."""
    from pveops.api.port import api_path
    from pveops.domain.rows import object_of, text_of
    from pveops.errors import AccessError, UnreachableError

    try:
        status = object_of(call.wiring.reader.get(api_path("nodes", node, "status")))
    except (AccessError, UnreachableError):
        return {}
    kernel = object_of(status.get("current-kernel"))
    load = status.get("loadavg")
    return {
        "pveversion": text_of(status, "pveversion"),
        "kernel": text_of(kernel, "release") or text_of(status, "kversion"),
        "loadavg": " ".join(map(str, load)) if isinstance(load, list) else "",
    }
