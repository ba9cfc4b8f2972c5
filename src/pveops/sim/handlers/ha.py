"""HA: resources, groups (8.x), rules (9.x), and what the manager is doing."""

from __future__ import annotations

import hashlib
from typing import Any

from pveops.sim.call import Call
from pveops.sim.config_file import lock_file
from pveops.sim.ha import Resource, add_resource, sid_of
from pveops.sim.refusal import die
from pveops.sim.router import Routes, Waiting

routes = Routes()
_RESOURCE = "/cluster/ha/resources/{sid}"
_OPTIONS = ("comment", "group", "max_restart", "max_relocate", "failback", "auto-rebalance")
_MIGRATED = "ha groups have been migrated to rules"


def _sid(call: Call) -> str:
    text = str(call.params["sid"])
    if ":" in text:
        return text
    guest = call.cluster.guests.get(int(text)) if text.isdecimal() else None
    if guest is None:
        raise die(f"resource '{text}' does not exist in cluster")
    return sid_of(guest)


def _digest(call: Call) -> str:
    text = repr(sorted((r.sid, r.state, sorted(r.options.items())) for r in _all(call)))
    return hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest()


def _all(call: Call) -> list[Resource]:
    return list(call.cluster.ha.resources.values())


def _row(call: Call, resource: Resource) -> dict[str, Any]:
    return {
        "sid": resource.sid,
        "type": resource.sid.partition(":")[0],
        "state": resource.state,
        "digest": _digest(call),
        **resource.options,
    }


@routes.get("/cluster/ha/resources")
def list_resources(call: Call) -> list[dict[str, Any]]:
    """The guests under HA."""
    wanted = call.get("type")
    return [_row(call, r) for r in _all(call) if wanted in {None, r.sid.partition(":")[0]}]


@routes.get(_RESOURCE)
def get_resource(call: Call) -> dict[str, Any]:
    """One guest under HA."""
    sid = _sid(call)
    resource = call.cluster.ha.resources.get(sid)
    if resource is None:
        raise die(f"no such resource '{sid}'")
    return _row(call, resource)


@routes.post("/cluster/ha/resources")
def create_resource(call: Call) -> Waiting:
    """Put a guest under HA."""
    sid = _sid(call)
    kind, _, vmid = sid.partition(":")
    guest = call.cluster.guests.get(int(vmid)) if vmid.isdecimal() else None
    if guest is None or sid_of(guest) != f"{kind}:{vmid}":
        raise die(f"resource '{sid}' does not exist in cluster")
    yield from lock_file(call.node, "ha/resources.cfg", "create resource failed")
    if sid in call.cluster.ha.resources:
        raise die(f"create resource failed: resource ID '{sid}' already defined")
    resource = Resource(sid, state=str(call.get("state") or "started"))
    resource.options = {k: call.params[k] for k in _OPTIONS if call.get(k) is not None}
    add_resource(call.cluster, resource)


@routes.put(_RESOURCE)
def update_resource(call: Call) -> Waiting:
    """Change what is wanted of a guest under HA."""
    sid = _sid(call)
    yield from lock_file(call.node, "ha/resources.cfg", "update resource failed")
    resource = call.cluster.ha.resources.get(sid)
    if resource is None:
        raise die(f"no such resource '{sid}'")
    if call.get("state") is not None:
        state = str(call.params["state"])
        resource.state = {"enabled": "started"}.get(state, state)
        # Without a timeout of its own a stop is a shutdown of 60 s (Resources/PVEVM.pm).
        resource.stop_timeout_s = 60.0
    resource.options |= {k: call.params[k] for k in _OPTIONS if call.get(k) is not None}
    for name in str(call.get("delete") or "").split(","):
        resource.options.pop(name, None)


@routes.delete(_RESOURCE)
def delete_resource(call: Call) -> Waiting:
    """Take a guest out of HA; it keeps running."""
    sid = _sid(call)
    yield from lock_file(call.node, "ha/resources.cfg", "delete resource failed")
    if call.cluster.ha.resources.pop(sid, None) is None:
        raise die(f"cannot delete service '{sid}', not HA managed!")
    if call.cluster.version.has_ha_rules and call.get("purge", True):
        _leave_rules(call, sid)


def _leave_rules(call: Call, sid: str) -> None:
    """With `purge`, which is the default, rules forget the resource (Config.pm)."""
    rules = call.cluster.ha.rules
    for name, rule in list(rules.items()):
        rest = [each for each in str(rule.get("resources") or "").split(",") if each != sid]
        if rest and rest != [""]:
            rule["resources"] = ",".join(rest)
        else:
            del rules[name]


@routes.get("/cluster/ha/groups")
def list_groups(call: Call) -> list[dict[str, Any]]:
    """HA groups; rules took their place in 9.0."""
    if call.cluster.version.has_ha_rules:
        raise die(f"cannot index groups: {_MIGRATED}")
    return [{"group": name, **group} for name, group in call.cluster.ha.groups.items()]


@routes.get("/cluster/ha/rules")
def list_rules(call: Call) -> list[dict[str, Any]]:
    """HA rules, since 9.0."""
    return [{"rule": name, **rule} for name, rule in call.cluster.ha.rules.items()]


@routes.get("/cluster/ha/status/current")
def get_current(call: Call) -> list[dict[str, Any]]:
    """Quorum, and a row a managed guest."""
    cluster = call.cluster
    quorate = cluster.has_quorum(call.receiver)
    rows: list[dict[str, Any]] = [
        {
            "id": "quorum",
            "type": "quorum",
            "node": call.receiver.name,
            "status": "OK" if quorate else "No quorum on node '" + call.receiver.name + "'!",
            "quorate": int(quorate),
        }
    ]
    if not cluster.ha.resources:
        return rows
    master = next((n.name for n in cluster.nodes.values() if n.is_online), call.receiver.name)
    rows.append({"id": "master", "type": "master", "node": master, "status": f"{master} (active)"})
    for name, node in cluster.nodes.items():
        mode = "active" if node.is_online else "old timestamp - dead?"
        row = {"id": f"lrm:{name}", "type": "lrm", "node": name, "status": f"{name} ({mode})"}
        rows.append(row)
    for resource in _all(call):
        guest = cluster.guests.get(resource.vmid)
        place = guest.node if guest is not None else ""
        rows.append(
            {
                "id": f"service:{resource.sid}",
                "type": "service",
                "sid": resource.sid,
                "node": place,
                "state": resource.current,
                "crm_state": resource.current,
                "request_state": resource.state,
                "status": f"{resource.sid} ({place}, {resource.current})",
            }
        )
    return rows


@routes.get("/cluster/ha/status/manager_status")
def get_manager_status(call: Call) -> dict[str, Any]:
    """The manager's own notes."""
    ha = call.cluster.ha
    nodes = {
        name: "online" if node.is_online else "unknown"
        for name, node in call.cluster.nodes.items()
    }
    status: dict[str, Any] = {"node_status": nodes if ha.resources else {}}
    if ha.resources:
        status["master_node"] = next(iter(nodes))
        status["service_status"] = {
            r.sid: {"state": r.current, "node": call.cluster.guests[r.vmid].node}
            for r in ha.resources.values()
            if r.vmid in call.cluster.guests
        }
    quorate = "1" if call.cluster.has_quorum(call.receiver) else "0"
    return {
        "manager_status": status,
        "quorum": {"node": call.receiver.name, "quorate": quorate},
    }
