"""Migration of containers: stopped ones, or stopped, moved and started again (restart mode).

(pve-container API2/LXC.pm migrate_vm, LXC/Migrate.pm)
"""

from __future__ import annotations

from typing import Any

from pveops.sim.call import Call
from pveops.sim.guest import Guest, release_flock, start_process, wait_for_flock
from pveops.sim.guest_volumes import list_volumes
from pveops.sim.ha import ROUND_S, Resource, managed, sid_of
from pveops.sim.handlers.guests import get_guest
from pveops.sim.membership import require_quorum
from pveops.sim.migration import (
    Pair,
    Steps,
    blocking_resources,
    check_scan,
    copy_volume,
    dependent_resources,
    duration_text,
    local_volumes,
    take_over,
    unavailable_storages,
)
from pveops.sim.model import Node
from pveops.sim.power import power_off
from pveops.sim.refusal import ApiError, die, parameter_error
from pveops.sim.router import Routes
from pveops.sim.tasks import AbortedError, Task, TaskError, start_task

routes = Routes()
_BASE = "/nodes/{node}/lxc/{vmid}/migrate"
_TIMEOUT_S = 180
_START_S = 1.5
_STEP_S = 1.0


@routes.get(_BASE)
def get_preconditions(call: Call) -> dict[str, Any]:
    """The nodes that HA's rules allow; storages are not looked at (since pve-container 6.0.8)."""
    require_quorum(call.cluster, call.node)
    guest = get_guest(call)
    guest.check_lock()
    allowed, refused = [], {}
    for node in call.cluster.nodes.values():
        if node is call.node:
            continue
        blocking = blocking_resources(call.cluster, guest, node)
        if blocking:
            refused[node.name] = {"blocking-ha-resources": blocking}
        else:
            allowed.append(node.name)
    return {
        "running": int(guest.is_running),
        "allowed-nodes": allowed,
        "not-allowed-nodes": refused,
        "dependent-ha-resources": dependent_resources(call.cluster, guest),
    }


@routes.post(_BASE)
def migrate(call: Call) -> str:
    """Move a container to another node; HA carries out the move of what it manages."""
    name = str(call.params["target"])
    if name == call.node.name:
        raise parameter_error({"target": "target is local node."})
    require_quorum(call.cluster, call.node)
    target = call.cluster.node(name)
    if target is None:
        raise die(f"no such cluster node '{name}'")
    guest = get_guest(call)
    guest.check_lock()
    if guest.is_running and not (call.get("online") or call.get("restart")):
        raise die("can't migrate running container without --online or --restart")
    resource = managed(call.cluster, guest)
    if resource is not None:
        return _hand_to_ha(call, guest, target, resource)
    body = _moving(call, guest, target, restarts=bool(call.get("restart")))
    return str(start_task(call.node, "vzmigrate", guest.vmid, call.identity.auth_id, body).upid)


def _hand_to_ha(call: Call, guest: Guest, target: Node, resource: Resource) -> str:
    """HA relocates containers: stopped, moved, and started by the manager on the target."""

    def relocate() -> None:
        # The manager drops what it cannot follow, with a word in the system log alone.
        if guest.node != call.node.name or not (call.node.is_online and target.is_online):
            return
        resource.current = "relocate"
        body = _moving(call, guest, target, restarts=guest.is_running)
        task = start_task(call.node, "vzmigrate", guest.vmid, "root@pam", body)
        task.on_end.append(lambda: setattr(resource, "current", resource.state))

    def body(task: Task) -> Steps:
        task.log(f"Requesting HA migration for CT {guest.vmid} to node {target.name}")
        yield 0.3
        if blocking_resources(call.cluster, guest, target):
            raise TaskError(
                f"cannot migrate resource '{sid_of(guest)}' to node '{target.name}': "
                "HA rules forbid it"
            )
        call.cluster.timeline.after(ROUND_S, relocate)

    return str(start_task(call.node, "hamigrate", guest.vmid, call.identity.auth_id, body).upid)


