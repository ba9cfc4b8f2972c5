"""What the power verbs do on a node, as bodies of tasks.

Durations are those of an idle node. Texts are PVE's (QemuServer.pm, LXC.pm).
"""

from __future__ import annotations

from collections.abc import Generator
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from pveops.sim.cloudinit import write_seed
from pveops.sim.guest import (
    Guest,
    apply_pending,
    release_flock,
    resume_process,
    start_process,
    wait_for_flock,
)
from pveops.sim.tasks import AbortedError, Body, Task, TaskError
from pveops.sim.vmstate import allocate_state

if TYPE_CHECKING:
    from pveops.sim.model import Cluster, Node

_START_S = 1.5
_STOP_S = 0.5
_AGENT_PING_S = 3.0
_STEP_S = 1.0

Steps = Generator[float, None, None]


def find_local(cluster: Cluster, node: Node, kind: str, vmid: int, wording: str) -> Guest:
    """The guest on this node; TaskError in the words of the verb when it is not there."""
    guest = cluster.guests.get(vmid)
    if guest is None or guest.node != node.name or guest.kind != kind:
        raise TaskError(wording)
    return guest


def start(node: Node, kind: str, vmid: int, *, skip_lock: bool = False) -> Body:
    """qmstart, vzstart."""

    def body(task: Task) -> Steps:
        folder = "qemu-server" if kind == "qemu" else "lxc"
        guest = find_local(
            node.cluster,
            node,
            kind,
            vmid,
            f"Configuration file 'nodes/{node.name}/{folder}/{vmid}.conf' does not exist",
        )
        yield from wait_for_flock(guest, task)
        try:
            yield from _start_locked(task, node, guest, skip_lock=skip_lock)
        finally:
            release_flock(guest, task)

    return body


def _start_locked(task: Task, node: Node, guest: Guest, *, skip_lock: bool) -> Steps:
    if guest.is_template:
        noun = "vm" if guest.kind == "qemu" else "CT"
        raise TaskError(f"you can't start a {noun} if it's a template")
    was_suspended = guest.lock == "suspended"
    if not skip_lock:
        _check_start_lock(guest)
    if guest.is_running:
        raise TaskError(f"{guest.noun} {guest.vmid} already running")
    _check_parts(task, node, guest)
    if was_suspended:
        yield from _wake(task, node, guest)
        return
    yield _START_S
    start_process(node.cluster, node, guest)
    if guest.kind == "qemu":
        write_seed(guest)


def _check_start_lock(guest: Guest) -> None:
    if guest.kind == "lxc":
        guest.check_lock("mounted")
    else:
        guest.check_lock("suspended", *(("backup",) if guest.is_running else ()))


def _wake(task: Task, node: Node, guest: Guest) -> Steps:
    """Go on from the memory that was saved; what waits for a stop waits on."""
    state = str(guest.config.get("vmstate") or "")
    task.log("Resuming suspended VM")
    if state:
        task.log(f"activating and using '{state}' as vmstate")
    yield _START_S
    resume_process(node.cluster, node, guest)
    task.log("Resumed VM, removing state")
    for key in ("lock", "vmstate", "runningmachine", "runningcpu"):
        guest.config.pop(key, None)
    if state and node.cluster.storages.find_volume(node, state) is not None:
        node.cluster.storages.free(node, state)


def _refuse_bridge(task: Task, guest: Guest, bridge: str) -> None:
    missing = f"bridge '{bridge}' does not exist"
    if guest.kind == "lxc" or task.node.version.at_least("9.0"):
        raise TaskError(missing)
    # Before 9.0 only the script that QEMU runs finds out.
    task.log(missing)
    raise TaskError("start failed: QEMU exited with code 1")


def _check_parts(task: Task, node: Node, guest: Guest) -> None:
    """Bridges and volumes that the start needs."""
    for key, value in sorted(guest.config.items()):
        text = str(value)
        if key.startswith("net") and "bridge=" in text:
            bridge = text.partition("bridge=")[2].partition(",")[0]
            if bridge not in node.bridges:
                _refuse_bridge(task, guest, bridge)
        volid = text.partition(",")[0]
        if is_disk(guest.kind, key) and ":" in volid:
            storage = volid.partition(":")[0]
            definition = node.cluster.storages.definitions.get(storage)
            if definition is None:
                raise TaskError(f"storage '{storage}' does not exist")
            if not node.cluster.storages.is_active(definition, node):
                raise TaskError(f"storage '{storage}' is not online")


