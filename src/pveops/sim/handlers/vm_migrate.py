"""Migration of VMs between nodes: what stands against it, and the move.

(qemu-server API2/Qemu.pm migrate_vm, QemuMigrate.pm)
"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import replace
from typing import Any

from pveops.sim.call import Call
from pveops.sim.figures import memory_bytes
from pveops.sim.guest import Guest, release_flock, wait_for_flock
from pveops.sim.guest_volumes import (
    GuestVolume,
    is_unused_key,
    list_volumes,
    parse_volume,
)
from pveops.sim.ha import ROUND_S, Resource, managed
from pveops.sim.handlers.guests import get_guest
from pveops.sim.membership import require_quorum
from pveops.sim.model import Node
from pveops.sim.refusal import ApiError, die, parameter_error
from pveops.sim.router import Routes
from pveops.sim.tasks import AbortedError, Task, TaskError, start_task
from pveops.sim.vm_drives import format_drive, is_cloudinit
from pveops.sim.volume import Volume

routes = Routes()
_BASE = "/nodes/{node}/qemu/{vmid}/migrate"
_RATE = 1 << 30
"""Bytes a second between two nodes."""
_ROOT_ONLY = ("force", "migration_type", "migration_network")

Steps = Generator[float, None, None]


def _local_volumes(call: Call, guest: Guest) -> list[GuestVolume]:
    storages = call.cluster.storages.definitions
    found = []
    for volume in list_volumes("qemu", guest.config, with_unused=True):
        storage = storages.get(volume.volid.partition(":")[0])
        if volume.is_on_storage and storage is not None and not storage.is_shared:
            found.append(volume)
    return found


def _unavailable(call: Call, guest: Guest, node: Node) -> list[str]:
    """Storages of the VM that the node does not have."""
    storages = call.cluster.storages
    names = {v.volid.partition(":")[0] for v in list_volumes("qemu", guest.config)}
    known = sorted(name for name in names if name in storages.definitions)
    return [name for name in known if not storages.get(name).is_for(node.name)]


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
        missing = _unavailable(call, guest, node)
        if missing:
            refused[node.name] = {"unavailable_storages": missing}
        else:
            allowed.append(node.name)
    answer: dict[str, Any] = {
        "running": int(guest.is_running),
        "local_disks": [_local_disk(call, volume) for volume in _local_volumes(call, guest)],
        "local_resources": [],
        "mapped-resources": [],
        "mapped-resource-info": {},
        "allowed_nodes": allowed,
        "not_allowed_nodes": refused,
    }
    if call.cluster.version.at_least("9.0"):
        answer["has-dbus-vmstate"] = 1
    return answer


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
    missing = _unavailable(call, guest, target)
    if missing and call.get("targetstorage") is None:
        raise die(f"storage '{missing[0]}' is not available on node '{target.name}'")
    resource = managed(call.cluster, guest)
    if resource is not None:
        return _hand_to_ha(call, guest, target, resource)
    body = _moving(call, guest, target)
    return str(start_task(call.node, "qmigrate", guest.vmid, call.identity.auth_id, body).upid)


def _refuse_local(call: Call, guest: Guest) -> None:
    """Local disks of a running VM are mirrored only when that is asked for."""
    if any(not volume.is_cdrom for volume in _local_volumes(call, guest)):
        raise TaskError("can't live migrate attached local disks without with-local-disks option")


def _hand_to_ha(call: Call, guest: Guest, target: Node, resource: Resource) -> str:
    """The request is all that the task makes; the node's resource manager moves the VM later."""

    def body(task: Task) -> Steps:
        task.log(f"Requesting HA migration for VM {guest.vmid} to node {target.name}")
        yield 0.3
        call.cluster.timeline.after(ROUND_S, lambda: _move_for_ha(call, guest, target, resource))

    return str(start_task(call.node, "hamigrate", guest.vmid, call.identity.auth_id, body).upid)


