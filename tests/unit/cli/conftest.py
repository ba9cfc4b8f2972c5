"""A small cluster behind the transport port, and a way to run command lines on it."""

from __future__ import annotations

import io
import json
from typing import Any, NamedTuple
from urllib.parse import unquote

import pytest

from pveops.api.port import Request, Response
from pveops.cli.call import Call
from pveops.cli.process import run_call
from pveops.cli.wiring import Connection
from pveops.clock import VirtualClock
from pveops.config.profiles import ConsentConfig

NOW = 1_760_000_000
TOKEN = "ops@pve!agent"


def upid(node: str, kind: str, about: str, started: int = NOW) -> str:
    return f"UPID:{node}:00001000:00002000:{started:08X}:{kind}:{about}:{TOKEN}:"


class Machine:
    """One VM of the cluster."""

    def __init__(self, vmid: int, name: str, node: str, status: str = "running") -> None:
        self.vmid, self.name, self.node, self.status = vmid, name, node, status
        self.uptime = 41 * 86_400 if status == "running" else 0
        self.lock = ""
        self.notes = ""
        self.tags = ""

    def row(self) -> dict[str, Any]:
        row: dict[str, Any] = {
            "id": f"qemu/{self.vmid}",
            "type": "qemu",
            "vmid": self.vmid,
            "name": self.name,
            "node": self.node,
            "status": self.status,
            "uptime": self.uptime,
            "maxcpu": 2,
            "cpu": 0.05,
            "mem": 1 << 30,
            "maxmem": 1 << 31,
            "tags": self.tags,
        }
        return row | ({"lock": self.lock} if self.lock else {})

    def current(self) -> dict[str, Any]:
        state = {"name": self.name, "status": self.status, "qmpstatus": self.status}
        state |= {
            "uptime": self.uptime,
            "pid": 4711 if self.uptime else None,
            "ha": {"managed": 0},
        }
        return state | ({"lock": self.lock} if self.lock else {})


