"""POST /nodes/{node}/qemu: a new VM, or one out of a backup (API2/Qemu.pm create_vm)."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

from pveops.sim import power
from pveops.sim.call import Call
from pveops.sim.config_change import cdrom_drive
from pveops.sim.guest import Guest
from pveops.sim.guest_volumes import is_volume_key, parse_volume
from pveops.sim.ha import Resource, add_resource
from pveops.sim.handlers.bridge_access import check_bridge_access
from pveops.sim.handlers.permission import may
from pveops.sim.handlers.restores import start_vm_restore
from pveops.sim.handlers.vm_config import check_contents
from pveops.sim.handlers.vm_permissions import check_options, check_storage_access
from pveops.sim.membership import require_quorum
from pveops.sim.refusal import ApiError, die, permission_error
from pveops.sim.router import Routes
from pveops.sim.tasks import AbortedError, Task, TaskError, start_task
from pveops.sim.vm_drives import create_drive
from pveops.sim.vm_options import add_defaults, prepared
from pveops.sim.volume import Volume

routes = Routes()
_REQUEST = (
    "node vmid archive storage force unique pool bwlimit start live-restore ha-managed "
    "import-working-storage"
)
_OF_THE_REQUEST = frozenset(_REQUEST.split())
_CREATE_S = 0.3


@routes.post("/nodes/{node}/qemu")
def create_vm(call: Call) -> str:
    """Check everything, take the id, and let a task make the disks."""
    vmid = int(call.params["vmid"])
    require_quorum(call.cluster, call.node)
    _check_permissions(call, vmid)
    if call.get("archive"):
        return start_vm_restore(call)
    options = {k: v for k, v in call.params.items() if k not in _OF_THE_REQUEST}
    if options.pop("cdrom", None):
        options["ide2"] = cdrom_drive(call, options)
    check_storage_access(call, vmid, options, call.get("storage"))
    check_options(call, vmid, call.get("pool"), options)
    check_bridge_access(call, options)
    check_contents(call, options)
    guest = _take_id(call, vmid)
    if call.get("pool"):
        call.cluster.pools.get(call.params["pool"]).vmids.add(vmid)
    body = _creation(call, guest, options)
    return str(start_task(call.node, "qmcreate", vmid, call.identity.auth_id, body).upid)


def _check_permissions(call: Call, vmid: int) -> None:
    pool, storage = call.get("pool"), call.get("storage")
    if pool is not None and pool not in call.cluster.pools.by_id:
        raise ApiError(403, f"Permission check failed (pool '{pool}' does not exist)")
    if storage is not None and not may(call, f"/storage/{storage}", "Datastore.AllocateSpace"):
        raise permission_error(f"/storage/{storage}", "Datastore.AllocateSpace")
    may_allocate = may(call, f"/vms/{vmid}", "VM.Allocate")
    if not may_allocate and pool is not None:
        may_allocate = may(call, f"/pool/{pool}", "VM.Allocate")
    is_overwriting = call.get("archive") and call.get("force") and vmid in call.cluster.guests
    if not may_allocate and not (is_overwriting and may(call, f"/vms/{vmid}", "VM.Backup")):
        raise ApiError(403, "Permission check failed")
    if call.get("ha-managed") and not may(call, "/", "Sys.Console"):
        raise permission_error("/", "Sys.Console")


def _take_id(call: Call, vmid: int) -> Guest:
    """The id is taken from now on, by a configuration that holds a lock alone."""
    existing = call.cluster.guests.get(vmid)
    if existing is not None:
        raise die(
            f"unable to create VM {vmid} - {existing.noun} {vmid} already exists "
            f"on node '{existing.node}'"
        )
    guest = call.cluster.guests[vmid] = Guest(
        vmid, "qemu", call.node.name, {"lock": "create"}, created_at=call.cluster.timeline.now()
    )
    if any("import-from=" in str(value) for value in call.params.values()):
        guest.temper.agent = "answers"
    else:
        # Empty disks hold no system that would answer the power button.
        guest.temper.shutdown_s = None
    return guest


def _creation(call: Call, guest: Guest, options: dict[str, Any]) -> Any:
    def body(task: Task) -> Generator[float, None, None]:
        made: list[Volume] = []
        try:
            config = yield from _make(task, call, guest, options, made)
        except (ApiError, TaskError) as error:
            _give_up(call, guest, made)
            text = error.message if isinstance(error, ApiError) else str(error)
            raise TaskError(f"unable to create VM {guest.vmid} - {text}") from error
        except AbortedError:
            _give_up(call, guest, made)
            raise
        guest.config = config
        if call.get("ha-managed"):
            add_resource(call.cluster, Resource(f"vm:{guest.vmid}"))
        if call.get("start"):
            task.log("Execute autostart")
            start = power.start(call.node, "qemu", guest.vmid)
            start_task(call.node, "qmstart", guest.vmid, task.upid.user, start)

    return body


def _make(
    task: Task, call: Call, guest: Guest, options: dict[str, Any], made: list[Volume]
) -> Generator[float, None, dict[str, Any]]:
    config: dict[str, Any] = {}
    for key in sorted(options):
        value = options[key]
        if is_volume_key("qemu", key):
            drive = parse_volume("qemu", key, str(value))
            value, volume = create_drive(
                task.log, call.node, guest.vmid, drive, call.get("storage")
            )
            if volume is not None:
                made.append(volume)
                yield _CREATE_S
        elif value != "":
            value = prepared(key, value, call.node, is_new=True)
        config[key] = value
    yield _CREATE_S
    add_defaults(config, call.node)
    return {key: value for key, value in config.items() if value != ""}


def _give_up(call: Call, guest: Guest, made: list[Volume]) -> None:
    """Nothing stays of a VM that could not be made."""
    for volume in made:
        call.cluster.storages.free(call.node, volume.volid)
    call.cluster.guests.pop(guest.vmid, None)
    call.cluster.pools.forget_guest(guest.vmid)
