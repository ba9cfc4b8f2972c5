"""PUT and POST /nodes/{node}/qemu/{vmid}/config, and unlink (API2/Qemu.pm update_vm_api)."""

from __future__ import annotations

from collections.abc import Generator, Mapping
from typing import Any

from pveops.sim.call import Call
from pveops.sim.config_change import (
    Change,
    check_digest,
    queue_delete,
    queue_value,
    read_change,
    revert,
)
from pveops.sim.cpu_models import check_cpu_model
from pveops.sim.destroy import check_protection
from pveops.sim.guest import Guest, release_flock, wait_for_flock
from pveops.sim.guest_volumes import (
    add_unused,
    is_in_use,
    is_owned,
    is_unused_key,
    is_volume_key,
    parse_volume,
)
from pveops.sim.handlers.bridge_access import check_bridge_access
from pveops.sim.handlers.guests import get_guest
from pveops.sim.handlers.permission import check
from pveops.sim.handlers.vm_permissions import (
    check_drive_option,
    check_options,
    check_removal,
    check_storage_access,
)
from pveops.sim.hotplug import take_effect
from pveops.sim.membership import require_quorum
from pveops.sim.refusal import die, parameter_error
from pveops.sim.router import Routes, Waiting
from pveops.sim.tasks import Task, TaskError, start_task
from pveops.sim.vm_drives import Log, create_drive, is_cloudinit
from pveops.sim.vm_options import boot_devices, format_boot, prepared

routes = Routes()
_VM = "/nodes/{node}/qemu/{vmid}"
_WRITE_S = 0.2


def check_contents(call: Call, values: Mapping[str, Any]) -> None:
    """What the schema cannot tell about values: whether what they name is there."""
    if values.get("cpu"):
        check_cpu_model(str(values["cpu"]))
    script = values.get("hookscript")
    if script and call.cluster.storages.find_volume(call.node, str(script)) is None:
        raise parameter_error({"hookscript": f"script '{script}' does not exist\n"})


def _begin(call: Call) -> tuple[Guest, Change]:
    """Everything that is refused before the file is locked."""
    if call.get("skiplock") is not None and not call.identity.is_root:
        raise parameter_error({"skiplock": "Only root may use this option."})
    change = read_change(call, "qemu")
    vmid = int(call.params["vmid"])
    check_contents(call, change.values)
    check_options(call, vmid, None, change.keys)
    check_storage_access(call, vmid, change.values)
    check_bridge_access(call, change.values)
    guest = get_guest(call)
    require_quorum(call.cluster, call.node, "guest", guest.config_path)
    return guest, change


def _check_state(call: Call, guest: Guest) -> None:
    check_digest(guest, call.get("digest"))
    drops_state = guest.lock == "suspended" and "vmstate" in str(call.get("delete") or "")
    if not call.get("skiplock") and not drops_state:
        guest.check_lock()


@routes.put(f"{_VM}/config")
def set_config(call: Call) -> Waiting:
    """Change at once; waits for the guest's file lock, ten seconds at most."""
    guest, change = _begin(call)
    yield from wait_for_flock(guest, None)
    _check_state(call, guest)
    apply_change(call, guest, change, lambda *_: None)


@routes.post(f"{_VM}/config")
def start_config_change(call: Call) -> Waiting:
    """Change in a task."""
    guest, change = _begin(call)
    yield from wait_for_flock(guest, None)
    _check_state(call, guest)
    words = _words(call)

    def body(task: Task) -> Generator[float, None, None]:
        yield from wait_for_flock(guest, task)
        try:
            task.log(f"update VM {guest.vmid}: {words}")
            yield _WRITE_S
            errors = queue_change(call, guest, change, task.log)
        finally:
            release_flock(guest, task)
        if errors:
            text = "".join(f"{key}: {value}" for key, value in errors.items())
            raise TaskError(f"Parameter verification failed.\n{text}")

    task = start_task(call.node, "qmconfig", guest.vmid, call.identity.auth_id, body)
    for _ in range(int(call.get("background_delay") or 0)):
        if not task.is_running:
            break
        yield 1.0
    if task.is_running or not call.get("background_delay"):
        return str(task.upid)
    if task.exitstatus != "OK":
        raise die(str(task.exitstatus))
    return None


