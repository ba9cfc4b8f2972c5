"""Metric servers, mappings and SDN objects: files of named entries."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from pveops.sim.call import Call
from pveops.sim.config_file import lock_file
from pveops.sim.handlers.permission import may
from pveops.sim.property_string import parse_properties
from pveops.sim.refusal import die, parameter_error
from pveops.sim.router import Routes, Waiting
from pveops.sim.sections import Sections

routes = Routes()
_PROTOCOL_ONLY = ("delete", "digest", "lock-token", "pending", "running", "check-node")
_LISTERS = {
    "mapping": ("Mapping.Modify", "Mapping.Use", "Mapping.Audit"),
    "sdn": ("SDN.Audit", "SDN.Allocate"),
}


def _of(call: Call, name: str) -> Sections:
    return call.cluster.sections[name]


def _values(call: Call, sections: Sections) -> dict[str, Any]:
    names = (sections.kind.key, "node", *_PROTOCOL_ONLY)
    return {name: value for name, value in call.params.items() if name not in names}


def _delete_names(call: Call) -> list[str]:
    delete = call.get("delete") or ""
    names = delete if isinstance(delete, list) else str(delete).replace(";", ",").split(",")
    return [name for name in names if name]


def _register(
    name: str,
    path: str,
    *,
    acl: str | None,
    describe: Callable[[Call, Sections, str], dict[str, Any]],
    check: Callable[[Call, dict[str, Any]], None] | None = None,
    check_delete: Callable[[Call, str], None] | None = None,
) -> None:
    """Serve the five methods of one file.

    acl: under which path a list is filtered; None: not at all.
    """
    key = f"{{{_key(name)}}}"

    def list_entries(call: Call) -> list[dict[str, Any]]:
        sections = _of(call, name)
        privileges = _LISTERS.get((acl or "").split("/")[1] if acl else "", ())
        return [
            describe(call, sections, entry)
            for entry, values in sections.entries.items()
            if call.get("type") in (None, values.get("type"))
            and (acl is None or may(call, f"{acl}/{entry}", *privileges))
        ]

    def get_entry(call: Call) -> dict[str, Any]:
        sections = _of(call, name)
        sections.get(call.params[sections.kind.key])
        return describe(call, sections, call.params[sections.kind.key])

    def create_entry(call: Call) -> Waiting:
        sections = _of(call, name)
        values = _values(call, sections)
        if check is not None:
            check(call, values)
        yield from lock_file(call.receiver, sections.kind.file)
        sections.create(call.params[sections.kind.key], values)

    def update_entry(call: Call) -> Waiting:
        sections = _of(call, name)
        values = _values(call, sections)
        yield from lock_file(call.receiver, sections.kind.file)
        sections.update(
            call.params[sections.kind.key], values, _delete_names(call), call.get("digest")
        )

    def delete_entry(call: Call) -> Waiting:
        sections = _of(call, name)
        yield from lock_file(call.receiver, sections.kind.file)
        entry = call.params[sections.kind.key]
        if check_delete is not None:
            check_delete(call, entry)
        if acl is not None and acl.startswith("/sdn"):
            sections.get(entry)
        sections.entries.pop(entry, None)

    create_path = f"{path}/{key}" if name == "metrics" else path
    methods: tuple[tuple[str, str, Callable[[Call], Any]], ...] = (
        ("GET", path, list_entries),
        ("POST", create_path, create_entry),
        ("GET", f"{path}/{key}", get_entry),
        ("PUT", f"{path}/{key}", update_entry),
        ("DELETE", f"{path}/{key}", delete_entry),
    )
    for method, template, function in methods:
        routes.add(method, template)(function)


def _key(name: str) -> str:
    keys = {"zones": "zone", "vnets": "vnet", "controllers": "controller", "ipams": "ipam"}
    return keys.get(name, "dns" if name == "dns" else "id")


def _describe_metrics(call: Call, sections: Sections, name: str) -> dict[str, Any]:
    values = {"disable": 0, **sections.entries[name]}
    return values | ({} if "{id}" in call.template else {"id": name})


def _describe_mapping(call: Call, sections: Sections, name: str) -> dict[str, Any]:
    kind = call.template.split("/")[3]
    row = {**sections.entries[name], "type": kind, "digest": sections.digest}
    if "{id}" in call.template:
        return row
    row["id"] = name
    if call.get("check-node"):
        row["checks"] = _checks(call, row)
    return row


def _checks(call: Call, row: dict[str, Any]) -> list[dict[str, str]]:
    node = call.params["check-node"]
    maps = row.get("map") or []
    entries = maps if isinstance(maps, list) else [maps]
    if any(parse_properties(str(entry)).get("node") == node for entry in entries):
        return []
    return [{"severity": "warning", "message": f"No mapping for node {node}."}]


def _describe_sdn(call: Call, sections: Sections, name: str) -> dict[str, Any]:
    """With `pending`, everything that was not applied yet stands below `pending`."""
    values, key = dict(sections.entries[name]), sections.kind.key
    if sections.kind.key == "vnet":
        values["type"] = "vnet"
    if not call.get("pending"):
        return {**values, key: name, "digest": sections.digest}
    kind = values.pop("type")
    return {key: name, "type": kind, "state": "new", "pending": values, "digest": None}


def _check_vnet(call: Call, values: dict[str, Any]) -> None:
    if values.get("zone") not in call.cluster.sections["zones"].entries:
        raise die(f"create sdn vnet object failed: unknown zone '{values.get('zone')}'")


def _check_zone_unused(call: Call, zone: str) -> None:
    for vnet, values in call.cluster.sections["vnets"].entries.items():
        if values.get("zone") == zone:
            raise die(f"delete sdn zone object failed: zone {zone} is used by vnet {vnet}")


def _check_map(_call: Call, values: dict[str, Any]) -> None:
    """assert_valid_map_list: one entry for a node at most."""
    seen: set[str] = set()
    for entry in values.get("map") or []:
        node = parse_properties(str(entry)).get("node", "")
        if node in seen:
            raise die(f"node '{node}' is specified multiple times")
        seen.add(node)


_register("metrics", "/cluster/metrics/server", acl=None, describe=_describe_metrics)
for _kind in ("pci", "usb", "dir"):
    _register(
        _kind,
        f"/cluster/mapping/{_kind}",
        acl=f"/mapping/{_kind}",
        describe=_describe_mapping,
        check=_check_map,
    )
_register(
    "zones",
    "/cluster/sdn/zones",
    acl="/sdn/zones",
    describe=_describe_sdn,
    check_delete=_check_zone_unused,
)
_register(
    "vnets",
    "/cluster/sdn/vnets",
    acl="/sdn/zones",
    describe=_describe_sdn,
    check=_check_vnet,
)
for _kind in ("controllers", "ipams", "dns"):
    _register(_kind, f"/cluster/sdn/{_kind}", acl=f"/sdn/{_kind}", describe=_describe_sdn)


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
    if "vnet" in call.params and call.params["vnet"] not in _of(call, "vnets").entries:
        raise parameter_error({"vnet": "vnet does not exist"})
    return []
