"""Storage definitions: /storage, which is the file storage.cfg."""

from __future__ import annotations

import hashlib
from typing import Any

from pveops.sim.call import Call
from pveops.sim.config_file import lock_file
from pveops.sim.handlers.permission import may
from pveops.sim.refusal import ApiError, die
from pveops.sim.router import Routes, Waiting
from pveops.sim.storage import SHARED_TYPES, Storage
from pveops.sim.storage_types import DEFAULT_CONTENT, check_create, check_update, file_text

routes = Routes()
_LISTERS = ("Datastore.Audit", "Datastore.AllocateSpace")


def _digest(call: Call) -> str:
    return hashlib.sha1(call.cluster.storages.file_text.encode()).hexdigest()  # noqa: S324


def describe(call: Call, storage: Storage) -> dict[str, Any]:
    """A definition as GET shows it."""
    row = dict(storage.options)
    row.setdefault("content", DEFAULT_CONTENT.get(storage.type, "images"))
    if storage.type in SHARED_TYPES:
        row["shared"] = 1
    return row | {"storage": storage.name, "type": storage.type, "digest": _digest(call)}


def _write(call: Call) -> None:
    """What the file holds from now on; the built-in `local` becomes an entry like others."""
    storages = call.cluster.storages
    storages.file_text = file_text(
        {
            name: (storage.type, {k: v for k, v in storage.options.items() if k != "priority"})
            for name, storage in storages.definitions.items()
        }
    )
    if "local" in storages.definitions:
        storages.definitions["local"].options.pop("priority", None)


def _prefixed(text: str, error: ApiError) -> ApiError:
    return die(f"{text} failed: {error.message}")


@routes.get("/storage")
def list_definitions(call: Call) -> list[dict[str, Any]]:
    """Those that the caller may see."""
    wanted = call.get("type")
    return [
        describe(call, storage)
        for storage in call.cluster.storages.definitions.values()
        if (not wanted or storage.type == wanted)
        and may(call, f"/storage/{storage.name}", *_LISTERS)
    ]


@routes.get("/storage/{storage}")
def get_definition(call: Call) -> dict[str, Any]:
    """One definition."""
    return describe(call, call.cluster.storages.get(call.params["storage"]))


@routes.post("/storage")
def create_definition(call: Call) -> Waiting:
    """Add an entry; what can be activated is activated to find mistakes early."""
    options = dict(call.params)
    name, type_ = options.pop("storage"), options.pop("type")
    if not options.get("nodes"):
        options.pop("nodes", None)
    stored = check_create(type_, options)
    yield from lock_file(call.receiver, "storage.cfg", "create storage failed")
    storages = call.cluster.storages
    if name in storages.definitions:
        raise die(f"create storage failed: storage ID '{name}' already defined")
    stored.setdefault("content", DEFAULT_CONTENT.get(type_, "images"))
    storages.define(name, type_, stored)
    try:
        storage = storages.definitions[name]
        if storage.is_for(call.receiver.name) and not storage.is_disabled:
            storages.get_active(name, call.receiver)
    except ApiError as error:
        storages.remove(name)
        raise _prefixed("create storage", error) from error
    _write(call)
    return {"storage": name, "type": type_}


@routes.put("/storage/{storage}")
def update_definition(call: Call) -> Waiting:
    """Change or delete options of an entry."""
    options = dict(call.params)
    name, digest = options.pop("storage"), options.pop("digest", None)
    delete = str(options.pop("delete", "")).replace(";", ",").replace(" ", ",").split(",")
    yield from lock_file(call.receiver, "storage.cfg", "update storage failed")
    try:
        if digest and digest != _digest(call):
            raise die("detected modified configuration - file changed by other user? Try again.")
        storage = call.cluster.storages.get(name)
        stored = check_update(storage.type, options, [key for key in delete if key])
    except ApiError as error:
        raise _prefixed("update storage", error) from error
    for key in delete:
        storage.options.pop(key, None)
    storage.options.update(stored)
    storage.options.setdefault("content", DEFAULT_CONTENT.get(storage.type, "images"))
    _write(call)
    return {"storage": name, "type": storage.type}


@routes.delete("/storage/{storage}")
def delete_definition(call: Call) -> Waiting:
    """Drop an entry; `local` comes back by itself, as the built-in one."""
    yield from lock_file(call.receiver, "storage.cfg", "delete storage failed")
    try:
        call.cluster.storages.remove(call.params["storage"])
    except ApiError as error:
        raise _prefixed("delete storage", error) from error
    define_local(call.cluster.storages.definitions)
    _write(call)


def define_local(definitions: dict[str, Storage]) -> None:
    """PVE::Storage::Plugin::parse_config: there is always a `local`."""
    if "local" not in definitions:
        options = {
            "path": "/var/lib/vz",
            "content": "backup,images,iso,rootdir,snippets,vztmpl",
            "prune-backups": "keep-all=1",
            "priority": 0,
        }
        definitions["local"] = Storage("local", "dir", options)
