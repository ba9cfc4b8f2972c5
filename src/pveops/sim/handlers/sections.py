"""Metric servers, mappings and SDN objects: files of named entries."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

from pveops.sim.call import Call
from pveops.sim.config_file import lock_file
from pveops.sim.handlers.permission import may
from pveops.sim.property_string import parse_properties
from pveops.sim.refusal import die, parameter_error
from pveops.sim.router import Routes, Waiting
from pveops.sim.sections import KINDS, Sections

routes = Routes()
_PROTOCOL_ONLY = ("delete", "digest", "lock-token", "pending", "running", "check-node")


def _values(call: Call, sections: Sections) -> dict[str, Any]:
    names = (sections.kind.key, "node", *_PROTOCOL_ONLY)
    return {name: value for name, value in call.params.items() if name not in names}


def _delete_names(call: Call) -> list[str]:
    delete = call.get("delete") or ""
    names = delete if isinstance(delete, list) else str(delete).replace(";", ",").split(",")
    return [name for name in names if name]


class _File(ABC):
    """One file: its five methods. What a kind needs beyond that, it overrides."""

    name = ""
    acl: str | None = None
    """Under which path a list is filtered; None: not at all."""
    privileges: tuple[str, ...] = ()

    def __init__(self, name: str, path: str) -> None:
        self.name = name
        key = f"{path}/{{{KINDS[name].key}}}"
        routes.get(path)(self.list_entries)
        routes.post(self.create_path(path, key))(self.create_entry)
        routes.get(key)(self.get_entry)
        routes.put(key)(self.update_entry)
        routes.delete(key)(self.delete_entry)

    def create_path(self, path: str, key: str) -> str:
        """Where an entry is created: at the list, its name among the parameters."""
        del key
        return path

    @abstractmethod
    def describe(self, call: Call, sections: Sections, name: str) -> dict[str, Any]:
        """An entry as GET shows it."""

    def check(self, call: Call, values: dict[str, Any]) -> None:
        """Refuse values that the schema lets through."""
        del call, values

    def check_delete(self, call: Call, name: str) -> None:
        """Refuse to delete what is in use."""
        del call, name

    def list_entries(self, call: Call) -> list[dict[str, Any]]:
        """The entries that the caller may see."""
        sections = call.cluster.sections[self.name]
        return [
            self.describe(call, sections, entry)
            for entry, values in sections.entries.items()
            if call.get("type") in (None, values.get("type"))
            and (self.acl is None or may(call, f"{self.acl}/{entry}", *self.privileges))
        ]

    def get_entry(self, call: Call) -> dict[str, Any]:
        """One entry."""
        sections = call.cluster.sections[self.name]
        name = call.params[sections.kind.key]
        sections.get(name)
        return self.describe(call, sections, name)

    def create_entry(self, call: Call) -> Waiting:
        """Add an entry."""
        sections = call.cluster.sections[self.name]
        values = _values(call, sections)
        self.check(call, values)
        yield from lock_file(call.receiver, sections.kind.file)
        sections.create(call.params[sections.kind.key], values)

    def update_entry(self, call: Call) -> Waiting:
        """Change an entry."""
        sections = call.cluster.sections[self.name]
        name, values = call.params[sections.kind.key], _values(call, sections)
        yield from lock_file(call.receiver, sections.kind.file)
        sections.update(name, values, _delete_names(call), call.get("digest"))

    def delete_entry(self, call: Call) -> Waiting:
        """Drop an entry; one that is not there is no mistake but in SDN."""
        sections = call.cluster.sections[self.name]
        yield from lock_file(call.receiver, sections.kind.file)
        name = call.params[sections.kind.key]
        self.check_delete(call, name)
        sections.entries.pop(name, None)


class _MetricServers(_File):
    def create_path(self, path: str, key: str) -> str:
        del path
        return key

    def describe(self, call: Call, sections: Sections, name: str) -> dict[str, Any]:
        values = {"disable": 0, **sections.entries[name]}
        return values | ({} if "{id}" in call.template else {"id": name})


class _Mappings(_File):
    privileges = ("Mapping.Modify", "Mapping.Use", "Mapping.Audit")

    def __init__(self, name: str, path: str) -> None:
        self.acl = f"/mapping/{name}"
        super().__init__(name, path)

    def describe(self, call: Call, sections: Sections, name: str) -> dict[str, Any]:
        row = {**sections.entries[name], "type": self.name, "digest": sections.digest}
        if "{id}" in call.template:
            return row
        row["id"] = name
        if call.get("check-node"):
            row["checks"] = _checks(call, row)
        return row

    def check(self, call: Call, values: dict[str, Any]) -> None:
        """assert_valid_map_list: one entry for a node at most."""
        del call
        seen: set[str] = set()
        for entry in values.get("map") or []:
            node = parse_properties(str(entry)).get("node", "")
            if node in seen:
                raise die(f"node '{node}' is specified multiple times")
            seen.add(node)


class _SdnObjects(_File):
    privileges = ("SDN.Audit", "SDN.Allocate")

    def __init__(self, name: str, path: str) -> None:
        self.acl = "/sdn/zones" if name == "vnets" else f"/sdn/{name}"
        super().__init__(name, path)

    def describe(self, call: Call, sections: Sections, name: str) -> dict[str, Any]:
        """With `pending`, everything that was not applied yet stands below `pending`."""
        values, key = dict(sections.entries[name]), sections.kind.key
        if key == "vnet":
            values["type"] = "vnet"
        if not call.get("pending"):
            return {**values, key: name, "digest": sections.digest}
        kind = values.pop("type")
        return {key: name, "type": kind, "state": "new", "pending": values, "digest": None}

    def check(self, call: Call, values: dict[str, Any]) -> None:
        zones = call.cluster.sections["zones"].entries
        if self.name == "vnets" and values.get("zone") not in zones:
            raise die(f"create sdn vnet object failed: unknown zone '{values.get('zone')}'")

    def check_delete(self, call: Call, name: str) -> None:
        call.cluster.sections[self.name].get(name)
        if self.name != "zones":
            return
        for vnet, values in call.cluster.sections["vnets"].entries.items():
            if values.get("zone") == name:
                raise die(f"delete sdn zone object failed: zone {name} is used by vnet {vnet}")


def _checks(call: Call, row: dict[str, Any]) -> list[dict[str, str]]:
    node = call.params["check-node"]
    maps = row.get("map") or []
    entries = maps if isinstance(maps, list) else [maps]
    if any(parse_properties(str(entry)).get("node") == node for entry in entries):
        return []
    return [{"severity": "warning", "message": f"No mapping for node {node}."}]


_MetricServers("metrics", "/cluster/metrics/server")
for _name in ("pci", "usb", "dir"):
    _Mappings(_name, f"/cluster/mapping/{_name}")
for _name in ("zones", "vnets", "controllers", "ipams", "dns"):
    _SdnObjects(_name, f"/cluster/sdn/{_name}")


@routes.get("/cluster/sdn/fabrics/all")
def list_all_fabrics(_call: Call) -> dict[str, list[Any]]:
    """No fabric can be made here."""
    return {"fabrics": [], "nodes": []}


@routes.get(
    "/cluster/sdn/fabrics/fabric",
    "/cluster/sdn/fabrics/node",
    "/cluster/sdn/vnets/{vnet}/subnets",
    "/cluster/sdn/prefix-lists",
    "/cluster/sdn/route-maps",
    "/nodes/{node}/sdn/zones",
)
def list_nothing(call: Call) -> list[Any]:
    """Of what does not exist here; a zone has no state before it is applied."""
    if "vnet" in call.params and call.params["vnet"] not in call.cluster.sections["vnets"].entries:
        raise parameter_error({"vnet": "vnet does not exist"})
    return []
