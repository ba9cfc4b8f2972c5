"""The power methods of guests: what is refused at once, and the tasks they start.

(API2/Qemu.pm, API2/LXC/Status.pm)
"""

from __future__ import annotations

from typing import Any

from pveops.sim import power
from pveops.sim.call import Call
from pveops.sim.guest import Guest
from pveops.sim.ha import Resource, managed
from pveops.sim.handlers.guests import get_guest, kind_of
from pveops.sim.membership import require_quorum
from pveops.sim.refusal import die, parameter_error
from pveops.sim.router import Routes
from pveops.sim.tasks import Body, start_task

routes = Routes()
_BASES = ("/nodes/{node}/qemu/{vmid}/status", "/nodes/{node}/lxc/{vmid}/status")
_DEFAULT_TIMEOUT_S = 60


def _find(call: Call) -> Guest | None:
    guest = call.cluster.guests.get(int(call.params["vmid"]))
    is_here = guest is not None and guest.node == call.node.name and guest.kind == kind_of(call)
    return guest if is_here else None


def _start(call: Call, kind: str, body: Body) -> str:
    auth_id = call.identity.auth_id
    return str(start_task(call.node, kind, call.params["vmid"], auth_id, body).upid)


def _prefix(call: Call) -> str:
    return "vz" if kind_of(call) == "lxc" else "qm"


def _check_root_options(call: Call) -> None:
    for name in ("skiplock", "stateuri", "migratedfrom", "force-cpu", "keepActive"):
        if call.get(name) is not None and not call.identity.is_root:
            raise parameter_error({name: "Only root may use this option."})


def _resource(call: Call, guest: Guest | None) -> Resource | None:
    return managed(call.cluster, guest) if guest is not None else None


def _queue(call: Call, resource: Resource, kind: str, state: str, timeout_s: float | None) -> str:
    """Hand the request to HA; its task is over long before anything happens."""
    if resource.current == "error":
        raise die(f"service '{resource.sid}' in error state, must be disabled and fixed first")

    def body(task: Any) -> Any:
        task.log(f"Requesting HA {'start' if state == 'started' else 'stop'} for {resource.sid}")
        yield 0.3
        resource.state = state
        resource.stop_timeout_s = timeout_s

    return _start(call, kind, body)


@routes.post(*(f"{base}/start" for base in _BASES))
def start_guest(call: Call) -> str:
    """Start; a container that runs is refused at once, a VM only by its task."""
    _check_root_options(call)
    require_quorum(call.cluster, call.node)
    guest = _find(call)
    kind, vmid = kind_of(call), int(call.params["vmid"])
    resource = _resource(call, guest)
    if resource is not None:
        return _queue(call, resource, "hastart", "started", None)
    if kind == "lxc" and guest is not None and guest.is_running:
        raise die(f"CT {vmid} already running")
    body = power.start(call.node, kind, vmid, skip_lock=bool(call.get("skiplock")))
    return _start(call, f"{_prefix(call)}start", body)


@routes.post(*(f"{base}/stop" for base in _BASES))
def stop_guest(call: Call) -> str:
    """Cut the power."""
    _check_root_options(call)
    guest = _find(call)
    kind, vmid = kind_of(call), int(call.params["vmid"])
    resource = _resource(call, guest)
    if resource is not None:
        if call.get("overrule-shutdown"):
            raise parameter_error({"overrule-shutdown": "Not applicable for HA resources."})
        return _queue(call, resource, "hastop", "stopped", 0)
    if kind == "lxc" and guest is not None and not guest.is_running:
        raise die(f"CT {vmid} not running")
    if call.get("overrule-shutdown"):
        _overrule(call)
    return _start(call, f"{_prefix(call)}stop", power.stop(call.node, kind, vmid))


def _overrule(call: Call) -> None:
    """End the caller's running shutdown tasks of the guest."""
    for task in list(call.node.tasks.values()):
        is_shutdown = task.upid.type in {"qmshutdown", "vzshutdown"}
        is_same = task.upid.id == str(call.params["vmid"])
        is_own = call.identity.is_root or task.upid.user.split("!")[0] == call.identity.user
        if task.is_running and is_shutdown and is_same and is_own:
            task.fail("received interrupt")


