"""/nodes/{node}/qemu/{vmid}/agent: the guest agent (API2/Qemu/Agent.pm).

What the agent answers follows from `Guest.temper`: one that does not answer costs three seconds.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Generator
from typing import Any

from pveops.sim.call import Call
from pveops.sim.guest import Guest
from pveops.sim.guest_volumes import list_volumes
from pveops.sim.handlers.guests import get_guest
from pveops.sim.power import has_agent
from pveops.sim.property_string import parse_properties
from pveops.sim.refusal import die
from pveops.sim.router import Routes, Waiting
from pveops.sim.vm_drives import to_bytes
from pveops.sim.vm_options import is_net

routes = Routes()
_BASE = "/nodes/{node}/qemu/{vmid}/agent"
_PING_S = 3.0
_ANSWER_S = 0.1
_RUNS_S = 0.5
_NOT_FOUND = "No such file or directory"

Answer = Callable[[Call, Guest], Any]
_COMMANDS = (
    "guest-exec guest-exec-status guest-file-open guest-file-read guest-file-write guest-ping "
    "guest-fsfreeze-freeze guest-fsfreeze-status guest-fsfreeze-thaw guest-fstrim "
    "guest-get-fsinfo guest-get-host-name guest-get-memory-block-info guest-get-memory-blocks "
    "guest-get-osinfo guest-get-time guest-get-timezone guest-get-users guest-get-vcpus "
    "guest-info guest-network-get-interfaces guest-set-user-password guest-shutdown"
)


def _reach(call: Call) -> Generator[float, None, Guest]:
    """The guest, once its agent has answered; dies where there is none."""
    guest = get_guest(call)
    if not has_agent(guest.config):
        raise die("No QEMU guest agent configured")
    if guest.process is None:
        raise die(f"VM {guest.vmid} is not running")
    booted_s = call.cluster.timeline.now() - guest.process.started_at
    is_up = guest.process.qmpstatus == "running" and booted_s >= guest.temper.boot_s
    if guest.temper.agent != "answers" or not is_up:
        yield _PING_S
        raise die("QEMU guest agent is not running")
    yield _ANSWER_S
    return guest


def _interfaces(_: Call, guest: Guest) -> list[dict[str, Any]]:
    loopback = {
        "name": "lo",
        "hardware-address": "00:00:00:00:00:00",
        "ip-addresses": [
            {"ip-address-type": "ipv4", "ip-address": "127.0.0.1", "prefix": 8},
            {"ip-address-type": "ipv6", "ip-address": "::1", "prefix": 128},
        ],
    }
    rows = [loopback]
    for key in sorted(key for key in guest.config if is_net(key)):
        address = str(guest.config[key]).partition(",")[0].partition("=")[2].lower()
        rows.append(
            {
                "name": f"eth{key[3:]}",
                "hardware-address": address,
                "ip-addresses": [_address(guest, int(key[3:]))],
            }
        )
    return rows


def _address(guest: Guest, number: int) -> dict[str, Any]:
    """What cloud-init was told, or what DHCP would give."""
    told = parse_properties(str(guest.config.get(f"ipconfig{number}") or ""))
    ip, _, prefix = told.get("ip", "").partition("/")
    if not prefix:
        ip, prefix = f"198.51.{100 + number}.{guest.vmid % 254 + 1}", "24"
    return {"ip-address-type": "ipv4", "ip-address": ip, "prefix": int(prefix)}


def _file_systems(_: Call, guest: Guest) -> list[dict[str, Any]]:
    disks = [v for v in list_volumes("qemu", guest.config) if not v.is_cdrom]
    rows = []
    for number, disk in enumerate(disks):
        size = to_bytes(disk.options.get("size", "0"))
        rows.append(
            {
                "name": f"sd{chr(97 + number)}1",
                "mountpoint": "/" if number == 0 else f"/mnt/disk{number}",
                "type": "ext4",
                "total-bytes": size,
                "used-bytes": size // 3,
                "disk": [{"bus-type": "scsi", "target": number}],
            }
        )
    return rows


def _operating_system(_: Call, guest: Guest) -> dict[str, str]:
    kind = str(guest.config.get("ostype", "l26"))
    if kind.startswith("w"):
        return {"id": "mswindows", "name": "Microsoft Windows", "machine": "x86_64"}
    return {"id": "debian", "name": "Debian GNU/Linux", "version-id": "13", "machine": "x86_64"}


def _commands(_: Call, __: Guest) -> dict[str, Any]:
    names = _COMMANDS.split()
    commands = [{"name": name, "enabled": True, "success-response": True} for name in names]
    return {"version": "10.0.0", "supported_commands": commands}


def _processors(_: Call, guest: Guest) -> list[dict[str, Any]]:
    count = int(guest.config.get("cores", 1)) * int(guest.config.get("sockets", 1))
    return [{"logical-id": n, "online": True, "can-offline": n > 0} for n in range(count)]


def _freeze(_: Call, guest: Guest) -> int:
    guest.inside["is_frozen"] = True
    return len(_file_systems(_, guest))


def _thaw(_: Call, guest: Guest) -> int:
    return len(_file_systems(_, guest)) if guest.inside.pop("is_frozen", False) else 0


def _trim(_: Call, guest: Guest) -> dict[str, Any]:
    rows = _file_systems(_, guest)
    return {"paths": [{"path": r["mountpoint"], "trimmed": 0, "minimum": 0} for r in rows]}


def _shut_down(call: Call, guest: Guest) -> dict[str, Any]:
    if guest.process is not None:
        guest.process.asked_to_stop_at = call.cluster.timeline.now()
    return {}


_READS: dict[str, Answer] = {
    "get-fsinfo": _file_systems,
    "get-host-name": lambda _, guest: {"host-name": guest.name},
    "get-osinfo": _operating_system,
    "get-time": lambda call, _: int(call.cluster.timeline.now() * 1_000_000_000),
    "get-timezone": lambda _, __: {"zone": "UTC", "offset": 0},
    "get-users": lambda _, __: [],
    "get-vcpus": _processors,
    "info": _commands,
    "network-get-interfaces": _interfaces,
}
_ACTIONS: dict[str, Answer] = {
    "ping": lambda _, __: {},
    "fsfreeze-freeze": _freeze,
    "fsfreeze-status": lambda _, g: "frozen" if g.inside.get("is_frozen") else "thawed",
    "fsfreeze-thaw": _thaw,
    "fstrim": _trim,
}


def _serve(answer: Answer) -> Callable[[Call], Waiting]:
    def ask(call: Call) -> Waiting:
        guest = yield from _reach(call)
        return {"result": answer(call, guest)}

    return ask


for _name, _answer in _READS.items():
    routes.get(f"{_BASE}/{_name}")(_serve(_answer))
for _name, _answer in _ACTIONS.items():
    routes.post(f"{_BASE}/{_name}")(_serve(_answer))


@routes.post(f"{_BASE}/exec")
def execute(call: Call) -> Waiting:
    """Start a program inside; `exec-status` tells how it ends."""
    guest = yield from _reach(call)
    command = [str(word) for word in call.params["command"]]
    ending = _run(guest, command, str(call.get("input-data") or ""))
    if ending is None:
        raise die(
            "Agent error: Guest agent command failed, error was 'Failed to execute child process "
            f"“{command[0]}” ({_NOT_FOUND})'"
        )
    processes = guest.inside.setdefault("processes", {})
    pid = 1000 + len(processes)
    processes[pid] = (call.cluster.timeline.now() + _RUNS_S, ending)
    return {"pid": pid}


def _run(guest: Guest, command: list[str], given: str) -> tuple[int, str] | None:
    """Exit code and output of the few programs that every system has."""
    program = command[0].rpartition("/")[2]
    files = guest.inside.get("files", {})
    if program == "true":
        return 0, ""
    if program == "false":
        return 1, ""
    if program == "echo":
        return 0, " ".join(command[1:]) + "\n"
    if program == "hostname":
        return 0, f"{guest.name}\n"
    if program == "cat":
        if len(command) == 1:
            return 0, given
        missing = [path for path in command[1:] if path not in files]
        return int(bool(missing)), "".join(files.get(path, "") for path in command[1:])
    return None


@routes.get(f"{_BASE}/exec-status")
def get_exec_status(call: Call) -> Waiting:
    """Whether a program has ended, and how."""
    guest = yield from _reach(call)
    pid = int(call.params["pid"])
    found = guest.inside.get("processes", {}).get(pid)
    if found is None:
        raise die(f"Agent error: PID {pid} does not exist")
    ends_at, (code, output) = found
    if call.cluster.timeline.now() < ends_at:
        return {"exited": 0}
    row: dict[str, Any] = {"exited": 1, "exitcode": code}
    if output:
        row["out-data"] = output
    return row


@routes.get(f"{_BASE}/file-read")
def read_file(call: Call) -> Waiting:
    """The text of a file that was written before."""
    guest = yield from _reach(call)
    path = str(call.params["file"])
    files = guest.inside.get("files", {})
    if path not in files:
        raise die(
            f"can't open file: Agent error: failed to open file '{path}' (mode: 'r'): {_NOT_FOUND}"
        )
    text = files[path]
    return {"content": text, "bytes-read": len(text.encode())}


@routes.post(f"{_BASE}/file-write")
def write_file(call: Call) -> Waiting:
    """Write a file inside."""
    guest = yield from _reach(call)
    content = str(call.params["content"])
    if call.get("encode", 1) in (0, "0"):
        content = base64.b64decode(content).decode("utf-8", "replace")
    guest.inside.setdefault("files", {})[str(call.params["file"])] = content


@routes.post(f"{_BASE}/shutdown")
def shut_down(call: Call) -> Waiting:
    """Ask the system inside to shut down, and wait for nothing."""
    guest = yield from _reach(call)
    return {"result": _shut_down(call, guest)}


@routes.post(_BASE)
def run_agent_command(call: Call) -> Waiting:
    """The old way to all of the above: the command's name is a parameter."""
    name = str(call.params["command"])
    answer = {**_READS, **_ACTIONS, "shutdown": _shut_down}.get(name)
    guest = yield from _reach(call)
    if answer is None:
        raise die(f"Agent error: The command guest-{name} has not been found")
    return {"result": answer(call, guest)}
