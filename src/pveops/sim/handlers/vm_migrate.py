"""Migration of VMs between nodes: what stands against it, and the move.

(qemu-server API2/Qemu.pm migrate_vm, QemuMigrate.pm)
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from pveops.sim.call import Call
from pveops.sim.figures import memory_bytes
from pveops.sim.guest import Guest, release_flock, wait_for_flock
from pveops.sim.guest_volumes import GuestVolume, is_unused_key
from pveops.sim.ha import ROUND_S, Resource, managed, sid_of
from pveops.sim.handlers.guests import get_guest
from pveops.sim.membership import require_quorum
from pveops.sim.migration import (
    Pair,
    Steps,
    blocking_resources,
    check_scan,
    copy_volume,
    dependent_resources,
    duration_text,
    local_volumes,
    take_over,
    unavailable_storages,
)
from pveops.sim.model import Node
from pveops.sim.property_string import parse_properties
from pveops.sim.refusal import ApiError, die, parameter_error
from pveops.sim.router import Routes
from pveops.sim.tasks import Task, TaskError, start_task

routes = Routes()
_BASE = "/nodes/{node}/qemu/{vmid}/migrate"
_RATE = 1 << 30
"""Bytes of memory a second between two nodes."""
_ROOT_ONLY = ("force", "migration_type", "migration_network")
_DEVICES = ("usb", "hostpci", "serial", "parallel", "virtiofs", "ivshmem")


def _devices(guest: Guest) -> dict[str, str]:
    """Devices of the node that the VM uses, with the mapping that each is named by, if any."""
    found = {}
    for key, value in sorted(guest.config.items()):
        slot = key.rstrip("0123456789")
        is_free = slot == "serial" and str(value) == "socket"
        if slot in _DEVICES and (slot != key or slot == "ivshmem") and not is_free:
            found[key] = parse_properties(str(value), "host").get("mapping", "")
    return found


@routes.get(_BASE)
def get_preconditions(call: Call) -> dict[str, Any]:
    """Local disks, and the nodes that have what the VM needs."""
    require_quorum(call.cluster, call.node)
    guest = get_guest(call)
    guest.check_lock()
    allowed, refused = [], {}
    for node in call.cluster.nodes.values():
        if node is call.node:
            continue
        against = _against(call, guest, node)
        if against:
            refused[node.name] = against
        else:
            allowed.append(node.name)
    devices = _devices(guest)
    mapped = {key: name for key, name in devices.items() if name}
    answer: dict[str, Any] = {
        "running": int(guest.is_running),
        "local_disks": [
            _local_disk(call, volume) for volume in local_volumes(call.cluster, guest)
        ],
        "local_resources": list(devices),
        "mapped-resources": list(mapped),
        "mapped-resource-info": {key: {"name": name} for key, name in mapped.items()},
        "allowed_nodes": allowed,
        "not_allowed_nodes": refused,
    }
    if call.cluster.version.at_least("9.0"):
        answer["has-dbus-vmstate"] = 1
        answer["dependent-ha-resources"] = dependent_resources(call.cluster, guest)
    return answer


def _against(call: Call, guest: Guest, node: Node) -> dict[str, Any]:
    """What keeps the VM from a node, as the node's entry in `not_allowed_nodes`."""
    against: dict[str, Any] = {}
    missing = unavailable_storages(call.cluster, guest, node)
    if missing:
        against["unavailable_storages"] = missing
    blocking = blocking_resources(call.cluster, guest, node)
    if blocking and call.cluster.version.at_least("9.0"):
        against["blocking-ha-resources"] = blocking
    return against


def _local_disk(call: Call, volume: GuestVolume) -> dict[str, Any]:
    stored = call.cluster.storages.find_volume(call.node, volume.volid)
    return {
        "volid": volume.volid,
        "drivename": volume.key,
        "cdrom": int(volume.is_cdrom),
        "is_tpmstate": int(volume.key.startswith("tpmstate")),
        "is_unused": int(is_unused_key(volume.key)),
        "is_vmstate": 0,
        "is_attached": int(not is_unused_key(volume.key)),
        "replicate": int(volume.options.get("replicate", "1") != "0"),
        "shared": 0,
        "size": stored.size_bytes if stored else 0,
    }


@routes.post(_BASE)
def migrate(call: Call) -> str:
    """Move a VM to another node; HA carries out the move of what it manages."""
    name = str(call.params["target"])
    if name == call.node.name:
        raise parameter_error({"target": "target is local node."})
    require_quorum(call.cluster, call.node)
    target = call.cluster.node(name)
    if target is None:
        raise die(f"no such cluster node '{name}'")
    for option in _ROOT_ONLY:
        if call.get(option) is not None and not call.identity.is_root:
            raise parameter_error({option: "Only root may use this option."})
    guest = get_guest(call)
    guest.check_lock()
    if guest.is_running and not call.get("online"):
        raise die("can't migrate running VM without --online")
    missing = unavailable_storages(call.cluster, guest, target)
    if missing and call.get("targetstorage") is None:
        raise die(f"storage '{missing[0]}' is not available on node '{target.name}'")
    _check_replication(call, guest, target)
    resource = managed(call.cluster, guest)
    if resource is not None:
        return _hand_to_ha(call, guest, target, resource)
    body = _moving(call, guest, target)
    return str(start_task(call.node, "qmigrate", guest.vmid, call.identity.auth_id, body).upid)


