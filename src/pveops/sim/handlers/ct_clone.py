"""Clones and templates of containers, and moving their volumes (API2/LXC.pm)."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass, field, replace
from typing import Any

from pveops.sim.call import Call
from pveops.sim.config_change import check_digest
from pveops.sim.ct_options import is_net
from pveops.sim.ct_volumes import check_storage, get_mount
from pveops.sim.features import volume_has_feature
from pveops.sim.firewall import copy_guest_config
from pveops.sim.guest import Guest
from pveops.sim.guest_volumes import (
    GuestVolume,
    add_unused,
    format_volume,
    is_in_use,
    is_unused_key,
    list_volumes,
    size_text,
)
from pveops.sim.handlers.bridge_access import check_bridge_access
from pveops.sim.handlers.guests import get_guest
from pveops.sim.handlers.permission import check
from pveops.sim.identity import new_mac
from pveops.sim.membership import require_quorum
from pveops.sim.property_string import format_properties, parse_properties
from pveops.sim.refusal import ApiError, die, parameter_error
from pveops.sim.router import Routes
from pveops.sim.snapshot import get_snapshot
from pveops.sim.tasks import AbortedError, Task, TaskError, start_task
from pveops.sim.volume import Volume

routes = Routes()
_CT = "/nodes/{node}/lxc/{vmid}"
_NOT_CLONED = frozenset(["lock", "parent", "snaptime", "snapstate", "template", "digest"])
_COPY_RATE = 512 << 20
_STEP_S = 0.3

Steps = Generator[float, None, None]


@dataclass(slots=True)
class _Clone:
    """One clone on its way."""

    call: Call
    source: Guest
    guest: Guest
    config: dict[str, Any]
    is_full: bool
    made: list[Volume] = field(default_factory=list)


@routes.post(f"{_CT}/clone")
def clone(call: Call) -> str:
    """Lock the source, take the new id, and copy or link the volumes in a task."""
    new_id, snapname = int(call.params["newid"]), str(call.get("snapname") or "")
    require_quorum(call.cluster, call.node)
    pool = call.get("pool")
    if pool and pool not in call.cluster.pools.by_id:
        raise ApiError(403, f"Permission check failed (pool '{pool}' does not exist)")
    source = get_guest(call)
    source.check_lock()
    is_full = bool(call.get("full", 0 if source.is_template else 1))
    config = get_snapshot(source, snapname) if snapname else source.config
    if source.is_running and is_full and not snapname:
        raise die("Full clone of a running container is only possible from a snapshot")
    if call.get("storage") is not None:
        if not is_full:
            raise die("parameter 'storage' not allowed for linked clones")
        check_storage(call.node, str(call.params["storage"]))
    _check_mounts(call, config, snapname, is_full=is_full)
    check_bridge_access(call, config)
    guest = _take_id(call, new_id)
    source.config["lock"] = "disk"
    if pool:
        call.cluster.pools.by_id[pool].vmids.add(new_id)
    job = _Clone(call, source, guest, dict(config), is_full)
    auth_id = call.identity.auth_id
    return str(start_task(call.node, "vzclone", source.vmid, auth_id, _cloning(job)).upid)


def _check_mounts(call: Call, config: dict[str, Any], snapname: str, *, is_full: bool) -> None:
    for mount in list_volumes("lxc", config):
        if not mount.is_on_storage:
            raise die(f"unable to clone mountpoint '{mount.key}' (type bind)")
        storage, name = call.cluster.storages.resolve(mount.volid)
        if not is_full and not volume_has_feature(storage, name, "clone", snapname):
            raise die(f"Linked clone feature for '{mount.volid}' is not available")
        if is_full and not volume_has_feature(storage, name, "copy", snapname):
            raise die(f"Full clone feature for '{mount.volid}' is not available")
        target = str(call.get("storage") or storage.name)
        check(call, f"/storage/{target}", "Datastore.AllocateSpace")


def _take_id(call: Call, vmid: int) -> Guest:
    existing = call.cluster.guests.get(vmid)
    if existing is not None:
        raise die(f"{existing.noun} {vmid} already exists on node '{existing.node}'")
    name = str(call.get("target") or call.node.name)
    if call.cluster.node(name) is None:
        raise die(f"no such cluster node '{name}'")
    guest = call.cluster.guests[vmid] = Guest(
        vmid, "lxc", name, {"lock": "create"}, created_at=call.cluster.timeline.now()
    )
    return guest


def _cloning(job: _Clone) -> Any:
    def body(task: Task) -> Steps:
        try:
            config = yield from _copy(task, job)
        except (ApiError, TaskError) as error:
            _give_up(job)
            text = error.message if isinstance(error, ApiError) else str(error)
            raise TaskError(f"clone failed: {text}") from error
        except AbortedError:
            _give_up(job)
            raise
        finally:
            job.source.config.pop("lock", None)
        job.guest.config = config
        job.guest.temper = replace(job.source.temper)
        copy_guest_config(job.call.cluster.firewall, job.source.vmid, job.guest.vmid)

    return body


def _give_up(job: _Clone) -> None:
    for volume in job.made:
        job.call.cluster.storages.free(job.call.node, volume.volid)
    job.call.cluster.guests.pop(job.guest.vmid, None)
    job.call.cluster.pools.forget_guest(job.guest.vmid)


def _copy(task: Task, job: _Clone) -> Generator[float, None, dict[str, Any]]:
    call, vmid = job.call, job.guest.vmid
    if call.node.version.at_least("9.0"):
        task.log(f"creating a clone of container {job.source.vmid} with ID {vmid}")
    config = {
        key: value
        for key, value in job.config.items()
        if key not in _NOT_CLONED and not is_unused_key(key)
    }
    for key in [key for key in config if is_net(key)]:
        parts = parse_properties(str(config[key]))
        config[key] = format_properties({**parts, "hwaddr": new_mac(call.cluster.random)})
    config["hostname"] = call.get("hostname") or f"CT{vmid}"
    if call.get("description"):
        config["description"] = f"{call.params['description']}\n"
    for mount in list_volumes("lxc", config):
        volume = yield from _copy_mount(task, job, mount)
        job.made.append(volume)
        options = {**mount.options, "size": size_text(volume.size_bytes)}
        config[mount.key] = format_volume(GuestVolume(mount.key, volume.volid, options))
    return config


def _copy_mount(task: Task, job: _Clone, mount: GuestVolume) -> Generator[float, None, Volume]:
    call = job.call
    kind = "full" if job.is_full else "linked"
    task.log(f"create {kind} clone of mountpoint {mount.key} ({mount.volid})")
    if not job.is_full:
        yield _STEP_S
        return call.cluster.storages.clone_base(call.node, mount.volid, job.guest.vmid)
    return (yield from copy_mount(call, job.guest.vmid, mount, call.get("storage")))


def copy_mount(
    call: Call, vmid: int, mount: GuestVolume, storage: str | None
) -> Generator[float, None, Volume]:
    """A full copy of a volume on the same or another storage (LXC.pm copy_volume)."""
    storages = call.cluster.storages
    source = storages.get_volume(call.node, mount.volid)
    target = storages.get_usable(storage or source.storage, call.node)
    format_ = source.format if source.format in target.formats else target.formats[0]
    volume = storages.allocate_disk(call.node, target.name, vmid, source.size_bytes, format_)
    volume.used_bytes = max(volume.used_bytes, source.used_bytes)
    yield max(_STEP_S, source.used_bytes / _COPY_RATE)
    return volume


@routes.post(f"{_CT}/template")
def make_template(call: Call) -> None:
    """Turn the container into a template; there is no way back, and no task."""
    guest = get_guest(call)
    guest.check_lock()
    if guest.snapshots:
        raise die("unable to create template, because CT contains snapshots")
    if guest.is_template:
        raise die("you can't convert a template to a template")
    if guest.is_running:
        raise die("you can't convert a CT to template if the CT is running")
    for mount in list_volumes("lxc", guest.config):
        storage, name = call.cluster.storages.resolve(mount.volid)
        if not volume_has_feature(storage, name, "template"):
            raise die(f"Template feature for '{mount.volid}' is not available")
        base = call.cluster.storages.convert_to_base(call.node, mount.volid)
        line = format_volume(GuestVolume(mount.key, base.volid, mount.options))
        guest.config[mount.key] = line
    guest.config["template"] = 1


@routes.post(f"{_CT}/move_volume")
def move_volume(call: Call) -> str:
    """Copy a volume of a stopped container to another storage."""
    storage = call.get("storage")
    if storage is None:
        text = "both 'storage' and 'target-vmid' missing, either needs to be set"
        raise parameter_error({"storage": text})
    guest = get_guest(call)
    check_storage(call.node, str(storage))
    check(call, f"/storage/{storage}", "Datastore.AllocateSpace")
    guest.check_lock()
    check_digest(guest, call.get("digest"))
    mounts = {mount.key: mount for mount in list_volumes("lxc", guest.config)}
    mount = get_mount(mounts, str(call.params["volume"]))
    if guest.is_running:
        raise die("cannot move volumes of a running container")
    if mount.volid.partition(":")[0] == storage:
        raise die("you can't move a volume to the same storage")
    if call.get("delete") and is_in_use(guest, mount.volid, config={}):
        raise die("you can't move a volume with snapshots and delete the source")
    guest.config["lock"] = "disk"
    body = _moving(call, guest, mount, str(storage))
    subject = f"{guest.vmid}"
    return str(start_task(call.node, "move_volume", subject, call.identity.auth_id, body).upid)


def _moving(call: Call, guest: Guest, mount: GuestVolume, storage: str) -> Any:
    def body(_: Task) -> Steps:
        try:
            volume = yield from copy_mount(call, guest.vmid, mount, storage)
            options = {**mount.options, "size": size_text(volume.size_bytes)}
            line = format_volume(GuestVolume(mount.key, volume.volid, options))
            guest.config[mount.key] = line
            if call.get("delete"):
                call.cluster.storages.free(call.node, mount.volid)
            else:
                add_unused(guest.config, mount.volid)
        finally:
            guest.config.pop("lock", None)

    return body
