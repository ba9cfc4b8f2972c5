"""PUT /nodes/{node}/lxc/{vmid}/config, resize and interfaces (API2/LXC.pm, LXC/Config.pm)."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

from pveops.sim.call import Call
from pveops.sim.config_change import (
    check_digest,
    queue_delete,
    queue_value,
    read_change,
    revert,
)
from pveops.sim.ct_options import AT_ONCE, check_options, is_net, prepared
from pveops.sim.ct_volumes import create_volume, get_mount, new_volume
from pveops.sim.destroy import check_protection
from pveops.sim.guest import (
    Guest,
    apply_pending,
    config_path,
    drop_option,
    release_flock,
    replace_option,
    wait_for_flock,
)
from pveops.sim.guest_volumes import (
    GuestVolume,
    format_volume,
    is_in_use,
    is_owned,
    is_unused_key,
    is_volume_key,
    list_volumes,
    parse_volume,
    size_text,
)
from pveops.sim.handlers.bridge_access import check_bridge_access
from pveops.sim.handlers.guests import get_guest
from pveops.sim.handlers.permission import check
from pveops.sim.membership import require_quorum
from pveops.sim.power import find_local
from pveops.sim.property_string import parse_properties
from pveops.sim.refusal import die
from pveops.sim.router import Routes, Waiting
from pveops.sim.tasks import Task, TaskError, start_task
from pveops.sim.vm_drives import to_bytes
from pveops.sim.volume import FILE_TYPES

routes = Routes()
_CT = "/nodes/{node}/lxc/{vmid}"
_WRITE_S = 0.2

Steps = Generator[float, None, None]


@routes.put(f"{_CT}/config")
def set_config(call: Call) -> Waiting:
    """Change at once; waits for the container's file lock, ten seconds at most."""
    change = read_change(call, "lxc")
    vmid = int(call.params["vmid"])
    check_options(call, vmid, change.keys)
    check_bridge_access(call, change.values)
    guest = get_guest(call)
    for key, value in change.values.items():
        _check_target(call, key, value)
    require_quorum(call.cluster, call.node, "guest", guest.config_path)
    yield from wait_for_flock(guest, None)
    guest.check_lock()
    check_digest(guest, call.get("digest"))
    revert(guest, change.reverts)
    for key in change.deletes:
        _delete(call, guest, key, force=change.is_forced)
    for key, value in sorted(change.values.items()):
        _set(call, guest, key, value)
    _take_effect(call, guest)


def _check_target(call: Call, key: str, value: Any) -> None:
    if not is_volume_key("lxc", key):
        return
    volume = parse_volume("lxc", key, str(value))
    fresh = new_volume(volume, "local")
    if fresh is not None:
        check(call, f"/storage/{fresh[0]}", "Datastore.AllocateSpace")
    elif volume.volid.startswith("/") and not call.identity.is_root:
        raise die("mount point type bind is only allowed for root@pam")


def _set(call: Call, guest: Guest, key: str, value: Any) -> None:
    if is_volume_key("lxc", key):
        if key in guest.config:
            before = parse_volume("lxc", key, str(guest.config[key]))
            after = parse_volume("lxc", key, str(value))
            if before.volid != after.volid:
                check_protection(guest, f"can't update CT {guest.vmid} drive '{key}'")
        line, _ = create_volume(
            call.node, guest.vmid, parse_volume("lxc", key, str(value)), "local"
        )
        volid = parse_volume("lxc", key, line).volid
        for name in [k for k, v in guest.config.items() if is_unused_key(k) and v == volid]:
            del guest.config[name]
        queue_value(guest, key, line)
        return
    written = prepared(key, value, call.node)
    if written == "":
        queue_delete(guest, key)
    else:
        queue_value(guest, key, written)


