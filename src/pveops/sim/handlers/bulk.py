"""Starting and stopping many guests in one task: startall, stopall, and bulk actions."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

from pveops.sim import ha, power
from pveops.sim.call import Call
from pveops.sim.guest import Guest
from pveops.sim.handlers.permission import check, may
from pveops.sim.property_string import parse_properties
from pveops.sim.refusal import permission_error
from pveops.sim.router import Routes
from pveops.sim.tasks import Task, TaskError, start_task

routes = Routes()
Steps = Generator[float, None, None]
_NODE = "/nodes/{node}"
_BULK = "/cluster/bulk-action/guest"
_LAST = 1 << 62
_DEFAULT_TIMEOUT_S = 180
_VM_START_DELAY_S = 3
"""startall waits this long after each VM, to spread the load."""


def _wanted(call: Call) -> list[int]:
    vms = call.get("vms") or ""
    parts = (
        vms if isinstance(vms, list) else str(vms).replace(";", ",").replace(" ", ",").split(",")
    )
    return [int(part) for part in parts if part]


def _check_power(call: Call) -> None:
    if may(call, "/", "VM.PowerMgmt"):
        return
    wanted = _wanted(call)
    if not wanted:
        raise permission_error("/", "VM.PowerMgmt")
    for vmid in wanted:
        check(call, f"/vms/{vmid}", "VM.PowerMgmt")


def _startup(guest: Guest) -> dict[str, int]:
    pairs = parse_properties(str(guest.config.get("startup") or ""), "order")
    return {key: int(value) for key, value in pairs.items() if value.isdigit()}


def _selected(call: Call, node: str | None) -> list[Guest]:
    """Guests in the order of their start; templates never, HA-managed ones only by name."""
    wanted = _wanted(call)
    guests = [
        guest
        for guest in call.cluster.guests.values()
        if (node is None or guest.node == node)
        and not guest.is_template
        and (guest.vmid in wanted if wanted else ha.managed(call.cluster, guest) is None)
    ]
    return sorted(guests, key=lambda guest: (_startup(guest).get("order", _LAST), guest.vmid))


def _start_worker(call: Call, guest: Guest, body: Any, kind: str) -> Task:
    node = call.cluster.nodes[guest.node]
    prefix = "qm" if guest.kind == "qemu" else "vz"
    return start_task(node, f"{prefix}{kind}", guest.vmid, call.identity.auth_id, body)


def _start(call: Call, guest: Guest) -> Task:
    node = call.cluster.nodes[guest.node]
    return _start_worker(call, guest, power.start(node, guest.kind, guest.vmid), "start")


def _shut_down(call: Call, guest: Guest, timeout_s: float) -> Task:
    node = call.cluster.nodes[guest.node]
    force = bool(call.get("force-stop", 1))
    body = power.shutdown(node, guest.kind, guest.vmid, timeout_s, force=force)
    return _start_worker(call, guest, body, "shutdown")


def _wait(task: Task) -> Steps:
    while task.is_running:
        yield 1.0


def _has_failed(task: Task) -> bool:
    return not str(task.exitstatus).startswith(("OK", "WARNINGS"))


@routes.post(f"{_NODE}/startall")
def start_all(call: Call) -> str:
    """Start the guests of a node that start on boot; with `force` the others, too."""
    _check_power(call)
    guests = [
        guest
        for guest in _selected(call, call.node.name)
        if call.get("force") or guest.config.get("onboot")
    ]

    def body(task: Task) -> Steps:
        for guest in guests:
            if guest.is_running:
                continue
            task.log(f"Starting {guest.noun} {guest.vmid}")
            worker = _start(call, guest)
            yield float(_startup(guest).get("up", _VM_START_DELAY_S if guest.noun == "VM" else 0))
            yield from _wait(worker)
            if _has_failed(worker):
                task.log(f"Starting {guest.noun} {guest.vmid} failed: {worker.exitstatus}")

    return str(start_task(call.node, "startall", "", call.identity.auth_id, body).upid)


@routes.post(f"{_NODE}/stopall")
def stop_all(call: Call) -> str:
    """Shut down the running guests of a node, in the opposite order."""
    _check_power(call)
    guests = _selected(call, call.node.name)[::-1]

    def body(task: Task) -> Steps:
        workers = []
        for guest in guests:
            if guest.is_running:
                timeout_s = _startup(guest).get("down", call.get("timeout", _DEFAULT_TIMEOUT_S))
                task.log(f"Stopping {guest.noun} {guest.vmid} (timeout = {timeout_s} seconds)")
                workers.append(_shut_down(call, guest, timeout_s))
        for worker in workers:
            yield from _wait(worker)

    return str(start_task(call.node, "stopall", "", call.identity.auth_id, body).upid)


def _check_bulk(call: Call) -> None:
    wanted = _wanted(call)
    for vmid in wanted:
        check(call, f"/vms/{vmid}", "VM.PowerMgmt")
    if not wanted:
        check(call, "/", "VM.PowerMgmt")


def _announce(call: Call, task: Task, verb: str) -> None:
    wanted = _wanted(call)
    task.log(f"{verb} guests: {', '.join(map(str, wanted))}" if wanted else f"{verb} all guests")


@routes.post(f"{_BULK}/start")
def bulk_start(call: Call) -> str:
    """Start guests anywhere in the cluster."""
    _check_bulk(call)

    def body(task: Task) -> Steps:
        _announce(call, task, "Starting")
        failed = []
        for guest in _selected(call, None):
            if guest.is_running:
                task.warn(f"Skipping {guest.noun} {guest.vmid}, already running.")
                continue
            task.log(f"Starting {guest.noun} {guest.vmid}")
            worker = _start(call, guest)
            yield from _wait(worker)
            if _has_failed(worker):
                name = f"{guest.noun} {guest.vmid}"
                task.warn(f"Starting {name} failed: {worker.exitstatus}")
                failed.append(str(guest.vmid))
            else:
                yield float(_startup(guest).get("up", 0))
        if failed:
            raise TaskError(f"Some guests failed to start: {', '.join(failed)}")

    return str(start_task(call.receiver, "bulk-start", "", call.identity.auth_id, body).upid)


@routes.post(f"{_BULK}/shutdown")
def bulk_shutdown(call: Call) -> str:
    """Shut down guests anywhere in the cluster."""
    _check_bulk(call)
    timeout_s = call.get("timeout", _DEFAULT_TIMEOUT_S)

    def body(task: Task) -> Steps:
        _announce(call, task, "Shutting down")
        failed = []
        for guest in _selected(call, None)[::-1]:
            if not guest.is_running:
                continue
            name = f"{guest.noun} {guest.vmid}"
            task.log(f"Shutting down {name} (Timeout = {timeout_s} seconds)")
            worker = _shut_down(call, guest, timeout_s)
            yield from _wait(worker)
            if _has_failed(worker):
                task.warn(f"Stopping {name} failed: {worker.exitstatus}")
                failed.append(str(guest.vmid))
        if failed:
            raise TaskError(f"Some guests failed to shutdown {', '.join(failed)}")

    return str(start_task(call.receiver, "bulk-shutdown", "", call.identity.auth_id, body).upid)