def is_disk(kind: str, key: str) -> bool:
    """Whether a key of the configuration is a drive."""
    slot = key.rstrip("0123456789")
    if kind == "lxc":
        return key == "rootfs" or slot == "mp"
    return key != slot and slot in {"scsi", "virtio", "sata", "ide", "efidisk", "tpmstate"}


def stop(node: Node, kind: str, vmid: int) -> Body:
    """qmstop, vzstop: the power is cut."""

    def body(task: Task) -> Steps:
        guest = find_local(node.cluster, node, kind, vmid, _unknown(node, kind, vmid))
        yield from wait_for_flock(guest, task)
        try:
            if not guest.is_running:
                return
            guest.check_lock("suspended", "mounted")
            yield _STOP_S
            power_off(node.cluster, guest)
        finally:
            release_flock(guest, task)

    return body


def _unknown(node: Node, kind: str, vmid: int) -> str:
    if kind == "qemu":
        return f"unable to find configuration file for VM {vmid} on node '{node.name}'"
    return f"Configuration file 'nodes/{node.name}/lxc/{vmid}.conf' does not exist"


def power_off(cluster: Cluster, guest: Guest) -> None:
    """The process is gone; what waited for that takes effect."""
    guest.end_process(cluster.timeline.now())
    apply_pending(cluster, guest)


def shutdown(
    node: Node, kind: str, vmid: int, timeout_s: float, *, force: bool, restart: bool = False
) -> Body:
    """qmshutdown, vzshutdown; with `restart` qmreboot, vzreboot."""

    def body(task: Task) -> Steps:
        guest = find_local(node.cluster, node, kind, vmid, _unknown(node, kind, vmid))
        yield from wait_for_flock(guest, task)
        try:
            if guest.is_running:
                guest.check_lock("suspended", "mounted")
                yield from _shut_down(task, guest, timeout_s, force=force, restart=restart)
        finally:
            release_flock(guest, task)
        if restart:
            _start_later(node, guest)

    return body


def _start_later(node: Node, guest: Guest) -> None:
    """The start after a reboot is another process's (qmeventd, lxc); the task is over by then."""

    def start_again() -> None:
        if guest.process is None and node.is_online and guest.node == node.name:
            start_process(node.cluster, node, guest)

    node.cluster.timeline.after(_START_S, start_again)


def _shut_down(task: Task, guest: Guest, timeout_s: float, *, force: bool, restart: bool) -> Steps:
    now = task.node.cluster.timeline.now
    if guest.kind == "qemu":
        yield from _ask_agent(task, guest)
    elif timeout_s == 0:
        force = True
    if guest.process is None:
        return
    guest.process.asked_to_stop_at = now()
    deadline = now() + timeout_s
    while not _has_gone_down(guest, now()):
        if now() >= deadline:
            break
        yield min(_STEP_S, max(0.1, deadline - now()))
    if _has_gone_down(guest, now()):
        power_off(task.node.cluster, guest)
        return
    if not (force or (guest.kind == "lxc" and restart)):
        if guest.kind == "qemu":
            raise TaskError("VM quit/powerdown failed - got timeout")
        raise TaskError("container did not stop")
    if guest.kind == "qemu":
        task.log("VM still running - terminating now with SIGTERM")
        yield _STEP_S
    power_off(task.node.cluster, guest)


def _ask_agent(task: Task, guest: Guest) -> Steps:
    if not has_agent(guest.config):
        return
    if guest.temper.agent == "answers":
        yield 0.2
        return
    try:
        yield _AGENT_PING_S
    except AbortedError:
        task.log("QEMU Guest Agent is not running - received interrupt")
        raise
    task.log(agent_silence(task.node, guest.vmid))


def agent_silence(node: Node, vmid: int) -> str:
    """What a worker writes down when the agent does not answer in three seconds."""
    protocol = "qga" if node.version.at_least("9.0") else "qmp"
    return (
        f"QEMU Guest Agent is not running - VM {vmid} {protocol} command 'guest-ping' failed - "
        "got timeout"
    )