@routes.post(*(f"{base}/shutdown" for base in _BASES))
def shut_guest_down(call: Call) -> str:
    """Ask the system inside to shut down."""
    _check_root_options(call)
    guest = _find(call)
    kind, vmid = kind_of(call), int(call.params["vmid"])
    timeout_s = float(call.get("timeout", _down_timeout(guest)))
    is_forced = bool(call.get("forceStop"))
    resource = _resource(call, guest)
    if resource is not None:
        return _queue(call, resource, "hastop", "stopped", timeout_s)
    if kind == "lxc" and guest is not None and not guest.is_running:
        raise die(f"CT {vmid} not running")
    if kind == "qemu" and _is_paused(guest):
        if not is_forced:
            raise die("VM is paused - cannot shutdown")
        return _start(call, "qmstop", power.stop(call.node, kind, vmid))
    body = power.shutdown(call.node, kind, vmid, timeout_s, force=is_forced)
    return _start(call, f"{_prefix(call)}shutdown", body)


def _is_paused(guest: Guest | None) -> bool:
    process = guest.process if guest is not None else None
    return process is not None and process.qmpstatus in {"paused", "suspended"}


def _down_timeout(guest: Guest | None) -> int:
    """`down=` of the startup order, else a minute."""
    startup = str(guest.config.get("startup", "")) if guest is not None else ""
    for part in startup.split(","):
        if part.startswith("down="):
            return int(part.removeprefix("down="))
    return _DEFAULT_TIMEOUT_S


@routes.post(*(f"{base}/reboot" for base in _BASES))
def reboot_guest(call: Call) -> str:
    """Shut down and start again; HA has no part in it."""
    guest, kind, vmid = _find(call), kind_of(call), int(call.params["vmid"])
    if guest is None or guest.process is None:
        raise die(f"{'CT' if kind == 'lxc' else 'VM'} {vmid} not running")
    if kind == "qemu" and _is_paused(guest):
        raise die("VM is paused - cannot shutdown")
    timeout_s = float(call.get("timeout", _DEFAULT_TIMEOUT_S))
    body = power.shutdown(call.node, kind, vmid, timeout_s, force=False, restart=True)
    return _start(call, f"{_prefix(call)}reboot", body)


@routes.post("/nodes/{node}/qemu/{vmid}/status/reset")
def reset_guest(call: Call) -> str:
    """Press the reset button."""
    _check_root_options(call)
    guest = _find(call)
    if guest is None or not guest.is_running:
        raise die(f"VM {call.params['vmid']} not running")
    return _start(call, "qmreset", power.reset(call.node, guest.vmid))


@routes.post("/nodes/{node}/qemu/{vmid}/status/suspend")
def suspend_vm(call: Call) -> str:
    """Pause in memory, or hibernate with `todisk`."""
    _check_root_options(call)
    guest = _find(call)
    if guest is None or not guest.is_running:
        raise die(f"VM {call.params['vmid']} not running")
    if not call.get("todisk"):
        return _start(call, "qmpause", power.pause(call.node, guest.vmid))
    if _resource(call, guest) is not None:
        raise die("Cannot suspend HA managed VM to disk")
    if guest.lock == "backup":
        raise die("cannot suspend to disk during backup")
    storage = call.get("statestorage")
    return _start(call, "qmsuspend", power.hibernate(call.node, guest.vmid, storage))


@routes.post("/nodes/{node}/qemu/{vmid}/status/resume")
def resume_vm(call: Call) -> str:
    """Let a paused or hibernated VM go on."""
    guest = get_guest(call)
    if not guest.is_running and guest.lock != "suspended":
        raise die(f"VM {guest.vmid} not running")
    return _start(call, "qmresume", power.resume(call.node, guest.vmid))


@routes.post("/nodes/{node}/lxc/{vmid}/status/suspend")
def suspend_container(call: Call) -> str:
    """Freeze with CRIU."""
    guest = get_guest(call)
    if not guest.is_running:
        raise die(f"CT {guest.vmid} not running")
    return _start(call, "vzsuspend", power.checkpoint(call.node, guest.vmid))


@routes.post("/nodes/{node}/lxc/{vmid}/status/resume")
def resume_container(call: Call) -> str:
    """Go on from a CRIU checkpoint."""
    guest = get_guest(call)
    return _start(call, "vzresume", power.checkpoint(call.node, guest.vmid))
