"""Settings of one node: names, time, notes, network, services."""

from __future__ import annotations

import calendar
import hashlib
from collections.abc import Generator
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from pveops.sim.call import Call
from pveops.sim.config_file import lock_file
from pveops.sim.membership import power_on_node
from pveops.sim.node_settings import service_names
from pveops.sim.property_string import parse_properties
from pveops.sim.refusal import die, parameter_error
from pveops.sim.router import Routes, Waiting
from pveops.sim.tasks import Task, TaskError, start_task

routes = Routes()
_NODE = "/nodes/{node}"
_ESSENTIAL = frozenset({"pve-cluster", "pvedaemon", "pveproxy"})
_VERBS = ("start", "stop", "restart", "reload")


def _sha1(text: str) -> str:
    return hashlib.sha1(text.encode()).hexdigest()  # noqa: S324


def _check_digest(given: str | None, found: str) -> None:
    if given and given != found:
        raise die("detected modified configuration - file changed by other user? Try again.")


@routes.get(f"{_NODE}/dns")
def get_dns(call: Call) -> dict[str, str]:
    """resolv.conf."""
    return dict(call.node.settings.dns)


@routes.put(f"{_NODE}/dns")
def set_dns(call: Call) -> None:
    """Replace resolv.conf."""
    names = ("search", "dns1", "dns2", "dns3")
    call.node.settings.dns = {k: call.params[k] for k in names if call.get(k)}


@routes.get(f"{_NODE}/hosts")
def get_hosts(call: Call) -> dict[str, str]:
    """The text of /etc/hosts, and its digest."""
    return {"data": call.node.hosts, "digest": _sha1(call.node.hosts)}


@routes.post(f"{_NODE}/hosts")
def set_hosts(call: Call) -> None:
    """Replace /etc/hosts."""
    _check_digest(call.get("digest"), _sha1(call.node.hosts))
    call.node.hosts = call.params["data"]


@routes.get(f"{_NODE}/time")
def get_time(call: Call) -> dict[str, Any]:
    """Seconds since the epoch, and the same for a clock that shows local time."""
    zone = call.node.settings.timezone
    now = int(call.cluster.timeline.now() + call.node.clock_offset_s)
    local = datetime.fromtimestamp(now, ZoneInfo(zone))
    return {"timezone": zone, "time": now, "localtime": calendar.timegm(local.timetuple())}


@routes.put(f"{_NODE}/time")
def set_timezone(call: Call) -> None:
    """Set the time zone."""
    name = call.params["timezone"]
    try:
        ZoneInfo(name)
    except (KeyError, ValueError, OSError) as error:
        raise die(f"No such timezone '{name}'") from error
    call.node.settings.timezone = name


def _config_digest(config: dict[str, Any]) -> str:
    return _sha1("".join(f"{key}: {value}\n" for key, value in sorted(config.items())))


@routes.get(f"{_NODE}/config")
def get_config(call: Call) -> dict[str, Any]:
    """The node's own configuration; no digest as long as there is no file."""
    config = call.node.settings.config
    name = call.get("property")
    if name:
        return {name: config[name]} if name in config else {}
    return {**config, "digest": _config_digest(config)} if config else {}


@routes.put(f"{_NODE}/config")
def set_config(call: Call) -> Waiting:
    """Set and delete options."""
    options = {k: v for k, v in call.params.items() if k not in ("node", "delete", "digest")}
    yield from lock_file(call.node, f"nodes/{call.node.name}/config")
    config = call.node.settings.config
    if config or call.get("digest"):
        _check_digest(call.get("digest"), _config_digest(config))
    for name in str(call.get("delete") or "").replace(";", ",").split(","):
        config.pop(name, None)
    config.update(options)


@routes.post(f"{_NODE}/wakeonlan")
def wake_on_lan(call: Call) -> str:
    """Wake another node by its configured MAC address."""
    name = call.params["node"]
    if name in ("localhost", call.receiver.name):
        raise die(f"'{name}' is local node, cannot wake my self!")
    node = call.cluster.node(name)
    if node is None:
        raise die(f"no such cluster node '{name}'")
    value = str(node.settings.config.get("wakeonlan") or "")
    mac = parse_properties(value, "mac").get("mac")
    if not mac:
        raise die(f"No wake on LAN MAC address defined for '{name}'!")
    cluster = call.cluster
    if not node.is_online and node.boot_s is not None:
        cluster.timeline.after(node.boot_s, lambda: power_on_node(cluster, node))
    return mac


_TYPE_FILTERS = {
    "any_bridge": ("bridge", "OVSBridge"),
    "any_local_bridge": ("bridge", "OVSBridge"),
    "include_sdn": (),
}


@routes.get(f"{_NODE}/network")
def list_interfaces(call: Call) -> list[dict[str, Any]]:
    """All but the loopback device; what differs from the running state stands in `changes`."""
    network = call.node.settings.network
    changes = network.diff()
    if changes:
        call.extra["changes"] = changes
    wanted = call.get("type")
    types = _TYPE_FILTERS.get(wanted, (wanted,)) if wanted else ()
    return [
        {"iface": name, **values}
        for name, values in network.current().items()
        if name != "lo" and (not types or values.get("type") in types)
    ]


