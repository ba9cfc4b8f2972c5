"""POST /nodes/{node}/lxc: a new container, or one out of a backup (API2/LXC.pm create_vm)."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

from pveops.sim import power
from pveops.sim.call import Call
from pveops.sim.ct_options import check_options, prepared
from pveops.sim.ct_volumes import DEFAULT_SIZE_GIB, check_storage, create_volume, new_volume
from pveops.sim.guest import Guest, Temper
from pveops.sim.guest_volumes import is_volume_key, parse_volume
from pveops.sim.ha import Resource, add_resource
from pveops.sim.handlers.bridge_access import check_bridge_access
from pveops.sim.handlers.permission import check, may
from pveops.sim.handlers.restores import start_ct_restore
from pveops.sim.handlers.storage_content import check_volume_access
from pveops.sim.membership import require_quorum
from pveops.sim.refusal import ApiError, die, parameter_error, permission_error
from pveops.sim.router import Routes
from pveops.sim.tasks import AbortedError, Task, TaskError, start_task
from pveops.sim.volume import Volume

routes = Routes()
_REQUEST = (
    "node vmid ostemplate storage force restore unique pool bwlimit start ha-managed "
    "ignore-unpack-errors password ssh-public-keys"
)
_OF_THE_REQUEST = frozenset(_REQUEST.split())
_EXTRACT_RATE = 120 << 20
"""Bytes a second."""
_SYSTEMS = ("debian", "devuan", "ubuntu", "centos", "fedora", "opensuse", "archlinux", "alpine")
_UNPACKED = 2_048_000
"""How large the smallest system is once it is unpacked, in bytes."""


@routes.post("/nodes/{node}/lxc")
def create_container(call: Call) -> str:
    """Check everything, take the id, and let a task unpack the template."""
    vmid, template = int(call.params["vmid"]), str(call.params["ostemplate"])
    require_quorum(call.cluster, call.node)
    _check_permissions(call, vmid)
    if call.get("restore"):
        return start_ct_restore(call)
    if call.get("unique"):
        raise parameter_error({"unique": "option 'unique' needs option 'restore'"})
    if not call.get("unprivileged", 1):
        check(call, "/", "Sys.Modify")
    options = {k: v for k, v in call.params.items() if k not in _OF_THE_REQUEST}
    check_options(call, vmid, options, pool=call.get("pool"))
    _check_volumes(call, options)
    check_bridge_access(call, options)
    check_volume_access(call, template, vmid)
    guest = _take_id(call, vmid)
    if call.get("pool"):
        call.cluster.pools.get(call.params["pool"]).vmids.add(vmid)
    body = _creation(call, guest, template, options)
    return str(start_task(call.node, "vzcreate", vmid, call.identity.auth_id, body).upid)


def _check_permissions(call: Call, vmid: int) -> None:
    pool = call.get("pool")
    if pool is not None and pool not in call.cluster.pools.by_id:
        raise ApiError(403, f"Permission check failed (pool '{pool}' does not exist)")
    may_allocate = may(call, f"/vms/{vmid}", "VM.Allocate")
    if not may_allocate and pool is not None:
        may_allocate = may(call, f"/pool/{pool}", "VM.Allocate")
    replaces = call.get("restore") and call.get("force") and vmid in call.cluster.guests
    if not may_allocate and not (replaces and may(call, f"/vms/{vmid}", "VM.Backup")):
        raise ApiError(403, "Permission check failed")
    if call.get("ha-managed") and not may(call, "/", "Sys.Console"):
        raise permission_error("/", "Sys.Console")


def _storage_of(call: Call) -> str:
    return str(call.get("storage") or "local")


def _check_volumes(call: Call, options: dict[str, Any]) -> None:
    volumes = [
        parse_volume("lxc", k, str(v)) for k, v in options.items() if is_volume_key("lxc", k)
    ]
    if volumes and "rootfs" not in options:
        raise die("mount points configured, but 'rootfs' not set - aborting")
    names = set()
    for volume in volumes:
        fresh = new_volume(volume, _storage_of(call))
        if fresh is not None:
            names.add(fresh[0])
        elif not volume.is_on_storage and not call.identity.is_root:
            raise permission_error("/", "root@pam")
    for name in names or {_storage_of(call)}:
        check_storage(call.node, name)
        check(call, f"/storage/{name}", "Datastore.AllocateSpace")


def _take_id(call: Call, vmid: int) -> Guest:
    existing = call.cluster.guests.get(vmid)
    if existing is not None:
        raise die(f"{existing.noun} {vmid} already exists on node '{existing.node}'")
    temper = Temper(boot_s=1, shutdown_s=1.0)
    guest = Guest(
        vmid,
        "lxc",
        call.node.name,
        {"lock": "create"},
        temper=temper,
        created_at=call.cluster.timeline.now(),
    )
    call.cluster.guests[vmid] = guest
    return guest


def _creation(call: Call, guest: Guest, template: str, options: dict[str, Any]) -> Any:
    def body(task: Task) -> Generator[float, None, None]:
        made: list[Volume] = []
        try:
            config = yield from _make(task, call, guest, template, options, made)
        except (ApiError, TaskError) as error:
            _give_up(call, guest, made)
            text = error.message if isinstance(error, ApiError) else str(error)
            raise TaskError(f"unable to create CT {guest.vmid} - {text}") from error
        except AbortedError:
            _give_up(call, guest, made)
            raise
        guest.config = config
        if call.get("ha-managed"):
            add_resource(call.cluster, Resource(f"ct:{guest.vmid}"))
        if call.get("start"):
            start = power.start(call.node, "lxc", guest.vmid)
            start_task(call.node, "vzstart", guest.vmid, task.upid.user, start)

    return body


def _make(
    task: Task,
    call: Call,
    guest: Guest,
    template: str,
    options: dict[str, Any],
    made: list[Volume],
) -> Generator[float, None, dict[str, Any]]:
    node, config = call.node, _defaults(call)
    lines = {"rootfs": f"{_storage_of(call)}:{DEFAULT_SIZE_GIB}", **options}
    for key in sorted(lines):
        value = lines[key]
        if is_volume_key("lxc", key):
            volume = parse_volume("lxc", key, str(value))
            value, new = create_volume(node, guest.vmid, volume, _storage_of(call))
            if new is not None:
                made.append(new)
        elif value != "":
            value = prepared(key, value, node)
        config[key] = value
    yield from _extract(task, call, template, config, made)
    if not config.get("unprivileged"):
        config.pop("unprivileged", None)
    return {key: value for key, value in config.items() if value != ""}


def _defaults(call: Call) -> dict[str, Any]:
    vmid = call.params["vmid"]
    return {"hostname": f"CT{vmid}", "memory": 512, "swap": 512, "unprivileged": 1}


def _extract(
    task: Task, call: Call, template: str, config: dict[str, Any], made: list[Volume]
) -> Generator[float, None, None]:
    storages = call.cluster.storages
    archive = storages.find_volume(call.node, template)
    if archive is None:
        raise TaskError(f"volume '{template}' does not exist")
    storage, name = storages.resolve(template)
    task.log(f"extracting archive '{storage.path(name)}'")
    size = max(_UNPACKED, 2 * archive.size_bytes)
    size -= size % 10_240
    if made:
        made[-1].used_bytes = max(made[-1].used_bytes, size)
    yield max(0.2, size / _EXTRACT_RATE)
    shown = f"{size / (1 << 20):.1f}MiB"
    task.log(f"Total bytes read: {size} ({shown}, 120MiB/s)")
    task.log("Detected container architecture: amd64")
    file = name.rpartition("/")[2]
    config.setdefault("ostype", next((s for s in _SYSTEMS if s in file), "unmanaged"))
    config.setdefault("arch", "amd64")


def _give_up(call: Call, guest: Guest, made: list[Volume]) -> None:
    """Nothing stays of a container that could not be made."""
    for volume in made:
        call.cluster.storages.free(call.node, volume.volid)
    call.cluster.guests.pop(guest.vmid, None)
    call.cluster.pools.forget_guest(guest.vmid)