def has_agent(config: dict[str, Any]) -> bool:
    """Whether the guest agent is switched on."""
    first = str(config.get("agent", "0")).split(",")[0]
    return first in {"1", "enabled=1"}


def _has_gone_down(guest: Guest, now: float) -> bool:
    process, takes = guest.process, guest.temper.shutdown_s
    if process is None:
        return True
    if takes is None or process.asked_to_stop_at is None or process.qmpstatus != "running":
        return False
    return now - process.asked_to_stop_at >= takes


def reset(node: Node, vmid: int) -> Body:
    """qmreset: the process stays, the system inside starts again."""

    def body(_: Task) -> Steps:
        guest = find_local(node.cluster, node, "qemu", vmid, _unknown(node, "qemu", vmid))
        guest.check_lock("backup")
        if guest.process is None:
            raise TaskError(f"VM {vmid} not running")
        guest.process.asked_to_stop_at = None
        yield 0.2

    return body


def pause(node: Node, vmid: int) -> Body:
    """qmpause: the process stands still in memory."""

    def body(_: Task) -> Steps:
        guest = find_local(node.cluster, node, "qemu", vmid, _unknown(node, "qemu", vmid))
        guest.check_lock("backup")
        if guest.process is None:
            raise TaskError(f"VM {vmid} not running")
        yield 0.2
        guest.process.qmpstatus = "paused"

    return body


def hibernate(node: Node, vmid: int, storage: str | None) -> Body:
    """Suspend to disk: the memory goes to a volume and the process ends.

    storage: where to; None: where snapshots would put it.
    """

    def body(task: Task) -> Steps:
        guest = find_local(node.cluster, node, "qemu", vmid, _unknown(node, "qemu", vmid))
        yield from wait_for_flock(guest, task)
        try:
            guest.check_lock()
            if guest.process is None:
                raise TaskError(f"VM {vmid} not running")
            # An interrupted hibernation leaves this lock on purpose (PVE::QemuServer vm_suspend).
            guest.config["lock"] = "suspending"
            day = datetime.fromtimestamp(node.cluster.timeline.now(), UTC).date()
            state = allocate_state(task, node, guest, f"state-suspend-{day}", storage)
            guest.config["vmstate"] = state.volid
            guest.config["runningmachine"] = "pc-i440fx-10.0+pve0"
            guest.config["runningcpu"] = str(guest.config.get("cpu", "kvm64"))
            yield 3.0
            task.log("State saved, quitting")
            guest.end_process(node.cluster.timeline.now())
            guest.config["lock"] = "suspended"
        finally:
            release_flock(guest, task)

    return body


def resume(node: Node, vmid: int) -> Body:
    """qmresume: a paused VM goes on; a hibernated one is started from its state."""

    def body(task: Task) -> Steps:
        guest = find_local(node.cluster, node, "qemu", vmid, _unknown(node, "qemu", vmid))
        if guest.lock == "suspended" and guest.process is None:
            yield from start(node, "qemu", vmid)(task)
            return
        guest.check_lock("backup")
        if guest.process is None:
            raise TaskError(f"VM {vmid} not running")
        yield 0.2
        guest.process.qmpstatus = "running" if _has_room(node, guest) else "io-error"

    return body


def _has_room(node: Node, guest: Guest) -> bool:
    """Whether the guest's disks can be written: none lies on a full storage."""
    storages = node.cluster.storages
    for key, value in guest.config.items():
        storage = str(value).partition(":")[0]
        definition = storages.definitions.get(storage) if is_disk("qemu", key) else None
        if definition is not None and storages.usage(definition, node).avail <= 0:
            return False
    return True


def checkpoint(node: Node, vmid: int) -> Body:
    """vzsuspend: CRIU is not installed, so it fails as it does on most nodes."""

    def body(_: Task) -> Steps:
        find_local(node.cluster, node, "lxc", vmid, _unknown(node, "lxc", vmid))
        yield 0.5
        raise TaskError(
            f"command 'lxc-checkpoint -n {vmid} -s -D /var/lib/vz/dump' failed: exit code 1"
        )

    return body
