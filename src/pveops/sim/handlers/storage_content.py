"""Volumes on a node's storages: list, look, make, delete, prune."""

from __future__ import annotations

import re
from collections.abc import Callable, Generator
from typing import Any

from pveops.sim.call import Call
from pveops.sim.handlers.permission import check, may
from pveops.sim.prune import mark_backups, parse_keep
from pveops.sim.refusal import ApiError, die, parameter_error
from pveops.sim.router import Routes, Waiting
from pveops.sim.storage import Storage
from pveops.sim.tasks import Task, start_task
from pveops.sim.volume import FILE_TYPES, Volume, VolumeName, parse_name

routes = Routes()
_BASE = "/nodes/{node}/storage/{storage}"
_PARSE_TEXTS = {
    "lvm": "unable to parse lvm volume name '{}'",
    "lvmthin": "unable to parse lvm volume name '{}'",
    "zfspool": "unable to parse zfs volume name '{}'",
    "rbd": "unable to parse rbd volume name '{}'",
    "pbs": "unable to parse PBS volume name '{}'",
}


def resolve_volid(call: Call, volume: str) -> str:
    """A full volume id; a bare name lies on the storage of the path."""
    storage = call.get("storage")
    if ":" not in volume:
        return f"{storage}:{volume}"
    name = volume.partition(":")[0]
    if storage and name != storage:
        raise parameter_error({"volume": f"storage ID mismatch ({name} != {storage})\n"})
    return volume


def parse_volid(call: Call, volid: str) -> tuple[Storage, VolumeName]:
    """Storage and parts of the name; dies as the plugin's parse_volname does."""
    storage, name = call.cluster.storages.resolve(volid)
    parsed = parse_name(storage.type, name)
    if parsed is None:
        text = _PARSE_TEXTS.get(storage.type, "unable to parse directory volume name '{}'")
        raise die(text.format(name))
    return storage, parsed


def check_volume_access(call: Call, volid: str, owner: int | None = None) -> VolumeName:
    """PVE::Storage::check_volume_access: who may use a volume, by what it is."""
    storage, parsed = parse_volid(call, volid)
    path = f"/storage/{storage.name}"
    if may(call, path, "Datastore.Allocate"):
        return parsed
    if parsed.content in ("iso", "vztmpl", "import"):
        check(call, path, "Datastore.AllocateSpace", "Datastore.Audit")
    elif parsed.vmid is not None and parsed.vmid == owner:
        pass
    elif parsed.content == "backup" and parsed.vmid:
        check(call, path, "Datastore.AllocateSpace")
        check(call, f"/vms/{parsed.vmid}", "VM.Backup")
    elif parsed.content in ("images", "rootdir") and parsed.vmid:
        check(call, path, "Datastore.Audit")
        check(call, f"/vms/{parsed.vmid}", "VM.Config.Disk")
    else:
        raise die(f"missing privileges to access {volid}")
    return parsed


def _may_access(call: Call, volid: str) -> bool:
    try:
        check_volume_access(call, volid)
    except ApiError:
        return False
    return True


def content_of(call: Call, volume: Volume) -> str:
    """Disks belong to `rootdir` when their owner is a container now, else to `images`."""
    if volume.content not in ("images", "rootdir"):
        return volume.content
    guest = call.cluster.guests.get(volume.vmid or 0)
    return "rootdir" if guest is not None and guest.kind == "lxc" else "images"


def _row(call: Call, volume: Volume) -> dict[str, Any]:
    content = content_of(call, volume)
    row: dict[str, Any] = {
        "volid": volume.volid,
        "content": content,
        "format": volume.format,
        "size": volume.size_bytes,
        "ctime": volume.ctime,
    }
    if volume.vmid is not None:
        row["vmid"] = volume.vmid
    if content in ("images", "rootdir"):
        row |= _disk_members(call, volume)
    if volume.subtype:
        row["subtype"] = volume.subtype
    if volume.notes:
        row["notes"] = volume.notes.split("\n")[0]
    if volume.is_protected:
        row["protected"] = 1
    if volume.verification:
        upid = f"UPID:pbs:00000001:00000001:00000001:{volume.ctime:08X}:verificationjob::root@pam:"
        row["verification"] = {"state": volume.verification, "upid": upid}
    return row


def _disk_members(call: Call, volume: Volume) -> dict[str, Any]:
    if call.cluster.storages.get(volume.storage).type in FILE_TYPES:
        return {"used": volume.used_bytes, "parent": _parent_path(volume)}
    return {"parent": volume.parent} if volume.parent else {}


def _parent_path(volume: Volume) -> str | None:
    return f"../{volume.parent}" if volume.parent else None


@routes.get(f"{_BASE}/content")
def list_content(call: Call) -> list[dict[str, Any]]:
    """Volumes that the caller may access, without a word about the others."""
    storages = call.cluster.storages
    storage = storages.get_active(call.params["storage"], call.node)
    wanted = [call.params["content"]] if call.get("content") else storage.content
    vmid = call.get("vmid")
    rows = []
    for volume in storages.list_volumes(call.node, storage):
        content = content_of(call, volume)
        if content not in wanted or content not in storage.content:
            continue
        if vmid and (volume.vmid != vmid and content != "snippets"):
            continue
        if _may_access(call, volume.volid):
            rows.append(_row(call, volume))
    return rows


@routes.post(f"{_BASE}/content")
def allocate_volume(call: Call) -> str:
    """Make a disk by name, whoever it belongs to."""
    size = _size_bytes(str(call.params["size"]))
    name, format_ = call.params["filename"], call.get("format")
    extension = re.search(r"\.(raw|qcow2|vmdk)$", name)
    if extension:
        if format_ and format_ != extension[1]:
            text = f"different storage formats ({format_} != {extension[1]})"
            raise parameter_error({"format": text})
        format_ = extension[1]
    volume = call.cluster.storages.allocate_disk(
        call.node, call.params["storage"], call.params["vmid"], size, format_, file=name
    )
    return volume.volid