def _move_for_ha(call: Call, guest: Guest, target: Node, resource: Resource) -> None:
    if guest.node != call.node.name or not call.node.is_online:
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
            task.log(
                f"starting migration of VM {guest.vmid} to node '{target.name}' ({target.address})"
            )
            if target not in call.cluster.members_seen_by(call.node):
                task.log(
                    "ERROR: migration aborted (duration 00:00:03): "
                    "Can't connect to destination address using public key"
                )
                raise TaskError("migration aborted")
            is_asked = call.get("targetstorage") or call.get("with-local-disks")
            if guest.is_running and not is_asked:
                _refuse_local(call, guest)
            guest.config["lock"] = "migrate"
            yield from _carry(task, call, guest, target)
        finally:
            release_flock(guest, task)
        guest.config.pop("lock", None)
        took = int(call.cluster.timeline.now() - began)
        shown = f"{took // 3600:02}:{took // 60 % 60:02}:{took % 60:02}"
        task.log(f"migration finished successfully (duration {shown})")

    return body


def _carry(task: Task, call: Call, guest: Guest, target: Node) -> Steps:
    """Disks first, then the memory of a running VM, at last the file."""
    made: list[tuple[GuestVolume, Volume]] = []
    try:
        for volume in _local_volumes(call, guest):
            task.log(f"found local disk '{volume.volid}' (attached)")
        for volume in _local_volumes(call, guest):
            copied = yield from _copy(task, call, guest, target, volume)
            made.append((volume, copied))
    except ApiError as error:
        for _, copied in made:
            call.cluster.storages.free(target, copied.volid)
        guest.config.pop("lock", None)
        task.log(f"ERROR: {error.message}", "aborting phase 1 - cleanup resources")
        raise TaskError("migration aborted") from error
    if guest.process is not None:
        yield from _carry_memory(task, guest, target)
    for volume, copied in made:
        if volume.volid != copied.volid or not volume.is_cdrom:
            call.cluster.storages.free(call.node, volume.volid)
        _rename(guest, volume, copied)
    guest.node = target.name


def _copy(
    task: Task, call: Call, guest: Guest, target: Node, volume: GuestVolume
) -> Generator[float, None, Volume]:
    storages = call.cluster.storages
    source = storages.get_volume(call.node, volume.volid)
    if volume.is_cdrom and not is_cloudinit(volume):
        raise die(f"can't migrate '{volume.volid}' - local cdrom image")
    if source.parent:
        raise die(f"can't migrate '{volume.volid}' as it's a clone of '{source.parent}'")
    wanted = str(call.get("targetstorage") or source.storage).rpartition(":")[2]
    storage = storages.get_active(source.storage if wanted == "1" else wanted, target)
    task.log("copying local disk images")
    copied = storages.allocate_disk(
        target,
        storage.name,
        guest.vmid,
        source.size_bytes,
        source.format if source.format in storage.formats else storage.formats[0],
        label="cloudinit" if is_cloudinit(volume) else None,
    )
    copied.used_bytes = source.used_bytes
    copied.snapshots = list(source.snapshots)
    try:
        yield max(1.0, source.used_bytes / _RATE)
    except AbortedError:
        # The lock and the half copy stay, for somebody to look at.
        task.log("received interrupt")
        raise
    return copied


def _carry_memory(task: Task, guest: Guest, target: Node) -> Steps:
    task.log(
        f"starting VM {guest.vmid} on remote node '{target.name}'",
        "start remote tunnel",
        f"starting online/live migration on unix:/run/qemu-server/{guest.vmid}.migrate",
    )
    memory = memory_bytes(guest)
    yield max(1.0, memory / _RATE)
    task.log(f"average migration speed: {memory / (1 << 20):.1f} MiB/s - downtime 42 ms")
    task.log("migration status: completed")
    if guest.process is not None:
        guest.process.pid = target.next_pid()


def _rename(guest: Guest, volume: GuestVolume, copied: Volume) -> None:
    """The lines that name a volume name its copy."""
    for config in (guest.config, *guest.snapshots.values()):
        line = config.get(volume.key)
        if line is None:
            continue
        if is_unused_key(volume.key):
            config[volume.key] = copied.volid
            continue
        parsed = parse_volume("qemu", volume.key, str(line))
        if parsed.volid == volume.volid:
            config[volume.key] = format_drive(
                GuestVolume(volume.key, copied.volid, parsed.options)
            )
