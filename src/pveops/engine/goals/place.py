"""Where a guest is, and what its node says of it now."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pveops.domain.guest import GuestRef, GuestState, read_guest_state
from pveops.domain.inventory import read_inventory
from pveops.errors import NotFoundError

if TYPE_CHECKING:
    from pveops.api.client import Client
    from pveops.operations.plan import Target


def ref_of(target: Target) -> GuestRef:
    """The guest that a target is."""
    kind = "lxc" if target.kind == "lxc" else "qemu"
    return GuestRef(int(target.id), kind, target.node, target.name)  # type: ignore[arg-type]


def read_where_it_is(client: Client, ref: GuestRef) -> GuestState:
    """The state, on the node where the guest is now: HA may have started it elsewhere."""
    try:
        return read_guest_state(client, ref)
    except NotFoundError:
        for guest in read_inventory(client).guests:
            if guest.vmid == ref.vmid and guest.node != ref.node:
                return read_guest_state(client, guest.ref)
        raise