def _size_bytes(text: str) -> int:
    match = re.fullmatch(r"(\d+)([MG]?)", text)
    if match is None:
        raise parameter_error({"size": f"unable to parse size '{text}'"})
    return int(match[1]) << {"": 10, "M": 20, "G": 30}[match[2]]


@routes.get(f"{_BASE}/content/{{volume}}")
def get_volume(call: Call) -> dict[str, Any]:
    """Path, size and, of a backup, its notes."""
    volid = resolve_volid(call, call.params["volume"])
    check_volume_access(call, volid)
    storage, name = call.cluster.storages.resolve(volid)
    volume = call.cluster.storages.find_volume(call.node, volid)
    if volume is None:
        raise die(f"volume_size_info on '{volid}' failed - no format")
    is_file = volume.content not in ("images", "rootdir")
    if is_file and not volume.size_bytes:
        raise die(f"volume '{volid}' has size zero")
    row: dict[str, Any] = {
        "path": storage.path(name),
        "size": _rounded(volume.size_bytes, 512) if is_file else volume.size_bytes,
        "used": _rounded(volume.size_bytes, 4096) if is_file else volume.used_bytes,
        "format": "raw" if is_file and storage.type in FILE_TYPES else volume.format,
    }
    if volume.content == "backup":
        row |= {"notes": volume.notes or "", "protected": int(volume.is_protected)}
    return row


def _rounded(size_bytes: int, block_bytes: int) -> int:
    return -(-size_bytes // block_bytes) * block_bytes


@routes.put(f"{_BASE}/content/{{volume}}")
def update_volume(call: Call) -> None:
    """Notes and protection of a backup."""
    volid = resolve_volid(call, call.params["volume"])
    parsed = check_volume_access(call, volid)
    volume = call.cluster.storages.find_volume(call.node, volid)
    for name in ("notes", "protected"):
        if name in call.params and parsed.content != "backup":
            if name == "notes":
                raise die("only backups can have notes")
            raise die(f"only backups support attribute '{name}'")
    if volume is None:
        raise die(f"volume '{volid}' does not exist")
    if "notes" in call.params:
        volume.notes = call.params["notes"] or None
    if "protected" in call.params:
        volume.is_protected = bool(call.params["protected"])


@routes.delete(f"{_BASE}/content/{{volume}}")
def delete_volume(call: Call) -> Waiting:
    """Delete in a task; one that is not there ends well, with a warning in the log."""
    volid = resolve_volid(call, call.params["volume"])
    storage, parsed = parse_volid(call, volid)
    if parsed.content == "backup" and parsed.vmid:
        check(call, f"/storage/{storage.name}", "Datastore.AllocateSpace")
        check(call, f"/vms/{parsed.vmid}", "VM.Backup")
    else:
        check(call, f"/storage/{storage.name}", "Datastore.Allocate")
    owner = f"{parsed.vmid}@" if parsed.vmid is not None else ""
    task = start_task(
        call.node,
        "imgdel",
        owner + storage.name,
        call.identity.auth_id,
        _deletion(call, storage, volid),
    )
    waited = 0
    while task.is_running and waited < (call.get("delay") or 0):
        yield 1.0
        waited += 1
    if call.get("delay") and not task.is_running:
        if task.exitstatus not in ("OK",) and not str(task.exitstatus).startswith("WARNINGS"):
            raise die(str(task.exitstatus))
        return None
    return str(task.upid)


def _deletion(
    call: Call, storage: Storage, volid: str
) -> Callable[[Task], Generator[float, None, None]]:
    def body(task: Task) -> Generator[float, None, None]:
        yield 0.1
        if not call.cluster.storages.free(call.node, volid):
            path = storage.path(volid.partition(":")[2])
            task.log(f"disk image '{path}' does not exist")
        task.log(f"Removed volume '{volid}'")

    return body


@routes.get(f"{_BASE}/prunebackups")
def list_prunable(call: Call) -> list[dict[str, Any]]:
    """What pruning would keep and remove; touches nothing."""
    return [
        {name: value for name, value in row.items() if value is not None} for row in _marks(call)
    ]


@routes.delete(f"{_BASE}/prunebackups")
def prune(call: Call) -> str:
    """Remove what the retention does not cover."""
    storage, vmid = call.params["storage"], call.get("vmid")
    if vmid is None:
        check(call, f"/storage/{storage}", "Datastore.Allocate")
    else:
        check(call, f"/storage/{storage}", "Datastore.AllocateSpace")
        check(call, f"/vms/{vmid}", "VM.Backup")

    def body(task: Task) -> Generator[float, None, None]:
        yield 0.1
        for row in _marks(call):
            if row["mark"] == "remove":
                task.log(f"removing backup '{row['volid']}'")
                call.cluster.storages.free(call.node, row["volid"])

    subject = f"{vmid}@{storage}" if vmid is not None else storage
    return str(start_task(call.node, "prunebackups", subject, call.identity.auth_id, body).upid)


def _marks(call: Call) -> list[dict[str, Any]]:
    storages = call.cluster.storages
    storage = storages.get_active(call.params["storage"], call.node)
    keep = call.get("prune-backups") or storage.options.get("prune-backups") or "keep-all=1"
    vmid, kind = call.get("vmid"), call.get("type")
    backups = [
        volume
        for volume in storages.list_volumes(call.node, storage)
        if volume.content == "backup"
        and (vmid is None or volume.vmid == vmid)
        and (kind is None or volume.subtype == kind)
    ]
    return mark_backups(backups, parse_keep(str(keep)))
