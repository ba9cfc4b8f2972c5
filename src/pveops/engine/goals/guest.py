"""Goals about a guest's being: made, gone, turned into a template."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pveops.api.port import api_path
from pveops.domain.disk import list_disks
from pveops.domain.guest import read_guest_config, read_guest_state
from pveops.domain.inventory import read_inventory
from pveops.domain.rows import rows_of, text_of
from pveops.engine.goals.place import look_for_take_up, look_on_node, ref_of
from pveops.engine.goals.sight import Look, Sight, Sought
from pveops.errors import NotFoundError
from pveops.operations.plan import Scalar

if TYPE_CHECKING:
    from pveops.api.client import Client


def _look_for_guest(client: Client, sought: Sought) -> Sight:
    """Reached when a guest of that id and name is there and no lock says that it is being made."""
    ref = ref_of(sought.target)
    try:
        state = read_guest_state(client, ref)
        config = read_guest_config(client, ref)
    except NotFoundError:
        return Sight(False, "not there", {"exists": False})
    lock = state.lock or config.get("lock")
    name = config.get("name" if ref.kind == "qemu" else "hostname") or state.ref.name
    is_made = not lock and (not ref.name or name == ref.name)
    word = f"locked ({lock})" if lock else state.power
    after: dict[str, Scalar] = {"exists": True, "power": state.power, "node": ref.node}
    return Sight(is_made, word, {**after, "vmid": ref.vmid, "name": name})


def _look_for_absence(client: Client, sought: Sought) -> Sight:
    """Reached when no node has a guest of that id any more.

    PVE answers with a 500 that its configuration file does not exist; the cluster's list tells
    whether it only moved.
    """
    ref = ref_of(sought.target)
    try:
        state = read_guest_state(client, ref)
    except NotFoundError:
        elsewhere = [
            guest
            for guest in read_inventory(client).guests
            if guest.vmid == ref.vmid and guest.node != ref.node
        ]
        if elsewhere:
            word = f"on {elsewhere[0].node}"
            return Sight(False, word, {"exists": True, "node": elsewhere[0].node})
        return Sight(True, "gone", {"exists": False})
    return Sight(False, state.power, {"exists": True, "power": state.power})


def _look_for_remains(client: Client, sought: Sought) -> Sight:
    """`expect`: `volumes`, by spaces: reached when the guest is gone and none of them is left.

    PVE ends a destruction with a warning when a volume cannot be removed (QemuServer.pm
    destroy_vm), so that the guest's absence alone does not tell that its data is gone.
    """
    sight = _look_for_absence(client, sought)
    if not sight.is_reached:
        return sight
    ref = ref_of(sought.target)
    wanted = set(str(sought.expect.get("volumes") or "").split())
    left: list[str] = []
    for storage in sorted({volid.partition(":")[0] for volid in wanted}):
        path = api_path("nodes", ref.node, "storage", storage, "content")
        rows = rows_of(client.get(path, {"vmid": ref.vmid}))
        left += [text_of(row, "volid") for row in rows if text_of(row, "volid") in wanted]
    if left:
        word = f"gone, but these volumes are left: {', '.join(left)}"
        return Sight(False, word, {"exists": False, "volumes": ",".join(left)})
    return Sight(True, "gone with its volumes", {"exists": False, "volumes": ""})


def _look_for_template(client: Client, sought: Sought) -> Sight:
    """`expect`: `bases`, the slots whose volumes have to be base images, too.

    PVE marks a VM as template before it converts the disks (API2/Qemu.pm template), so the mark
    alone does not tell that a conversion came to its end.
    """
    ref = ref_of(sought.target)
    state = read_guest_state(client, ref)
    slots = str(sought.expect.get("bases") or "").split(",")
    disks = list_disks(ref.kind, read_guest_config(client, ref))
    left = [disk.slot for disk in disks if disk.slot in slots and "base-" not in disk.volid]
    word = "a template" if state.is_template else "no template"
    if state.is_template and left:
        word = f"marked as a template, but not converted: {', '.join(left)}"
    after: dict[str, Scalar] = {"is_template": state.is_template, "unconverted": ",".join(left)}
    return Sight(state.is_template and not state.lock and not left, word, after)


GOALS: dict[str, Look] = {
    "guest.exists": _look_for_guest,
    "guest.gone": _look_for_absence,
    "guest.purged": _look_for_remains,
    "guest.on-node": look_on_node,
    "guest.taken-up": look_for_take_up,
    "guest.template": _look_for_template,
}