def _moving(call: Call, guest: Guest, target: Node, *, restarts: bool) -> Any:
    def body(task: Task) -> Steps:
        yield from wait_for_flock(guest, task)
        began = call.cluster.timeline.now()
        try:
            guest.check_lock()
            _prepare(task, call, guest, target, restarts=restarts)
            was_running = guest.is_running
            guest.config["lock"] = "migrate"
            if was_running:
                yield from _shut_down(task, guest, float(call.get("timeout") or _TIMEOUT_S))
            yield from _carry(task, call, guest, target, was_running=was_running)
        finally:
            release_flock(guest, task)
        guest.config.pop("lock", None)
        if was_running:
            task.log("start container on target node")
            yield _START_S
            _start_there(task, guest, target)
        took = duration_text(call.cluster.timeline.now() - began)
        task.log(f"migration finished successfully (duration {took})")

    return body


def _prepare(task: Task, call: Call, guest: Guest, target: Node, *, restarts: bool) -> None:
    def end(why: str) -> TaskError:
        task.log(f"ERROR: migration aborted (duration 00:00:00): {why}")
        return TaskError("migration aborted")

    if target not in call.cluster.members_seen_by(task.node):
        raise end("Can't connect to destination address using public key")
    if guest.is_running and not restarts:
        raise end("lxc live migration is currently not implemented")
    for volume in list_volumes("lxc", guest.config):
        if volume.volid.startswith("/") and volume.options.get("shared") != "1":
            kind = "device" if volume.volid.startswith("/dev/") else "bind"
            raise end(f"cannot migrate local {kind} mount point '{volume.key}'")
    missing = unavailable_storages(call.cluster, guest, target)
    if missing and call.get("target-storage") is None:
        raise end(f"storage '{missing[0]}' is not available on node '{target.name}'")


def _shut_down(task: Task, guest: Guest, timeout_s: float) -> Steps:
    """A clean shutdown, and no kill when it takes too long."""
    task.log(f"shutdown CT {guest.vmid}")
    takes = guest.temper.shutdown_s
    try:
        if takes is None or takes > timeout_s:
            yield timeout_s
            guest.config.pop("lock", None)
            task.log("ERROR: migration aborted: container did not stop")
            raise TaskError("migration aborted")
        yield max(_STEP_S, takes)
    except AbortedError:
        task.log("received interrupt")
        raise
    power_off(task.node.cluster, guest)


def _carry(task: Task, call: Call, guest: Guest, target: Node, *, was_running: bool) -> Steps:
    task.log(f"starting migration of CT {guest.vmid} to node '{target.name}' ({target.address})")
    made: list[Pair] = []
    volumes = local_volumes(call.cluster, guest)
    try:
        task.log(*(f"found local volume '{v.volid}' (in current VM config)" for v in volumes))
        check_scan(call.cluster, task, guest, volumes)
        wanted, limit = str(call.get("target-storage") or "1"), int(call.get("bwlimit") or 0)
        for volume in volumes:
            copied = yield from copy_volume(task, guest, target, volume, wanted, limit)
            made.append((volume, copied))
    except (ApiError, TaskError) as error:
        if isinstance(error, ApiError):
            task.log(f"ERROR: {error.message}", "aborting phase 1 - cleanup resources")
        # Unlike those of VMs, copies stay where they are (LXC/Migrate.pm phase1_cleanup).
        for _, copied in made:
            task.log(f"ERROR: found stale volume copy '{copied.volid}' on node '{target.name}'")
        _back_on_source(task, guest, was_running=was_running)
        raise TaskError("migration aborted") from error
    take_over(guest, task.node, target, made)


def _back_on_source(task: Task, guest: Guest, *, was_running: bool) -> None:
    guest.config.pop("lock", None)
    if was_running:
        task.log("start container on source node")
        start_process(task.node.cluster, task.node, guest)


def _start_there(task: Task, guest: Guest, target: Node) -> None:
    for key, value in sorted(guest.config.items()):
        if key.startswith("net") and "bridge=" in str(value):
            bridge = str(value).partition("bridge=")[2].partition(",")[0]
            if bridge not in target.bridges:
                task.log(f"ERROR: failed to start container: bridge '{bridge}' does not exist")
                raise TaskError("migration problems")
    start_process(task.node.cluster, target, guest)