class Cluster:
    """Answers the requests of the commands as PVE would; every request is kept."""

    def __init__(self) -> None:
        self.requests: list[Request] = []
        self.machines = {
            101: Machine(101, "web01", "pve1"),
            102: Machine(102, "web02", "pve2"),
            103: Machine(103, "db01", "pve1", "stopped"),
        }
        self.nodes = {"pve1": "online", "pve2": "online"}
        self.tasks: list[dict[str, Any]] = []
        self.answers: dict[str, Any] = {}
        self.running: set[str] = set()
        self.killed: set[str] = set()
        self.is_quorate = True

    @property
    def writes(self) -> list[str]:
        return [f"{r.method} {r.path}" for r in self.requests if r.method != "GET"]

    def send(self, request: Request) -> Response:
        self.requests.append(request)
        status, data = self._answer(request)
        body = json.dumps({"data": data}).encode()
        reason = "OK" if status == 200 else str(data)
        return Response(status, reason, {"content-type": "application/json"}, body)

    def close(self) -> None:
        pass

    def _answer(self, request: Request) -> tuple[int, Any]:
        path = request.path
        if path in self.answers:
            return 200, self.answers[path]
        if path == "/cluster/resources":
            return 200, self._resources()
        if path == "/cluster/status":
            return 200, self._status()
        if path == "/cluster/tasks":
            return 200, self.tasks
        if path == "/access/permissions":
            everything = ("VM.Audit", "Sys.Audit", "Datastore.Audit", "Pool.Audit")
            return 200, {"/": dict.fromkeys(everything, 1)}
        if path == "/version":
            return 200, {"version": "9.1.2", "release": "9.1", "repoid": "00000000"}
        return self._on_node(request)

    def _on_node(self, request: Request) -> tuple[int, Any]:
        parts = request.path.strip("/").split("/")
        if parts[2] == "tasks":
            return self._task(request.method, [unquote(part) for part in parts[3:]])
        machine = self.machines.get(int(parts[3])) if parts[2] == "qemu" else None
        if machine is None or machine.node != parts[1]:
            return 500, f"Configuration file 'nodes/{parts[1]}/qemu-server/x.conf' does not exist"
        rest = "/".join(parts[4:])
        if rest == "status/current":
            return 200, machine.current()
        if rest == "config":
            return 200, {"name": machine.name, "digest": "d" * 40, "description": machine.notes}
        if rest in {"pending", "snapshot"}:
            return 200, []
        return 200, self._power(machine, parts[-1])

    def _power(self, machine: Machine, verb: str) -> str:
        machine.status = "stopped" if verb in {"stop", "shutdown"} else "running"
        machine.uptime = 0 if machine.status == "stopped" else 5
        kind = {"stop": "qmstop", "start": "qmstart"}[verb]
        return upid(machine.node, kind, str(machine.vmid))

    def _task(self, method: str, rest: list[str]) -> tuple[int, Any]:
        if not rest:
            return 200, []
        if method == "DELETE":
            self.running.discard(rest[0])
            self.killed.add(rest[0])
            return 200, None
        if rest[0] in self.running and rest[-1] == "status":
            return 200, {"status": "running", "upid": rest[0]}
        if rest[0] in self.killed and rest[-1] == "status":
            return 200, {"status": "stopped", "exitstatus": "unexpected status", "upid": rest[0]}
        if rest[-1] == "status":
            return 200, {"status": "stopped", "exitstatus": "OK", "upid": rest[0]}
        return 200, [{"n": 1, "t": "TASK OK"}]

    def _resources(self) -> list[dict[str, Any]]:
        nodes = [
            {
                "id": f"node/{name}",
                "type": "node",
                "node": name,
                "status": status,
                "maxmem": 8 << 30,
            }
            for name, status in self.nodes.items()
        ]
        storage = {
            "id": "storage/pve1/local",
            "type": "storage",
            "storage": "local",
            "node": "pve1",
            "status": "available",
            "disk": 97,
            "maxdisk": 100,
            "plugintype": "dir",
        }
        return [*nodes, storage, *(machine.row() for machine in self.machines.values())]

    def _status(self) -> list[dict[str, Any]]:
        rows: list[dict[str, Any]] = [
            {"type": "cluster", "name": "home", "quorate": int(self.is_quorate), "version": 3}
        ]
        for name, status in self.nodes.items():
            rows.append({"type": "node", "name": name, "online": int(status == "online")})
        return rows


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        return True


class Outcome(NamedTuple):
    """What a command line came to."""

    code: int
    out: str
    err: str

    @property
    def lines(self) -> list[str]:
        return self.out.splitlines()

    @property
    def json(self) -> dict[str, Any]:
        value: dict[str, Any] = json.loads(self.out)
        return value


class CommandLine:
    """Runs `pve` and `pve-apply` in this process, on the cluster above."""

    def __init__(self, cluster: Cluster, home: str) -> None:
        self.cluster = cluster
        self.clock = VirtualClock(NOW)
        self.environ = {"PVE_HOME": home, "HOME": home}
        self.sender: tuple[str, ...] = ()
        self.documents: Any = None

    def run(self, line: str, *, typed: str = "", at_terminal: bool = False) -> Outcome:
        program, *arguments = line.split()
        make = Terminal if at_terminal else io.StringIO
        stdin, stdout, stderr = make(typed), make(), io.StringIO()
        call = Call(
            program,
            arguments,
            environ=self.environ,
            clock=self.clock,
            stdin=stdin,
            stdout=stdout,
            stderr=stderr,
            connect=lambda _call, _wiring: Connection(
                "home",
                "fingerprint",
                TOKEN,
                self.cluster,
                ConsentConfig(self.sender),
                self.documents,
            ),
        )
        return Outcome(run_call(call), stdout.getvalue(), stderr.getvalue())


@pytest.fixture
def cluster() -> Cluster:
    return Cluster()


@pytest.fixture
def cli(cluster, tmp_path) -> CommandLine:
    return CommandLine(cluster, str(tmp_path))
