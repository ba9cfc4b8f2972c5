"""Storages as one node sees them: /nodes/{node}/storage and their status."""

from __future__ import annotations

from typing import Any

from pveops.sim.call import Call
from pveops.sim.handlers.permission import may
from pveops.sim.refusal import parameter_error
from pveops.sim.router import Routes
from pveops.sim.storage import Storage

routes = Routes()


def status_row(call: Call, storage: Storage) -> dict[str, Any]:
    """Type, content and space of a storage on the node (PVE::Storage::storage_info)."""
    storages = call.cluster.storages
    is_enabled = storage.is_for(call.node.name) and not storage.is_disabled
    usage = storages.usage(storage, call.node)
    return {
        "type": storage.type,
        "content": ",".join(storage.content),
        "shared": int(storage.is_shared),
        "enabled": int(is_enabled),
        "active": int(storages.is_active(storage, call.node)),
        "total": usage.total,
        "used": usage.used,
        "avail": usage.avail,
    }


def _formats(storage: Storage) -> dict[str, Any]:
    """What `format=1` adds."""
    default = storage.formats[0]
    known = ("qcow2", "raw", "subvol", "vmdk")
    return {
        "formats": {"supported": sorted(storage.formats), "default": default},
        "format": [{name: int(name in storage.formats) for name in known}, default],
    }


def _is_listed(call: Call, storage: Storage) -> bool:
    wanted = [part for part in str(call.get("content") or "").split(",") if part]
    is_enabled = storage.is_for(call.node.name) and not storage.is_disabled
    if wanted and not (is_enabled and set(wanted) & set(storage.content)):
        return False
    if call.get("enabled") and storage.is_disabled:
        return False
    target = call.get("target")
    if target and target not in (call.node.name, "localhost"):
        both = storage.is_for(call.node.name) and storage.is_for(target)
        return storage.is_shared and both
    return True


@routes.get("/nodes/{node}/storage")
def list_storages(call: Call) -> list[dict[str, Any]]:
    """Those that the caller may see, filtered."""
    wanted = call.get("storage")
    definitions = call.cluster.storages.definitions
    if wanted and (wanted not in definitions or not _is_listed(call, definitions[wanted])):
        raise parameter_error({"storage": "No such storage."})
    rows = []
    for storage in definitions.values():
        privileges = ("Datastore.Audit", "Datastore.AllocateSpace")
        if (wanted and storage.name != wanted) or not _is_listed(call, storage):
            continue
        if not may(call, f"/storage/{storage.name}", *privileges):
            continue
        row = status_row(call, storage) | {"storage": storage.name}
        if row["total"]:
            row["used_fraction"] = row["used"] / row["total"]
        if call.get("format"):
            row |= _formats(storage)
        rows.append(row)
    return rows


@routes.get("/nodes/{node}/storage/{storage}/status")
def get_status(call: Call) -> dict[str, Any]:
    """Space and state of one storage."""
    storage = call.cluster.storages.definitions.get(call.params["storage"])
    if storage is None:
        raise parameter_error({"storage": "No such storage."})
    return status_row(call, storage)
