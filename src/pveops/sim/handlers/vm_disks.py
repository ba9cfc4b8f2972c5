"""Disks of VMs: resize, and move to another storage, format or VM (API2/Qemu.pm)."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

from pveops.sim.call import Call
from pveops.sim.config_change import check_digest
from pveops.sim.features import volume_has_feature
from pveops.sim.guest import Guest, config_path, release_flock, wait_for_flock
from pveops.sim.guest_volumes import (
    GuestVolume,
    add_unused,
    is_in_use,
    is_unused_key,
    parse_volume,
    size_text,
)
from pveops.sim.handlers.guests import get_guest
from pveops.sim.handlers.permission import check
from pveops.sim.mirror import mirror
from pveops.sim.power import find_local
from pveops.sim.refusal import ApiError, die, parameter_error
from pveops.sim.router import Routes
from pveops.sim.tasks import AbortedError, Body, Task, TaskError, start_task
from pveops.sim.vm_drives import copy_volume, format_drive, to_bytes, transfer_lines
from pveops.sim.volume import Volume, disk_file, image_name

routes = Routes()
_VM = "/nodes/{node}/qemu/{vmid}"
_WRITE_S = 0.2
_COPY_RATE = 1 << 30
"""Bytes a second."""

Steps = Generator[float, None, None]


def _start(call: Call, kind: str, vmid: int, body: Body) -> str:
    return str(start_task(call.node, kind, vmid, call.identity.auth_id, body).upid)


@routes.put(f"{_VM}/resize")
def resize(call: Call) -> str:
    """Grow a disk; whatever is wrong with that is for the task to find out."""
    if call.get("skiplock") is not None and not call.identity.is_root:
        raise parameter_error({"skiplock": "Only root may use this option."})
    vmid = int(call.params["vmid"])

    def body(task: Task) -> Steps:
        path = config_path(call.node.name, "qemu", vmid)
        wording = f"Configuration file '{path}' does not exist"
        guest = find_local(call.cluster, call.node, "qemu", vmid, wording)
        yield from wait_for_flock(guest, task)
        try:
            yield from _resize(task, call, guest)
        finally:
            release_flock(guest, task)

    return _start(call, "resize", vmid, body)


def _resize(task: Task, call: Call, guest: Guest) -> Steps:
    check_digest(guest, call.get("digest"))
    if not call.get("skiplock"):
        guest.check_lock()
    key, wanted = str(call.params["disk"]), str(call.params["size"])
    drive = _get_disk(guest, key, "resize")
    storages = call.cluster.storages
    check(call, f"/storage/{drive.volid.partition(':')[0]}", "Datastore.AllocateSpace")
    volume = storages.get_volume(call.node, drive.volid)
    size = to_bytes(wanted.removeprefix("+"))
    if wanted.startswith("+"):
        size += volume.size_bytes
    if size < volume.size_bytes:
        raise TaskError("shrinking disks is not supported")
    if size == volume.size_bytes:
        return
    yield _WRITE_S
    storages.resize(call.node, drive.volid, size)
    if not guest.is_running:
        task.log("Image resized.")
    options = {**drive.options, "size": size_text(size)}
    guest.config[key] = format_drive(GuestVolume(key, drive.volid, options))


def _get_disk(guest: Guest, key: str, verb: str) -> GuestVolume:
    if key not in guest.config:
        raise die(f"disk '{key}' does not exist")
    drive = parse_volume("qemu", key, str(guest.config[key]))
    if not drive.volid or not drive.is_on_storage:
        raise die(f"disk '{key}' has no associated volume")
    if drive.is_cdrom:
        raise die(f"you can't {verb} a cdrom")
    return drive


@routes.post(f"{_VM}/move_disk")
def move_disk(call: Call) -> str:
    """Copy a disk elsewhere, or give it to another VM."""
    storage, target_vmid = call.get("storage"), call.get("target-vmid")
    if target_vmid is not None and storage is not None:
        raise die("either set storage or target-vmid, but not both")
    if target_vmid is not None:
        return _reassign(call, int(target_vmid))
    if storage is None:
        text = "both 'storage' and 'target-vmid' missing, either needs to be set"
        raise parameter_error({"storage": text})
    check(call, f"/storage/{storage}", "Datastore.AllocateSpace")
    target = call.cluster.storages.get_usable(str(storage), call.node)
    guest = get_guest(call)
    guest.check_lock()
    check_digest(guest, call.get("digest"))
    key = str(call.params["disk"])
    drive = _get_disk(guest, key, "move")
    source = call.cluster.storages.get_volume(call.node, drive.volid)
    wanted = call.get("format")
    if source.storage == target.name and wanted in (None, source.format):
        raise die("you can't move to the same storage with same format")
    if call.get("delete") and _is_in_snapshot(guest, drive.volid):
        raise die("you can't move a disk with snapshots and delete the source")
    body = _moving(call, guest, drive, source, target.name, str(wanted or source.format))
    return _start(call, "qmmove", guest.vmid, body)


def _is_in_snapshot(guest: Guest, volid: str) -> bool:
    return is_in_use(guest, volid, config={})


def _moving(
    call: Call, guest: Guest, drive: GuestVolume, source: Volume, storage: str, format_: str
) -> Body:
    is_recent = call.node.version.at_least("9.0")

    def body(task: Task) -> Steps:
        yield from wait_for_flock(guest, task)
        made: Volume | None = None
        try:
            guest.check_lock()
            if is_recent:
                task.log(
                    f"copying volume '{source.volid}' from current storage '{source.storage}' "
                    f"to target storage '{storage}'"
                )
            made = copy_volume(
                task.log, call.node, guest.vmid, drive.key, source, storage, format_
            )
            if guest.is_running:
                yield from mirror(task, drive.key, source.size_bytes, completes=True)
            else:
                first, last = transfer_lines(source.size_bytes)
                task.log(first)
                yield max(_WRITE_S, source.used_bytes / _COPY_RATE)
                task.log(last)
            _replace(task, call, guest, drive, made)
        except (ApiError, TaskError) as error:
            if made is not None:
                call.cluster.storages.free(call.node, made.volid)
            text = error.message if isinstance(error, ApiError) else str(error)
            raise TaskError(f"storage migration failed: {text}") from error
        except AbortedError:
            if made is not None:
                call.cluster.storages.free(call.node, made.volid)
            raise
        finally:
            release_flock(guest, task)

    return body


def _replace(task: Task, call: Call, guest: Guest, drive: GuestVolume, volume: Volume) -> None:
    options = {**drive.options, "size": size_text(volume.size_bytes)}
    line = format_drive(GuestVolume(drive.key, volume.volid, options))
    guest.config[drive.key] = drive_line = line
    if guest.process is not None:
        guest.process.config[drive.key] = drive_line
    if not call.get("delete"):
        add_unused(guest.config, drive.volid)
        return
    if call.node.version.at_least("9.0"):
        task.log(f"removing source volume '{drive.volid}' after successful copy")
    try:
        call.cluster.storages.free(call.node, drive.volid)
    except ApiError as error:
        task.log(error.message)
        add_unused(guest.config, drive.volid)


def _reassign(call: Call, target_vmid: int) -> str:
    """A disk becomes another VM's, and its volume gets that one's id."""
    check(call, f"/vms/{target_vmid}", "VM.Config.Disk")
    source = get_guest(call)
    target = call.cluster.guests.get(target_vmid)
    if target_vmid == source.vmid:
        text = "must be different than source VMID to reassign disk"
        raise parameter_error({"target-vmid": text})
    if target is None or target.kind != "qemu" or target.node != call.node.name:
        path = config_path(call.node.name, "qemu", target_vmid)
        raise die(f"Configuration file '{path}' does not exist")
    key = str(call.params["disk"])
    target_key = str(call.get("target-disk") or key)
    drive = _check_reassign(call, source, target, key, target_key)

    def body(task: Task) -> Steps:
        yield from wait_for_flock(source, task)
        try:
            task.log(f"moving disk '{key}' from VM '{source.vmid}' to '{target_vmid}'")
            yield _WRITE_S
            new_key = _hand_over(call, source, target, drive, target_key)
            task.log(f"removing disk '{key}' from VM '{source.vmid}' config")
            task.log(f"update target VM configuration: '{new_key}'")
        finally:
            release_flock(source, task)

    subject = f"{source.vmid}-{key}>{target_vmid}-{target_key}"
    auth_id = call.identity.auth_id
    return str(start_task(call.node, "qmmove", subject, auth_id, body).upid)


def _check_reassign(
    call: Call, source: Guest, target: Guest, key: str, target_key: str
) -> GuestVolume:
    source.check_lock()
    target.check_lock()
    check_digest(source, call.get("digest"))
    check_digest(target, call.get("target-digest"))
    drive = _get_disk(source, key, "move")
    if target_key in target.config:
        text = f"Target disk key '{target_key}' is already in use for VM '{target.vmid}'"
        raise die(text)
    if source.is_running and not is_unused_key(key):
        raise die(f"Cannot move disk '{key}' of running VM")
    storage, name = call.cluster.storages.resolve(drive.volid)
    if _is_in_snapshot(source, drive.volid):
        raise die("Can't move disk used by a snapshot to another VM")
    if not volume_has_feature(storage, name, "copy"):
        raise die(f"Storage does not support moving of this disk to another VM: {drive.volid}")
    return drive


def _hand_over(
    call: Call, source: Guest, target: Guest, drive: GuestVolume, target_key: str
) -> str:
    storages = call.cluster.storages
    storage, _ = storages.resolve(drive.volid)
    volume: Any = storages.get_volume(call.node, drive.volid)
    label = storages.next_disk_label(call.node, storage, target.vmid)
    file = disk_file(storage.type, target.vmid, label, volume.format)
    renamed = storages.rename(call.node, drive.volid, image_name(storage.type, target.vmid, file))
    source.config.pop(drive.key)
    if is_unused_key(target_key):
        return add_unused(target.config, renamed.volid)
    line = format_drive(GuestVolume(target_key, renamed.volid, drive.options))
    target.config[target_key] = line
    return target_key
