"""Guests, as they are read: lists, configuration, pending changes, current status."""

from __future__ import annotations

from typing import Any

from pveops.sim.call import Call
from pveops.sim.config_change import shown_secrets
from pveops.sim.figures import cpus_of, guest_figures, memory_bytes
from pveops.sim.guest import Guest, config_path, shown_config
from pveops.sim.ha import sid_of
from pveops.sim.handlers.permission import may
from pveops.sim.power import has_agent
from pveops.sim.refusal import die
from pveops.sim.router import Routes

routes = Routes()
_QEMU = "/nodes/{node}/qemu"
_LXC = "/nodes/{node}/lxc"


def kind_of(call: Call) -> str:
    """`qemu` or `lxc`, by the path."""
    return "lxc" if call.template.startswith(_LXC) else "qemu"


def get_guest(call: Call) -> Guest:
    """The guest of the path, on the node that executes; dies as PVE does otherwise."""
    vmid, kind = int(call.params["vmid"]), kind_of(call)
    guest = call.cluster.guests.get(vmid)
    if guest is None or guest.kind != kind or guest.node != call.node.name:
        path = config_path(call.node.name, kind, vmid)
        raise die(f"Configuration file '{path}' does not exist")
    return guest


@routes.get(_QEMU, _LXC)
def list_guests(call: Call) -> list[dict[str, Any]]:
    """The node's guests that the caller may see."""
    kind = "lxc" if call.template == _LXC else "qemu"
    return [
        _list_row(call, guest)
        for guest in call.cluster.guests.values()
        if guest.kind == kind
        and guest.node == call.node.name
        and may(call, f"/vms/{guest.vmid}", "VM.Audit")
    ]


def _list_row(call: Call, guest: Guest) -> dict[str, Any]:
    row = status_row(call, guest)
    for key in ("ha", "agent", *(() if call.get("full") else ("qmpstatus",))):
        row.pop(key, None)
    return row


@routes.get(f"{_QEMU}/{{vmid}}/status/current", f"{_LXC}/{{vmid}}/status/current")
def get_current_status(call: Call) -> dict[str, Any]:
    """What the node knows right now."""
    return status_row(call, get_guest(call))


def status_row(call: Call, guest: Guest) -> dict[str, Any]:
    """The members of status/current."""
    node = call.cluster.nodes[guest.node]
    figures = guest_figures(call.cluster, node, guest)
    row: dict[str, Any] = {
        "vmid": guest.vmid,
        "name": figures["name"],
        "status": "running" if guest.is_running else "stopped",
        "cpu": figures["cpu"],
        "cpus": cpus_of(guest, node),
        "mem": figures["mem"],
        "maxmem": memory_bytes(guest),
        "disk": figures["disk"],
        "maxdisk": figures["maxdisk"],
        "uptime": figures["uptime"],
        "netin": 0,
        "netout": 0,
        "ha": _ha_row(call, guest),
    }
    for key in ("tags", "lock"):
        if guest.config.get(key):
            row[key] = guest.config[key]
    if guest.is_template:
        row["template"] = 1
    if guest.process is not None:
        row["pid"] = guest.process.pid
    row |= _qemu_members(call, guest) if guest.kind == "qemu" else _lxc_members(guest)
    if call.cluster.version.at_least("9.0") and guest.is_running:
        kinds = ("cpusome", "cpufull", "iosome", "iofull", "memorysome", "memoryfull")
        value: Any = 0 if guest.kind == "qemu" else "0.00"
        row |= {f"pressure{kind}": value for kind in kinds}
    return row


def _ha_row(call: Call, guest: Guest) -> dict[str, Any]:
    resource = call.cluster.ha.resources.get(sid_of(guest))
    if resource is None:
        return {"managed": 0}
    return {"managed": 1, "state": resource.state}


def _qemu_members(call: Call, guest: Guest) -> dict[str, Any]:
    row: dict[str, Any] = {
        "qmpstatus": guest.process.qmpstatus if guest.process else "stopped",
    }
    if call.cluster.version.at_least("9.0"):
        row["memhost"] = 0
    if has_agent(guest.config):
        row["agent"] = 1
    if guest.process is not None:
        row |= {"diskread": 0, "diskwrite": 0}
        if str(guest.config.get("balloon", "1")) != "0":
            row["balloon"] = memory_bytes(guest)
        row |= {"running-machine": "pc-i440fx-10.0+pve0", "running-qemu": "10.0.13"}
    return row


def _lxc_members(guest: Guest) -> dict[str, Any]:
    swap = int(guest.config.get("swap", 512)) << 20
    return {"type": "lxc", "diskread": 0, "diskwrite": 0, "swap": 0, "maxswap": swap}


@routes.get(f"{_QEMU}/{{vmid}}/config", f"{_LXC}/{{vmid}}/config")
def get_config(call: Call) -> dict[str, Any]:
    """The configuration: with pending values, as running (`current`), or of a snapshot."""
    guest = get_guest(call)
    name = call.get("snapshot")
    if name is not None:
        if name not in guest.snapshots:
            raise die(f"snapshot '{name}' does not exist")
        return shown_secrets({**guest.snapshots[name], "digest": guest.digest})
    return shown_secrets(shown_config(guest, current=bool(call.get("current"))))


@routes.get(f"{_QEMU}/{{vmid}}/pending", f"{_LXC}/{{vmid}}/pending")
def list_pending(call: Call) -> list[dict[str, Any]]:
    """Each key with its value and what waits for a full stop."""
    guest = get_guest(call)
    config, pending = shown_secrets(guest.config), shown_secrets(guest.pending)
    rows = []
    for key in sorted({*guest.config, *guest.pending}):
        row: dict[str, Any] = {"key": key}
        if key in guest.config:
            row["value"] = config[key]
        if key in guest.pending:
            row["pending"] = pending[key]
        if key in guest.pending_deletes:
            row["delete"] = 2 if guest.pending_deletes[key] else 1
        rows.append(row)
    rows.append({"key": "digest", "value": guest.digest})
    return rows


@routes.get(f"{_QEMU}/{{vmid}}/snapshot", f"{_LXC}/{{vmid}}/snapshot")
def list_snapshots(call: Call) -> list[dict[str, Any]]:
    """The snapshots, and a row `current` for the present state."""
    guest = get_guest(call)
    rows = []
    for name, snapshot in guest.snapshots.items():
        row: dict[str, Any] = {
            "name": name,
            "snaptime": snapshot.get("snaptime", 0),
            "description": snapshot.get("description", ""),
        }
        if guest.kind == "qemu":
            row["vmstate"] = int("vmstate" in snapshot)
        if snapshot.get("parent"):
            row["parent"] = snapshot["parent"]
        if snapshot.get("snapstate"):
            row["snapstate"] = snapshot["snapstate"]
        rows.append(row)
    now: dict[str, Any] = {
        "name": "current",
        "description": "You are here!",
        "digest": guest.digest,
        "running": int(guest.is_running),
    }
    if guest.config.get("parent"):
        now["parent"] = guest.config["parent"]
    return [*rows, now]
