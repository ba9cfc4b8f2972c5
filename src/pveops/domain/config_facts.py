"""What decisions about a guest's configuration are made from."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from pveops.domain.facts import GuestFacts, Scene, read_guest_facts_with_pending
from pveops.domain.guest import Guest
from pveops.domain.node import Node, read_bridges
from pveops.errors import UsageError

if TYPE_CHECKING:
    from pveops.api.client import Client


class ConfigFacts(NamedTuple):
    """A guest with its pending changes, its node, and who else is named as it is to be."""

    base: GuestFacts
    node: Node | None
    same_name: tuple[str, ...] = ()
    """Labels of other guests that have the name which is asked for."""
    bridges: tuple[str, ...] | None = None
    """Bridges and vnets of the node; None: not asked, or not visible."""


def read_config_facts(client: Client, guest: Guest, scene: Scene) -> ConfigFacts:
    """Four requests to the guest's node; one more when a network card is to change."""
    wanted = scene.params.get("rename")
    if wanted and len(scene.names) != 1:
        raise UsageError("one guest is renamed at a time", hint="name it instead of a selector")
    return ConfigFacts(
        base=read_guest_facts_with_pending(client, guest, scene),
        node=scene.inventory.find_node(guest.node),
        same_name=tuple(
            other.ref.label
            for other in scene.inventory.guests
            if wanted and other.name == wanted and other.vmid != guest.vmid
        ),
        bridges=read_bridges(client, guest.node)
        if "bridge=" in str(scene.params.get("option") or "")
        else None,
    )
