"""Goals about nodes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pveops.api.port import api_path
from pveops.domain.inventory import ClusterView, read_cluster_view, read_inventory
from pveops.domain.kernel import read_kernels
from pveops.domain.node_power import active_storages, read_up
from pveops.domain.rows import int_of, object_of
from pveops.engine.goals.sight import Look, Sight, Sought
from pveops.errors import UnreachableError
from pveops.operations.plan import Scalar

if TYPE_CHECKING:
    from pveops.api.client import Client

_SLACK_S = 30
"""What other nodes tell of a node's uptime is up to some ten seconds old."""


def _look_rebooted(client: Client, sought: Sought) -> Sight:
    """`expect`: `storages` (by comma) that have to be active, `kernel` that has to run.

    Reached when the node has booted since, is a member of a quorate cluster, and has all that.
    """
    name = sought.target.id
    view = read_cluster_view(client)
    node = view.inventory.find_node(name)
    status = node.status if node else "gone"
    if node is None or not node.is_online:
        return Sight(False, status, {"status": status})
    uptime_s = int_of(object_of(client.get(api_path("nodes", name, "status"))), "uptime")
    booted_at = int(client.server_time()) - uptime_s
    after: dict[str, Scalar] = {"status": status, "booted_at": booted_at}
    if booted_at <= int(sought.before["booted_at"] or 0) + _SLACK_S:
        return Sight(False, "online, and has not booted since", after)
    kernel = read_kernels(client, name).running
    after["kernel"] = kernel
    missing = _missing(view, name, str(sought.expect.get("storages") or ""))
    if missing:
        return Sight(False, f"up again, but {missing}", after)
    wanted = str(sought.expect.get("kernel") or kernel)
    if kernel and kernel != wanted:
        told = f"up again with kernel {kernel}, not with {wanted}"
        return Sight(False, told, after)
    return Sight(True, f"up again with kernel {kernel}" if kernel else "up again", after)


def _missing(view: ClusterView, name: str, storages: str) -> str:
    """What of the cluster is not there yet."""
    if view.membership is not None and not view.membership.is_quorate:
        return "the cluster has no quorum"
    active = active_storages(view.inventory, name)
    lost = [each for each in storages.split(",") if each and each not in active]
    return f"not active there: {', '.join(lost)}" if lost else ""


def _look_off(client: Client, sought: Sought) -> Sight:
    """`expect`: `is_last`: nobody is left who could tell, so silence is what can be seen."""
    try:
        node = read_inventory(client).find_node(sought.target.id)
    except UnreachableError:
        if not sought.expect.get("is_last"):
            raise
        return Sight(True, "silent: it does not answer any more", {"status": "silent"})
    status = node.status if node else "gone"
    return Sight(status != "online", f"{status}, as the others see it", {"status": status})


def _look_at_guests(client: Client, sought: Sought) -> Sight:
    """`expect`: `vmids` (by comma) that have to run on the node."""
    wanted = {int(vmid) for vmid in str(sought.expect["vmids"]).split(",")}
    up = read_up(client, sought.target.id)
    missing = sorted(wanted - up)
    word = f"up again, and {len(wanted & up)} of {len(wanted)} guests run there"
    if missing:
        word += f"; not yet: {', '.join(map(str, missing))}"
    return Sight(not missing, word, {"status": "online", "running": len(wanted & up)})


GOALS: dict[str, Look] = {
    "node.rebooted": _look_rebooted,
    "node.off": _look_off,
    "node.guests-up": _look_at_guests,
}