@routes.get(f"{_NODE}/network/{{iface}}")
def get_interface(call: Call) -> dict[str, Any]:
    """One interface."""
    return _interface(call)


def _interface(call: Call) -> dict[str, Any]:
    found = call.node.settings.network.current().get(call.params["iface"])
    if found is None:
        raise parameter_error({"iface": "interface does not exist"})
    return found


def _undecorated(call: Call) -> dict[str, dict[str, Any]]:
    return {
        name: {key: value for key, value in values.items() if key != "priority"}
        for name, values in call.node.settings.network.current().items()
    }


def _from_parameters(call: Call) -> dict[str, Any]:
    values = {k: v for k, v in call.params.items() if k not in ("node", "iface", "delete")}
    if values.get("cidr"):
        address, _, mask = values["cidr"].partition("/")
        values |= {"address": address, "netmask": mask}
    elif values.get("address") and values.get("netmask"):
        values["cidr"] = f"{values['address']}/{values['netmask']}"
    if str(values["type"]).startswith("OVS"):
        raise die("Open VSwitch is not installed (need package 'openvswitch-switch')")
    families = [
        name for name, key in (("inet", "address"), ("inet6", "address6")) if values.get(key)
    ]
    values["families"] = families or ["inet"]
    values["method"] = "static" if values.get("address") else "manual"
    values["method6"] = "static" if values.get("address6") else "manual"
    if values["type"] == "bridge":
        values = {"bridge_ports": "", "bridge_stp": "off", "bridge_fd": "0"} | values
    return values


def _check_gateway(call: Call, values: dict[str, Any]) -> None:
    if not values.get("gateway"):
        return
    for name, other in _undecorated(call).items():
        if other.get("gateway") and name != call.params["iface"]:
            text = f"Default gateway already exists on interface '{name}'."
            raise parameter_error({"gateway": text})


@routes.post(f"{_NODE}/network")
def create_interface(call: Call) -> None:
    """Declare an interface in the new file."""
    interfaces, name = _undecorated(call), call.params["iface"]
    if name in interfaces:
        raise parameter_error({"iface": "interface already exists"})
    values = _from_parameters(call)
    _check_gateway(call, values)
    interfaces[name] = values
    call.node.settings.network.change(interfaces, call.cluster.timeline.now())


@routes.put(f"{_NODE}/network/{{iface}}")
def update_interface(call: Call) -> None:
    """Change an interface in the new file."""
    found, interfaces = _interface(call), _undecorated(call)
    values = _from_parameters(call)
    _check_gateway(call, values)
    kept = {k: found[k] for k in ("exists", "active") if k in found}
    for name in str(call.get("delete") or "").split(","):
        values.pop(name, None)
    interfaces[call.params["iface"]] = kept | values
    call.node.settings.network.change(interfaces, call.cluster.timeline.now())


@routes.delete(f"{_NODE}/network/{{iface}}")
def delete_interface(call: Call) -> None:
    """Take an interface out of the new file."""
    _interface(call)
    interfaces = _undecorated(call)
    del interfaces[call.params["iface"]]
    call.node.settings.network.change(interfaces, call.cluster.timeline.now())


@routes.delete(f"{_NODE}/network")
def revert_network(call: Call) -> None:
    """Forget the new file."""
    call.node.settings.network.pending = None


@routes.put(f"{_NODE}/network")
def reload_network(call: Call) -> str:
    """Put the new file in force."""

    def body(_task: Task) -> Generator[float, None, None]:
        yield 2.0
        call.node.settings.network.apply()

    task = start_task(call.node, "srvreload", "networking", call.identity.auth_id, body)
    return str(task.upid)


def _service_row(call: Call, name: str) -> dict[str, str]:
    is_clustered = call.cluster.name is not None
    is_running = call.node.settings.is_running(name, is_clustered=is_clustered)
    return {
        "service": name,
        "name": name,
        "desc": f"PVE {name}",
        "state": "running" if is_running else "dead",
        "active-state": "active" if is_running else "inactive",
        "unit-state": "not-found" if name == "systemd-timesyncd" else "enabled",
    }


@routes.get(f"{_NODE}/services")
def list_services(call: Call) -> list[dict[str, str]]:
    """The daemons and whether they run."""
    return [_service_row(call, name) for name in service_names(call.node.version)]


@routes.get(f"{_NODE}/services/{{service}}/state")
def get_service(call: Call) -> dict[str, str]:
    """One daemon."""
    return _service_row(call, call.params["service"])


@routes.post(*(f"{_NODE}/services/{{service}}/{verb}" for verb in _VERBS))
def command_service(call: Call) -> str:
    """Start, stop, restart or reload a daemon."""
    verb, name = call.template.rpartition("/")[2], call.params["service"]

    def body(_task: Task) -> Generator[float, None, None]:
        if verb == "stop" and name in _ESSENTIAL:
            text = f"invalid service cmd '{name} stop': refusing to stop essential service!"
            raise TaskError(text)
        yield 1.0
        stopped = call.node.settings.stopped_services
        if verb == "reload" and name in stopped:
            raise TaskError(f"command 'systemctl reload {name}' failed: exit code 1")
        (stopped.add if verb == "stop" else stopped.discard)(name)

    return str(start_task(call.node, f"srv{verb}", name, call.identity.auth_id, body).upid)
