"""Clones and templates of VMs (API2/Qemu.pm clone_vm, template)."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass, field, replace
from typing import Any

from pveops.sim.call import Call
from pveops.sim.features import volume_has_feature
from pveops.sim.firewall import copy_guest_config
from pveops.sim.guest import Guest, release_flock, wait_for_flock
from pveops.sim.guest_volumes import (
    GuestVolume,
    is_unused_key,
    list_volumes,
    size_text,
)
from pveops.sim.handlers.bridge_access import check_bridge_access
from pveops.sim.handlers.guests import get_guest
from pveops.sim.handlers.permission import check
from pveops.sim.identity import new_uuid
from pveops.sim.membership import require_quorum
from pveops.sim.mirror import cancel_mirror, mirror
from pveops.sim.model import Node
from pveops.sim.power import agent_silence, has_agent
from pveops.sim.property_string import format_properties, parse_properties
from pveops.sim.refusal import ApiError, die, parameter_error
from pveops.sim.router import Routes
from pveops.sim.snapshot import get_snapshot
from pveops.sim.tasks import AbortedError, Task, TaskError, start_task
from pveops.sim.vm_drives import (
    copy_volume,
    create_drive,
    format_drive,
    is_cloudinit,
    transfer_lines,
)
from pveops.sim.vm_options import is_net, with_mac
from pveops.sim.volume import Volume

routes = Routes()
_VM = "/nodes/{node}/qemu/{vmid}"
_LEFT_BEHIND = (
    "lock snapshots parent snaptime snapstate vmstate template digest pending "
    "runningmachine runningcpu"
)
_NOT_CLONED = frozenset(_LEFT_BEHIND.split())
_COPY_RATE = 1 << 30
_STEP_S = 0.3
_FLOCK_S = 1.0

Steps = Generator[float, None, None]


@dataclass(slots=True)
class _Clone:
    """One clone on its way."""

    call: Call
    source: Guest
    guest: Guest
    config: dict[str, Any]
    is_full: bool
    snapname: str
    made: list[Volume] = field(default_factory=list)


@routes.post(f"{_VM}/clone")
def clone(call: Call) -> str:
    """Check source and target, take the new id, and copy or link the disks in a task."""
    new_id, snapname = int(call.params["newid"]), str(call.get("snapname") or "")
    require_quorum(call.cluster, call.node)
    if call.get("pool") and call.params["pool"] not in call.cluster.pools.by_id:
        pool = call.params["pool"]
        raise ApiError(403, f"Permission check failed (pool '{pool}' does not exist)")
    target = _target_node(call)
    _check_storage(call, target)
    source = get_guest(call)
    source.check_lock()
    config = get_snapshot(source, snapname) if snapname else source.config
    is_full = bool(call.get("full", 0 if source.is_template else 1))
    if not is_full:
        for name in ("storage", "format"):
            if call.get(name) is not None:
                raise die(f"parameter '{name}' not allowed for linked clones")
    _check_disks(call, config, snapname, is_full=is_full, target=target)
    check_bridge_access(call, config)
    guest = _take_id(call, new_id, target)
    job = _Clone(call, source, guest, dict(config), is_full, snapname)
    if call.get("pool"):
        call.cluster.pools.by_id[call.params["pool"]].vmids.add(new_id)
    auth_id = call.identity.auth_id
    return str(start_task(call.node, "qmclone", source.vmid, auth_id, _cloning(job)).upid)


def _target_node(call: Call) -> Node:
    name = call.get("target")
    if name is None:
        return call.node
    target = call.cluster.node(str(name))
    if target is None:
        raise die(f"no such cluster node '{name}'")
    return target


def _check_storage(call: Call, target: Node) -> None:
    name = call.get("storage")
    if name is None:
        return
    storage = call.cluster.storages.get_usable(str(name), call.node)
    check(call, f"/storage/{name}", "Datastore.AllocateSpace")
    if target is not call.node:
        call.cluster.storages.get_usable(str(name), target)
        if not storage.is_shared:
            raise die(f"can't clone to non-shared storage '{name}'")


def _check_disks(
    call: Call, config: dict[str, Any], snapname: str, *, is_full: bool, target: Node
) -> None:
    storages = call.cluster.storages
    for volume in list_volumes("qemu", config):
        if not volume.is_on_storage or (volume.is_cdrom and not is_cloudinit(volume)):
            continue
        storage, name = storages.resolve(volume.volid)
        if target is not call.node and not storage.is_shared:
            raise die(f"can't clone VM to node '{target.name}' (VM uses local storage)")
        if is_cloudinit(volume):
            continue
        if is_full and not volume_has_feature(storage, name, "copy", snapname):
            text = f"'{volume.volid}' ({volume.key})"
            raise die(f"Full clone feature is not supported for {text}")
        if not is_full and not volume_has_feature(storage, name, "clone", snapname):
            text = f"'{volume.volid}' ({volume.key})"
            raise die(f"Linked clone feature is not supported for {text}")
        if not is_full or call.get("storage") is None:
            check(call, f"/storage/{storage.name}", "Datastore.AllocateSpace")


def _take_id(call: Call, vmid: int, target: Node) -> Guest:
    existing = call.cluster.guests.get(vmid)
    if existing is not None and existing.kind == "qemu":
        raise die(f"unable to create VM {vmid}: config file already exists")
    if existing is not None:
        raise die(
            f"unable to create VM {vmid}: CT {vmid} already exists on node '{existing.node}'"
        )
    guest = call.cluster.guests[vmid] = Guest(
        vmid, "qemu", target.name, {"lock": "clone"}, created_at=call.cluster.timeline.now()
    )
    return guest


def _cloning(job: _Clone) -> Any:
    def body(task: Task) -> Steps:
        guest, source = job.guest, job.source
        try:
            # A running source is locked for the whole copy, and nobody waits long for it.
            if source.is_running:
                yield from wait_for_flock(source, task, _FLOCK_S)
            config = yield from _copy(task, job)
        except (ApiError, TaskError) as error:
            _give_up(job)
            text = error.message if isinstance(error, ApiError) else str(error)
            raise TaskError(f"clone failed: {text}") from error
        except AbortedError:
            _give_up(job)
            raise
        finally:
            release_flock(source, task)
        guest.config = config
        guest.temper = replace(source.temper)
        copy_guest_config(job.call.cluster.firewall, source.vmid, guest.vmid)

    return body


def _give_up(job: _Clone) -> None:
    for volume in job.made:
        job.call.cluster.storages.free(job.call.node, volume.volid)
    job.call.cluster.guests.pop(job.guest.vmid, None)
    job.call.cluster.pools.forget_guest(job.guest.vmid)


def _copy(task: Task, job: _Clone) -> Generator[float, None, dict[str, Any]]:
    call, vmid = job.call, job.guest.vmid
    if call.node.version.at_least("9.0"):
        task.log(f"creating a clone of VM {job.source.vmid} with ID {vmid}")
    config = {
        key: value
        for key, value in job.config.items()
        if key not in _NOT_CLONED and not is_unused_key(key)
    }
    _rename(call, job.source, config)
    drives = list_volumes("qemu", config)
    mirrored = []
    for drive in drives:
        if not drive.is_on_storage or (drive.is_cdrom and not is_cloudinit(drive)):
            continue
        is_live = job.source.is_running and not job.snapname and not is_cloudinit(drive)
        volume = yield from _copy_drive(task, job, drive, is_live=is_live and job.is_full)
        options = {**drive.options, "size": size_text(volume.size_bytes)}
        config[drive.key] = format_drive(GuestVolume(drive.key, volume.volid, options))
        if is_live and job.is_full:
            mirrored.append(drive.key)
    if mirrored:
        yield from _finish_mirrors(task, job, mirrored)
    for key in sorted({*job.source.pending, *job.source.pending_deletes}):
        if not job.snapname:
            task.log(f"found pending changes for '{key}', discarding for clone")
    return config


def _rename(call: Call, source: Guest, config: dict[str, Any]) -> None:
    """A clone is somebody else: other ids and addresses, and a name of its own."""
    random = call.cluster.random
    for key in [key for key in config if is_net(key)]:
        config[key] = with_mac(str(config[key]), random, fresh=True)
    smbios = parse_properties(str(config.get("smbios1") or ""))
    config["smbios1"] = format_properties({**smbios, "uuid": new_uuid(random)})
    if "vmgenid" in config:
        config["vmgenid"] = new_uuid(random)
    config["name"] = call.get("name") or (
        f"Copy-of-VM-{source.name}" if source.name else f"Copy-of-VM-{source.vmid}"
    )
    if call.get("description"):
        config["description"] = call.params["description"]


def _copy_drive(
    task: Task, job: _Clone, drive: GuestVolume, *, is_live: bool
) -> Generator[float, None, Volume]:
    call, vmid = job.call, job.guest.vmid
    storages = call.cluster.storages
    source = storages.get_volume(call.node, drive.volid)
    if is_cloudinit(drive):
        storage = call.get("storage") or source.storage
        wanted = GuestVolume(drive.key, f"{storage}:cloudinit", {"format": source.format})
        _, made = create_drive(lambda *_: None, call.node, vmid, wanted)
        if made is None:
            raise TaskError(f"unable to make the cloud-init drive of VM {vmid}")
        job.made.append(made)
        yield _STEP_S
        return made
    if not job.is_full:
        task.log(f"create linked clone of drive {drive.key} ({drive.volid})")
        yield _STEP_S
        linked = storages.clone_base(call.node, drive.volid, vmid)
        job.made.append(linked)
        return linked
    storage = str(call.get("storage") or source.storage)
    format_ = call.get("format") or source.format
    volume = copy_volume(task.log, call.node, vmid, drive.key, source, storage, format_)
    job.made.append(volume)
    if is_live:
        yield from mirror(task, drive.key, source.size_bytes, completes=False)
    else:
        first, last = transfer_lines(source.size_bytes)
        task.log(first)
        yield max(_STEP_S, source.used_bytes / _COPY_RATE)
        task.log(last)
    return volume


def _finish_mirrors(task: Task, job: _Clone, keys: list[str]) -> Steps:
    """The copies are cut off at one moment, with the file systems at rest if they can be."""
    freezes = has_agent(job.source.config) and job.source.temper.agent == "answers"
    if has_agent(job.source.config) and not freezes:
        yield 3.0
        if task.node.version.at_least("9.0"):
            task.log("skipping guest filesystem freeze - agent configured but not running?")
        else:
            task.log(agent_silence(task.node, job.source.vmid))
    task.log("freeze filesystem" if freezes else "suspend vm")
    for key in keys:
        cancel_mirror(task, key)
    yield _STEP_S
    task.log("unfreeze filesystem" if freezes else "resume vm")


@routes.post(f"{_VM}/template")
def make_template(call: Call) -> str:
    """Turn the VM, or one disk of it, into a template; there is no way back."""
    guest, disk = get_guest(call), call.get("disk")
    guest.check_lock()
    if guest.snapshots:
        raise die("unable to create template, because VM contains snapshots")
    if guest.is_template and disk is None:
        raise die("you can't convert a template to a template")
    if guest.is_running:
        raise die("you can't convert a VM to template if VM is running")
    if disk is not None and disk not in guest.config:
        raise parameter_error({"disk": f"disk '{disk}' does not exist"})

    def body(task: Task) -> Steps:
        yield from wait_for_flock(guest, task)
        try:
            guest.config["template"] = 1
            for volume in list_volumes("qemu", guest.config):
                is_wanted = disk is None or volume.key == disk
                if is_wanted and volume.is_on_storage and not volume.is_cdrom:
                    yield _STEP_S
                    _make_base(call, guest, volume)
        finally:
            release_flock(guest, task)

    return str(start_task(call.node, "qmtemplate", guest.vmid, call.identity.auth_id, body).upid)


def _make_base(call: Call, guest: Guest, volume: GuestVolume) -> None:
    storage, name = call.cluster.storages.resolve(volume.volid)
    if not volume_has_feature(storage, name, "template"):
        return
    base = call.cluster.storages.convert_to_base(call.node, volume.volid)
    line = format_drive(GuestVolume(volume.key, base.volid, volume.options))
    guest.config[volume.key] = line
