"""Consoles of guests and nodes: VNC, terminals, SPICE."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

from pveops.sim.call import Call
from pveops.sim.console import WAIT_S
from pveops.sim.guest import config_path
from pveops.sim.refusal import die
from pveops.sim.router import Routes, Waiting
from pveops.sim.tasks import Task, TaskError, start_task

routes = Routes()
_GUESTS = ("/nodes/{node}/qemu/{vmid}", "/nodes/{node}/lxc/{vmid}")
_NODE = "/nodes/{node}"
_TERMPROXY_WAIT_S = 5.0


def _path(call: Call) -> str:
    if "{vmid}" in call.template:
        return f"/vms/{call.params['vmid']}"
    return f"/nodes/{call.node.name}"


def _subject(call: Call) -> str:
    return str(call.params.get("vmid", ""))


def _check_exists(call: Call) -> None:
    if "{vmid}" not in call.template:
        return
    vmid, kind = call.params["vmid"], call.template.split("/")[3]
    guest = call.cluster.guests.get(vmid)
    if guest is None or guest.kind != kind or guest.node != call.node.name:
        raise die(f"Configuration file '{config_path(call.node.name, kind, vmid)}' does not exist")


def _start_proxy(call: Call, kind: str, port: int) -> str:
    def body(_task: Task) -> Generator[float, None, None]:
        """Nobody connects to a simulated console but through the websocket."""
        waited = 0.0
        while waited < WAIT_S and port in call.node.consoles.ports:
            yield 1.0
            waited += 1.0
        if port in call.node.consoles.ports:
            call.node.consoles.close_port(port)
            raise TaskError("connection timed out")

    task = start_task(call.node, kind, _subject(call), call.identity.auth_id, body)
    task.on_end.append(lambda: call.node.consoles.close_port(port))
    return str(task.upid)


@routes.post(*(f"{path}/vncproxy" for path in _GUESTS), f"{_NODE}/vncshell")
def open_vnc(call: Call) -> dict[str, Any]:
    """Start a VNC proxy; it waits ten seconds for its client."""
    _check_exists(call)
    path = _path(call)
    port = call.node.consoles.open_port(path)
    now = call.cluster.timeline.now()
    random = call.cluster.random
    ticket = call.node.consoles.issue_ticket(random, call.identity.auth_id, path, port, now)
    kind = "vncproxy" if "{vmid}" in call.template else "vncshell"
    row = {
        "user": call.identity.auth_id,
        "ticket": ticket,
        "cert": call.cluster.ca_certificate,
        "port": str(port),
        "upid": _start_proxy(call, kind, port),
    }
    if _has_password(call):
        row["password"] = f"{random.getrandbits(32):08x}"
        row["ticket"] = f"{row['password']}:{ticket}"
    return row


def _has_password(call: Call) -> bool:
    """Since spring 2026 the display of a VM always has one (qemu-server 9.2, 8.4.10)."""
    if call.get("generate-password"):
        return True
    if "/qemu/" in call.template:
        return call.node.version.at_least("9.2") or call.node.version.major == 8
    return bool(call.get("websocket"))


@routes.get(*(f"{path}/vncwebsocket" for path in _GUESTS), f"{_NODE}/vncwebsocket")
def check_vnc_ticket(call: Call) -> dict[str, str]:
    """What a websocket to a console is checked by before it is opened."""
    port = int(call.params["port"])
    call.node.consoles.check_ticket(
        call.params["vncticket"],
        call.identity.auth_id,
        _path(call),
        port,
        call.cluster.timeline.now(),
    )
    _check_exists(call)
    return {"port": str(port)}


@routes.post(*(f"{path}/termproxy" for path in _GUESTS), f"{_NODE}/termproxy")
def open_terminal(call: Call) -> Waiting:
    """The program that carries a terminal is not there; PVE waits for its port in vain."""
    _check_exists(call)
    port = call.node.consoles.open_port(_path(call))
    _start_proxy(call, "vncproxy" if "{vmid}" in call.template else "vncshell", port)
    yield _TERMPROXY_WAIT_S
    call.node.consoles.close_port(port)
    raise die(f"Timeout while waiting for port '{port}' to get ready!")