def _words(call: Call) -> str:
    """The request as its task writes it down."""
    words = []
    for key, value in sorted(call.params.items()):
        if key not in ("node", "vmid", "digest", "background_delay"):
            words += [f"-{key}", "<hidden>" if key == "cipassword" else str(value)]
    return " ".join(words)


@routes.put(f"{_VM}/unlink")
def unlink(call: Call) -> Waiting:
    """Take disks out, or destroy them with `force`."""
    ids, force = call.params.pop("idlist"), call.params.pop("force", None)
    call.params["delete"] = ids
    if force is not None:
        call.params["force"] = force
    return set_config(call)


def apply_change(call: Call, guest: Guest, change: Change, log: Log) -> None:
    """Write the change; 400 with what a running VM refuses."""
    errors = queue_change(call, guest, change, log)
    if errors:
        raise parameter_error(errors)


def queue_change(call: Call, guest: Guest, change: Change, log: Log) -> dict[str, str]:
    """Write the change as pending, then let what can take effect; what cannot, by key."""
    for key, value in revert(guest, change.reverts).items():
        _forget_pending_volume(guest, key, str(value))
    for key in change.deletes:
        _delete(call, guest, key, force=change.is_forced)
    for key, value in sorted(change.values.items()):
        _set(call, guest, key, value, log)
    return take_effect(call.cluster, guest)


def _forget_pending_volume(guest: Guest, key: str, value: str) -> None:
    if not is_volume_key("qemu", key):
        return
    volume = parse_volume("qemu", key, value)
    if volume.is_on_storage and not volume.is_cdrom and not is_in_use(guest, volume.volid):
        add_unused(guest.config, volume.volid)


def _delete(call: Call, guest: Guest, key: str, *, force: bool) -> None:
    if key not in guest.config and key not in guest.pending:
        return
    check_removal(call, guest.vmid, key)
    if is_unused_key(key):
        _destroy_unused(call, guest, key)
        return
    if is_volume_key("qemu", key):
        check_protection(guest, f"can't remove drive '{key}'")
    if key in guest.pending:
        _forget_pending_volume(guest, key, str(guest.pending[key]))
    queue_delete(guest, key, force=force)
    devices = boot_devices({**guest.config, **guest.pending})
    if key in devices:
        devices.remove(key)
        queue_value(guest, "boot", format_boot(devices))


def _destroy_unused(call: Call, guest: Guest, key: str) -> None:
    volid = str(guest.config[key])
    check_protection(guest, f"can't remove unused disk '{volid}'")
    storages = call.cluster.storages
    if is_owned(storages, guest, volid):
        if is_in_use(guest, volid):
            raise die(f"unable to delete '{volid}' - volume is still in use (snapshot?)")
        check(call, f"/storage/{volid.partition(':')[0]}", "Datastore.AllocateSpace")
        storages.free(call.node, volid)
    del guest.config[key]


def _set(call: Call, guest: Guest, key: str, value: Any, log: Log) -> None:
    if is_volume_key("qemu", key):
        _set_drive(call, guest, key, str(value), log)
        return
    if is_unused_key(key):
        guest.config[key] = value
        return
    value = prepared(key, value, call.node)
    if value == "" or (key == "tags" and not value):
        queue_delete(guest, key)
    else:
        queue_value(guest, key, value)


def _set_drive(call: Call, guest: Guest, key: str, value: str, log: Log) -> None:
    drive = parse_volume("qemu", key, value)
    check_drive_option(call, guest.vmid, drive)
    if key in guest.config:
        before = parse_volume("qemu", key, str(guest.config[key]))
        if before.volid != drive.volid and not before.is_cdrom:
            check_protection(guest, f"can't remove drive '{key}'")
    line, _ = create_drive(log, call.node, guest.vmid, drive)
    stored = parse_volume("qemu", key, line)
    if stored.is_on_storage:
        _take_from_unused(guest, stored.volid)
    queue_value(guest, key, line)
    devices = boot_devices({**guest.config, **guest.pending})
    if devices and stored.is_cdrom and not is_cloudinit(stored) and key not in devices:
        # A new CD drive can be booted from, as it was with the boot order of old.
        queue_value(guest, "boot", format_boot([*devices, key]))


def _take_from_unused(guest: Guest, volid: str) -> None:
    for key in [k for k, v in guest.config.items() if is_unused_key(k) and v == volid]:
        del guest.config[key]
