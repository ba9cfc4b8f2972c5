"""DELETE of a guest: what is refused at once, and the task."""

from __future__ import annotations

from pveops.sim.call import Call
from pveops.sim.destroy import check_destroy, destroy
from pveops.sim.handlers.guests import get_guest, kind_of
from pveops.sim.membership import require_quorum
from pveops.sim.refusal import parameter_error
from pveops.sim.router import Routes
from pveops.sim.tasks import start_task

routes = Routes()


@routes.delete("/nodes/{node}/qemu/{vmid}", "/nodes/{node}/lxc/{vmid}")
def delete_guest(call: Call) -> str:
    """Destroy a guest and all that is its own."""
    if call.get("skiplock") is not None and not call.identity.is_root:
        raise parameter_error({"skiplock": "Only root may use this option."})
    guest = get_guest(call)
    purge, force = bool(call.get("purge")), bool(call.get("force"))
    check_destroy(call.cluster, guest, purge=purge, force=force)
    require_quorum(call.cluster, call.node, "guest", guest.config_path)
    if guest.kind == "lxc":
        guest.check_lock()
    body = destroy(
        call.node,
        kind_of(call),
        guest.vmid,
        purge=purge,
        with_unreferenced=bool(call.get("destroy-unreferenced-disks")),
        skip_lock=bool(call.get("skiplock")),
        force=force,
    )
    verb = "vzdestroy" if guest.kind == "lxc" else "qmdestroy"
    return str(start_task(call.node, verb, guest.vmid, call.identity.auth_id, body).upid)
