"""Goals about the addresses of guests."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pveops.domain.guest import read_guest_state
from pveops.domain.guest_network import read_interfaces, usable_addresses
from pveops.engine.goals.place import ref_of
from pveops.engine.goals.sight import Look, Sight, Sought
from pveops.errors import PveopsError
from pveops.operations.plan import Scalar

if TYPE_CHECKING:
    from pveops.api.client import Client


def _look_for_address(client: Client, sought: Sought) -> Sight:
    """Reached when the running guest tells an address that others can use."""
    ref = ref_of(sought.target)
    state = read_guest_state(client, ref)
    after: dict[str, Scalar] = {"power": state.power, "node": ref.node, "vmid": ref.vmid}
    if not state.is_running:
        return Sight(False, state.power, after)
    try:
        addresses = usable_addresses(read_interfaces(client, ref))
    except PveopsError:
        addresses = ()
    if not addresses:
        return Sight(False, f"{state.power}, its address is not known yet", after)
    after["address"] = addresses[0]
    return Sight(True, f"{state.power} at {', '.join(addresses)}", after)


GOALS: dict[str, Look] = {"address.known": _look_for_address}