def _delete(call: Call, guest: Guest, key: str, *, force: bool) -> None:
    if key not in guest.config and key not in guest.pending:
        return
    if key in ("hostname", "memory", "rootfs"):
        raise die(f"unable to delete required option '{key}'")
    if is_unused_key(key):
        volid = str(guest.config[key])
        check_protection(guest, f"can't remove CT {guest.vmid} drive '{key}'")
        if is_owned(call.cluster.storages, guest, volid) and not is_in_use(guest, volid):
            call.cluster.storages.free(call.node, volid)
        del guest.config[key]
        return
    if is_volume_key("lxc", key):
        check_protection(guest, f"can't remove CT {guest.vmid} drive '{key}'")
    queue_delete(guest, key, force=force)


def _take_effect(call: Call, guest: Guest) -> None:
    """A stopped container takes everything; a running one what needs no restart."""
    if guest.process is None:
        apply_pending(call.cluster, guest)
        return
    for key, is_forced in list(guest.pending_deletes.items()):
        if key in AT_ONCE or is_net(key):
            del guest.pending_deletes[key]
            drop_option(call.cluster, guest, key, force=is_forced)
    for key, value in list(guest.pending.items()):
        is_new_mount = is_volume_key("lxc", key) and key not in guest.config
        if key in AT_ONCE or is_net(key) or is_new_mount:
            del guest.pending[key]
            replace_option(guest, key, value)


@routes.put(f"{_CT}/resize")
def resize(call: Call) -> str:
    """Grow a volume and the file system in it, in a task."""
    vmid = int(call.params["vmid"])
    guest = get_guest(call)
    guest.check_lock()
    check_digest(guest, call.get("digest"))

    def body(task: Task) -> Steps:
        path = config_path(call.node.name, "lxc", vmid)
        wording = f"Configuration file '{path}' does not exist"
        guest = find_local(call.cluster, call.node, "lxc", vmid, wording)
        yield from wait_for_flock(guest, task)
        try:
            yield from _resize(call, guest)
        finally:
            release_flock(guest, task)

    return str(start_task(call.node, "resize", vmid, call.identity.auth_id, body).upid)


def _resize(call: Call, guest: Guest) -> Steps:
    guest.check_lock()
    key, wanted = str(call.params["disk"]), str(call.params["size"])
    mount = get_mount({v.key: v for v in list_volumes("lxc", guest.config)}, key)
    storages = call.cluster.storages
    storage, _ = storages.resolve(mount.volid)
    check(call, f"/storage/{storage.name}", "Datastore.AllocateSpace")
    volume = storages.get_volume(call.node, mount.volid)
    if volume.format == "subvol" and storage.type in FILE_TYPES - {"btrfs"}:
        raise TaskError("can't resize this image format")
    size = to_bytes(wanted.removeprefix("+"))
    if wanted.startswith("+"):
        size += volume.size_bytes
    if size < volume.size_bytes:
        raise TaskError("unable to shrink disk size")
    if size == volume.size_bytes:
        raise TaskError("disk is already at specified size")
    yield _WRITE_S
    storages.resize(call.node, mount.volid, size)
    options = {**mount.options, "size": size_text(size)}
    guest.config[key] = format_volume(GuestVolume(key, mount.volid, options))


@routes.get(f"{_CT}/interfaces")
def list_interfaces(call: Call) -> list[dict[str, Any]] | None:
    """The network cards as seen inside; nothing of a stopped container."""
    guest = get_guest(call)
    if not guest.is_running:
        return None
    rows = [_interface("lo", "00:00:00:00:00:00")]
    for key in sorted(key for key in guest.config if is_net(key)):
        parts = parse_properties(str(guest.config[key]))
        row = _interface(parts.get("name", "eth0"), parts.get("hwaddr", "").lower())
        address = parts.get("ip", "")
        if address == "dhcp":
            address = f"192.0.2.{guest.vmid % 254 + 1}/24"
        if "/" in address:
            row["inet"] = address
            ip, _, prefix = address.partition("/")
            inet = {"ip-address": ip, "ip-address-type": "inet", "prefix": prefix}
            row["ip-addresses"] = [inet]
        rows.append(row)
    return rows


def _interface(name: str, address: str) -> dict[str, Any]:
    return {"name": name, "hwaddr": address, "hardware-address": address, "ip-addresses": []}
