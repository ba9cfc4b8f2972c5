"""The control port: break things, look, and move the time, over HTTP on loopback.

Its URL holds a secret of the run. `docs/reference/simulator-control.md` lists what it takes.
"""

from __future__ import annotations

import json
import secrets
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from pveops.sim.figures import power_word
from pveops.sim.hardware import change_hardware, package_row
from pveops.sim.membership import power_off_node, power_on_node, rejoin, split_off
from pveops.sim.model import Cluster

Action = Callable[[Cluster, list[str], dict[str, Any]], Any]
_MAX_BODY = 1 << 20


def _add_fault(cluster: Cluster, _: list[str], body: dict[str, Any]) -> Any:
    kind = str(body.pop("kind", ""))
    fault = cluster.faults.add(kind, **body)
    return {"kind": fault.kind, "rules": len(cluster.faults.rules)}


def _clear_faults(cluster: Cluster, _: list[str], __: dict[str, Any]) -> Any:
    cluster.faults.clear()
    return {"rules": 0}


def _switch_node(cluster: Cluster, rest: list[str], _: dict[str, Any]) -> Any:
    name, action = rest
    node = cluster.nodes[name]
    if action == "off":
        power_off_node(cluster, node)
    elif action == "on":
        power_on_node(cluster, node)
    else:
        raise KeyError(action)
    return {"node": name, "is_online": node.is_online}


def _partition(cluster: Cluster, _: list[str], body: dict[str, Any]) -> Any:
    split_off(cluster, [str(name) for name in body["nodes"]])
    return {name: node.partition for name, node in cluster.nodes.items()}


def _rejoin(cluster: Cluster, _: list[str], __: dict[str, Any]) -> Any:
    rejoin(cluster)
    return {name: node.partition for name, node in cluster.nodes.items()}


def _clock(cluster: Cluster, _: list[str], body: dict[str, Any]) -> Any:
    if "scale" in body:
        cluster.timeline.set_scale(float(body["scale"]))
    if "advance" in body:
        cluster.timeline.advance(float(body["advance"]))
    return {"now": cluster.timeline.now(), "scale": cluster.timeline.scale}


def _storage(cluster: Cluster, rest: list[str], body: dict[str, Any]) -> Any:
    storage = cluster.storages.definitions[rest[0]]
    for node in cluster.nodes.values():
        backing = cluster.storages.backing(storage, node)
        if "online" in body:
            backing.set_online(bool(body["online"]), cluster.timeline.now())
        if "used_bytes" in body:
            backing.fill(int(body["used_bytes"]), cluster.timeline.now())
        if "growth_bytes_s" in body:
            now = cluster.timeline.now()
            backing.used_elsewhere_bytes += int(backing.growth_bytes_s * (now - backing.grown_at))
            backing.growth_bytes_s, backing.grown_at = float(body["growth_bytes_s"]), now
    return {"storage": storage.name}


def _hardware(cluster: Cluster, rest: list[str], body: dict[str, Any]) -> Any:
    node = cluster.nodes[rest[0]]
    change_hardware(node.hardware, cluster.timeline.now(), body)
    if "clock_offset_s" in body:
        node.clock_offset_s = float(body["clock_offset_s"])
    if "updates" in body:
        node.pending_updates = [package_row(str(name)) for name in body["updates"]]
    return {"node": node.name}


def _revoke(cluster: Cluster, rest: list[str], _: dict[str, Any]) -> Any:
    cluster.access.revoked.add(rest[0])
    return {"revoked": sorted(cluster.access.revoked)}


def _journal(cluster: Cluster, _: list[str], __: dict[str, Any]) -> Any:
    return cluster.journal


def _tasks(cluster: Cluster, _: list[str], __: dict[str, Any]) -> Any:
    return [
        {"upid": str(task.upid), "exitstatus": task.exitstatus, "log": task.log_lines}
        for node in cluster.nodes.values()
        for task in node.tasks.values()
    ]


def _state(cluster: Cluster, _: list[str], __: dict[str, Any]) -> Any:
    return {
        "now": cluster.timeline.now(),
        "nodes": {name: node.is_online for name, node in cluster.nodes.items()},
        "guests": [
            {
                "vmid": guest.vmid,
                "name": guest.name,
                "kind": guest.kind,
                "node": guest.node,
                "power": power_word(guest),
                "lock": guest.lock,
            }
            for guest in cluster.guests.values()
        ],
    }


ACTIONS: dict[tuple[str, str], Action] = {
    ("POST", "faults"): _add_fault,
    ("DELETE", "faults"): _clear_faults,
    ("POST", "nodes"): _switch_node,
    ("POST", "partition"): _partition,
    ("POST", "rejoin"): _rejoin,
    ("POST", "clock"): _clock,
    ("POST", "storages"): _storage,
    ("POST", "hardware"): _hardware,
    ("POST", "revoke"): _revoke,
    ("GET", "journal"): _journal,
    ("GET", "tasks"): _tasks,
    ("GET", "state"): _state,
}
"""By method and the first word of the path."""


def perform(cluster: Cluster, method: str, path: str, body: dict[str, Any]) -> tuple[int, Any]:
    """One control call: status and answer."""
    first, *rest = [part for part in path.split("/") if part] or [""]
    action = ACTIONS.get((method, first))
    if action is None:
        return 404, {"error": "unknown", "known": [f"{m} /{p}" for m, p in ACTIONS]}
    try:
        with cluster.timeline.lock:
            cluster.timeline.run_due()
            return 200, action(cluster, rest, body)
    except (KeyError, ValueError, TypeError) as error:
        return 400, {"error": f"{type(error).__name__}: {error}"}


_POLL_S = 0.05
"""At most so long `close` waits."""


class ControlServer:
    """The control port of a running cluster."""

    def __init__(self, cluster: Cluster) -> None:
        self._token = secrets.token_urlsafe(16)
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(cluster, self._token))
        self._server.daemon_threads = True

    @property
    def url(self) -> str:
        """Where it answers; whoever has it may use it."""
        return f"http://127.0.0.1:{self._server.server_address[1]}/{self._token}"

    def start(self) -> None:
        """Answer from now on."""
        threading.Thread(target=self._server.serve_forever, args=(_POLL_S,), daemon=True).start()

    def close(self) -> None:
        """Stop answering."""
        self._server.shutdown()
        self._server.server_close()


def _handler(cluster: Cluster, token: str) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def _answer(self) -> None:
            prefix, _, path = self.path.lstrip("/").partition("/")
            length = min(int(self.headers.get("Content-Length") or 0), _MAX_BODY)
            raw = self.rfile.read(length)
            if not secrets.compare_digest(prefix, token):
                self._send(403, {"error": "the URL's secret is missing or wrong"})
                return
            try:
                body = json.loads(raw) if raw else {}
            except ValueError as error:
                self._send(400, {"error": f"no JSON: {error}"})
                return
            self._send(*perform(cluster, self.command, path, body))

        def _send(self, status: int, value: Any) -> None:
            content = json.dumps(value, default=str).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        do_GET = do_POST = do_DELETE = _answer  # noqa: N815

        def log_message(self, *arguments: Any) -> None:
            """Nothing is logged."""

    return Handler
