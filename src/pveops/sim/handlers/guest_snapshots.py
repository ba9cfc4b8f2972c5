"""/nodes/{node}/qemu|lxc/{vmid}/snapshot and feature.

(qemu-server API2/Qemu.pm, pve-container API2/LXC/Snapshot.pm)
"""

from __future__ import annotations

from typing import Any

from pveops.sim import snapshot
from pveops.sim.call import Call
from pveops.sim.config_change import shown_secrets
from pveops.sim.features import feature_nodes, has_feature
from pveops.sim.handlers.guests import get_guest, kind_of
from pveops.sim.handlers.permission import check
from pveops.sim.router import Routes
from pveops.sim.tasks import Body, start_task

routes = Routes()
_BASES = ("/nodes/{node}/qemu/{vmid}", "/nodes/{node}/lxc/{vmid}")
_LISTS = tuple(f"{base}/snapshot" for base in _BASES)
_ONES = tuple(f"{base}/snapshot/{{snapname}}" for base in _BASES)


def _start(call: Call, verb: str, body: Body) -> str:
    prefix = "vz" if kind_of(call) == "lxc" else "qm"
    vmid, auth_id = call.params["vmid"], call.identity.auth_id
    return str(start_task(call.node, prefix + verb, vmid, auth_id, body).upid)


@routes.post(*_LISTS)
def create_snapshot(call: Call) -> str:
    """Take a snapshot; all but a reserved name is for the task to find out."""
    kind, name = kind_of(call), str(call.params["snapname"])
    snapshot.check_name(kind, name)
    body = snapshot.create(
        call.node,
        kind,
        int(call.params["vmid"]),
        name,
        description=call.get("description"),
        with_state=bool(call.get("vmstate")),
    )
    return _start(call, "snapshot", body)


@routes.delete(*_ONES)
def delete_snapshot(call: Call) -> str:
    """Remove a snapshot."""
    vmid, name = int(call.params["vmid"]), str(call.params["snapname"])
    is_forced = bool(call.get("force"))
    body = snapshot.delete(call.node, kind_of(call), vmid, name, force=is_forced)
    return _start(call, "delsnapshot", body)


@routes.post(*(f"{path}/rollback" for path in _ONES))
def roll_back(call: Call) -> str:
    """Go back to a snapshot; since 9.2 to start the guest then needs the right to."""
    vmid, name = int(call.params["vmid"]), str(call.params["snapname"])
    is_started = bool(call.get("start"))
    if is_started and call.cluster.version.at_least("9.2"):
        check(call, f"/vms/{vmid}", "VM.PowerMgmt")
    body = snapshot.roll_back(call.node, kind_of(call), vmid, name, start=is_started)
    return _start(call, "rollback", body)


@routes.get(*(f"{path}/config" for path in _ONES))
def get_snapshot_config(call: Call) -> dict[str, Any]:
    """The configuration that the snapshot keeps."""
    return shown_secrets(snapshot.get_snapshot(get_guest(call), str(call.params["snapname"])))


@routes.put(*(f"{path}/config" for path in _ONES))
def describe_snapshot(call: Call) -> None:
    """Set the notes of a snapshot."""
    guest = get_guest(call)
    guest.check_lock()
    kept = snapshot.get_snapshot(guest, str(call.params["snapname"]))
    if call.get("description") is not None:
        kept["description"] = call.params["description"]


@routes.get(*(f"{base}/feature" for base in _BASES))
def get_feature(call: Call) -> dict[str, Any]:
    """Whether the guest can be snapshotted, cloned or copied, and on which nodes."""
    guest, name = get_guest(call), str(call.get("snapname") or "")
    config = snapshot.get_snapshot(guest, name) if name else guest.config
    possible = has_feature(call.node, guest, str(call.params["feature"]), config, name)
    answer: dict[str, Any] = {"hasFeature": int(possible)}
    if guest.kind == "qemu":
        answer["nodes"] = feature_nodes(call.node, guest)
    return answer