def _check_replication(call: Call, guest: Guest, target: Node) -> None:
    """A replicated VM runs on to where its replicas are, and nowhere else."""
    jobs = [j for j in call.cluster.replication_jobs.values() if j["guest"] == guest.vmid]
    is_replica = any(job["target"] == target.name for job in jobs)
    if jobs and guest.is_running and not is_replica and not call.get("force"):
        raise die(
            f"Cannot live-migrate replicated VM to node '{target.name}' - not a replication "
            "target. Use 'force' to override."
        )


def _refuse_local(call: Call, guest: Guest) -> None:
    """Local disks of a running VM are mirrored only when that is asked for."""
    if any(not volume.is_cdrom for volume in local_volumes(call.cluster, guest)):
        raise TaskError("can't live migrate attached local disks without with-local-disks option")


def _hand_to_ha(call: Call, guest: Guest, target: Node, resource: Resource) -> str:
    """The request is all that the task makes; the node's resource manager moves the VM later."""

    def body(task: Task) -> Steps:
        task.log(f"Requesting HA migration for VM {guest.vmid} to node {target.name}")
        yield 0.3
        if blocking_resources(call.cluster, guest, target):
            raise TaskError(
                f"cannot migrate resource '{sid_of(guest)}' to node '{target.name}': "
                "HA rules forbid it"
            )
        call.cluster.timeline.after(ROUND_S, lambda: _move_for_ha(call, guest, target, resource))

    return str(start_task(call.node, "hamigrate", guest.vmid, call.identity.auth_id, body).upid)


def _move_for_ha(call: Call, guest: Guest, target: Node, resource: Resource) -> None:
    # The manager drops what it cannot follow, with a word in the system log alone.
    if guest.node != call.node.name or not (call.node.is_online and target.is_online):
        return
    resource.current = "migrate"
    by_manager = replace(call, params={"with-local-disks": 1})
    task = start_task(
        call.node, "qmigrate", guest.vmid, "root@pam", _moving(by_manager, guest, target)
    )
    task.on_end.append(lambda: setattr(resource, "current", resource.state))


def _moving(call: Call, guest: Guest, target: Node) -> Any:
    def body(task: Task) -> Steps:
        yield from wait_for_flock(guest, task)
        began = call.cluster.timeline.now()
        try:
            guest.check_lock()
            _prepare(task, call, guest, target)
            guest.config["lock"] = "migrate"
            yield from _carry(task, call, guest, target)
        finally:
            release_flock(guest, task)
        guest.config.pop("lock", None)
        took = duration_text(call.cluster.timeline.now() - began)
        task.log(f"migration finished successfully (duration {took})")

    return body


def _prepare(task: Task, call: Call, guest: Guest, target: Node) -> None:
    task.log(f"starting migration of VM {guest.vmid} to node '{target.name}' ({target.address})")
    if target not in call.cluster.members_seen_by(task.node):
        task.log(
            "ERROR: migration aborted (duration 00:00:03): "
            "Can't connect to destination address using public key"
        )
        raise TaskError("migration aborted")
    devices = [key for key, mapping in _devices(guest).items() if guest.is_running or not mapping]
    if devices:
        task.log(
            "ERROR: migration aborted (duration 00:00:00): "
            f"can't migrate VM which uses local devices: {', '.join(devices)}"
        )
        raise TaskError("migration aborted")
    is_asked = call.get("targetstorage") or call.get("with-local-disks")
    if guest.is_running and not is_asked:
        _refuse_local(call, guest)


def _carry(task: Task, call: Call, guest: Guest, target: Node) -> Steps:
    """Disks first, then the memory of a running VM, at last the file."""
    made: list[Pair] = []
    volumes = local_volumes(call.cluster, guest)
    try:
        task.log(*(f"found local disk '{volume.volid}' (attached)" for volume in volumes))
        check_scan(call.cluster, task, guest, volumes)
        wanted, limit = str(call.get("targetstorage") or "1"), int(call.get("bwlimit") or 0)
        for volume in volumes:
            copied = yield from copy_volume(task, guest, target, volume, wanted, limit)
            made.append((volume, copied))
    except (ApiError, TaskError) as error:
        for _, copied in made:
            call.cluster.storages.free(target, copied.volid)
        guest.config.pop("lock", None)
        if isinstance(error, TaskError):
            raise
        task.log(f"ERROR: {error.message}", "aborting phase 1 - cleanup resources")
        raise TaskError("migration aborted") from error
    if guest.process is not None:
        yield from _carry_memory(task, guest, target)
    take_over(guest, task.node, target, made)


def _carry_memory(task: Task, guest: Guest, target: Node) -> Steps:
    task.log(
        f"starting VM {guest.vmid} on remote node '{target.name}'",
        "start remote tunnel",
        f"starting online/live migration on unix:/run/qemu-server/{guest.vmid}.migrate",
    )
    memory = memory_bytes(guest)
    yield max(1.0, memory / _RATE)
    if target not in task.node.cluster.members_seen_by(task.node):
        guest.config.pop("lock", None)
        task.log(
            "ERROR: online migrate failure - aborting", "aborting phase 2 - cleanup resources"
        )
        raise TaskError("migration problems")
    task.log(f"average migration speed: {memory / (1 << 20):.1f} MiB/s - downtime 42 ms")
    task.log("migration status: completed")
    if guest.process is not None:
        guest.process.pid = target.next_pid()
