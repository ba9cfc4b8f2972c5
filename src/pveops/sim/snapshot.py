"""Snapshots of guests: made, removed and rolled back to (pve-guest-common AbstractConfig.pm).

A snapshot is a copy of the configuration and a snapshot of each volume. The lock in the
configuration says what is going on; a task that is killed leaves it, and `snapstate`, behind.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from pveops.sim import identity, power
from pveops.sim.features import has_feature
from pveops.sim.guest import Guest, config_path, start_process
from pveops.sim.guest_volumes import (
    GuestVolume,
    add_unused,
    is_in_use,
    is_unused_key,
    list_volumes,
)
from pveops.sim.power import agent_silence, find_local, has_agent, power_off
from pveops.sim.refusal import ApiError, die
from pveops.sim.tasks import Body, Task, TaskError, start_task
from pveops.sim.vmstate import allocate_state
from pveops.sim.volume import FILE_TYPES

if TYPE_CHECKING:
    from pveops.sim.model import Node
    from pveops.sim.power import Steps

RESERVED = {"qemu": ("current", "pending"), "lxc": ("current", "vzdump")}
_NOT_COPIED = re.compile(
    r"snapshots|snapstate|snaptime|vmstate|lock|digest|description|pending|unused\d+"
    r"|runningmachine|runningcpu|running-nets-host-mtu"
)
_SNAPSHOT_S = 0.3
_STOP_S = 0.5
_AGENT_PING_S = 3.0
_STATE_RATE = 512 << 20
"""Bytes of memory a second that are saved."""


def check_name(kind: str, name: str) -> None:
    """`current` and the like are refused at once."""
    reserved = RESERVED[kind]
    if name in reserved or (kind == "qemu" and name.lower() == "pending"):
        raise die(f"unable to use snapshot name '{name}' (reserved name)")


def get_snapshot(guest: Guest, name: str) -> dict[str, Any]:
    """A snapshot's configuration; dies when there is none of that name."""
    if name not in guest.snapshots:
        raise die(f"snapshot '{name}' does not exist")
    return guest.snapshots[name]


def _find(node: Node, kind: str, vmid: int) -> Guest:
    path = config_path(node.name, kind, vmid)
    wording = f"Configuration file '{path}' does not exist"
    return find_local(node.cluster, node, kind, vmid, wording)


def _copied(config: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in config.items() if not _NOT_COPIED.fullmatch(key)}


def _disks(guest: Guest, config: Mapping[str, Any]) -> list[GuestVolume]:
    return [v for v in list_volumes(guest.kind, config) if not v.is_cdrom and v.is_on_storage]


# -- create -----------------------------------------------------------------------------


def create(
    node: Node,
    kind: str,
    vmid: int,
    name: str,
    *,
    description: str | None = None,
    with_state: bool = False,
) -> Body:
    """qmsnapshot, vzsnapshot. with_state: save the memory too, if the VM runs."""

    def body(task: Task) -> Steps:
        guest = _find(node, kind, vmid)
        snapshot = _prepare(node, guest, name, description)
        saves_state = with_state and guest.kind == "qemu" and guest.is_running
        try:
            if saves_state:
                yield from _save_state(task, node, guest, name)
            else:
                yield from _ask_agent(task, guest)
            for volume in _disks(guest, snapshot):
                yield from _snapshot_volume(task, node, guest, volume, name)
        except (ApiError, TaskError) as error:
            task.log("snapshot create failed: starting cleanup")
            _forget(node, guest, name)
            guest.config.pop("lock", None)
            raise error
        del snapshot["snapstate"]
        guest.config["parent"] = name
        guest.config.pop("lock", None)

    return body


def _prepare(node: Node, guest: Guest, name: str, description: str | None) -> dict[str, Any]:
    if guest.is_template:
        raise TaskError("you can't take a snapshot if it's a template")
    guest.check_lock()
    if name in guest.snapshots:
        raise TaskError(f"snapshot name '{name}' already used")
    if not has_feature(node, guest, "snapshot"):
        raise TaskError("snapshot feature is not available")
    snapshot = _copied(guest.config)
    snapshot["snaptime"] = int(node.cluster.timeline.now())
    snapshot["snapstate"] = "prepare"
    if description:
        snapshot["description"] = description
    guest.config["lock"] = "snapshot"
    guest.snapshots[name] = snapshot
    return snapshot


def _save_state(task: Task, node: Node, guest: Guest, name: str) -> Steps:
    snapshot = guest.snapshots[name]
    volume = allocate_state(task, node, guest, f"state-{name}")
    snapshot["vmstate"] = volume.volid
    snapshot["runningmachine"] = "pc-i440fx-10.0+pve0"
    snapshot["runningcpu"] = str(guest.config.get("cpu", "kvm64"))
    used = volume.used_bytes
    task.log(f"saving VM state and RAM using storage '{volume.storage}'")
    yield max(_SNAPSHOT_S, used / _STATE_RATE)
    shown = f"{used / (1 << 20):.2f} MiB"
    task.log(f"completed saving the VM state in {int(used / _STATE_RATE)}s, saved {shown}")


def _ask_agent(task: Task, guest: Guest) -> Steps:
    """File systems are frozen when the agent answers; without it one waits in vain."""
    if guest.kind != "qemu" or not guest.is_running or not has_agent(guest.config):
        return
    if guest.temper.agent == "answers":
        yield 0.2
        return
    yield _AGENT_PING_S
    task.log(agent_silence(task.node, guest.vmid))


def _snapshot_volume(
    task: Task, node: Node, guest: Guest, volume: GuestVolume, name: str
) -> Steps:
    if guest.kind == "qemu":
        task.log(f"snapshotting 'drive-{volume.key}' ({volume.volid})")
        storage = node.cluster.storages.get(volume.volid.partition(":")[0])
        is_internal = guest.is_running and storage.type in FILE_TYPES
        if is_internal and node.version.at_least("9.0"):
            task.log("internal qemu snapshot")
    yield _SNAPSHOT_S
    stored = node.cluster.storages.get_volume(node, volume.volid)
    node.cluster.storages.get_active(stored.storage, node)
    if name not in stored.snapshots:
        stored.snapshots.append(name)


# -- remove -----------------------------------------------------------------------------


def delete(node: Node, kind: str, vmid: int, name: str, *, force: bool = False) -> Body:
    """qmdelsnapshot, vzdelsnapshot. force: the entry goes even when a volume's stays."""

    def body(_: Task) -> Steps:
        guest = _find(node, kind, vmid)
        if guest.is_template:
            noun = "vm" if kind == "qemu" else "CT"
            raise TaskError(f"you can't delete a snapshot if {noun} is a template")
        snapshot = get_snapshot(guest, name)
        guest.check_lock()
        guest.config["lock"] = "snapshot-delete"
        snapshot["snapstate"] = "delete"
        for volume in _disks(guest, snapshot):
            yield _SNAPSHOT_S
            try:
                _drop_from_volume(node, volume.volid, name)
            except ApiError:
                if not force:
                    raise
        _forget(node, guest, name)
        guest.config.pop("lock", None)

    return body


def _drop_from_volume(node: Node, volid: str, name: str) -> None:
    node.cluster.storages.get_active(volid.partition(":")[0], node)
    stored = node.cluster.storages.find_volume(node, volid)
    if stored is not None and name in stored.snapshots:
        stored.snapshots.remove(name)


def _forget(node: Node, guest: Guest, name: str) -> None:
    """Take the entry out: children get its parent, volumes only it had become unused."""
    snapshot = guest.snapshots.pop(name)
    for other in (guest.config, *guest.snapshots.values()):
        if other.get("parent") == name:
            other.pop("parent")
            if snapshot.get("parent"):
                other["parent"] = snapshot["parent"]
    for volume in _disks(guest, snapshot):
        stored = node.cluster.storages.find_volume(node, volume.volid)
        if stored is not None and name in stored.snapshots:
            stored.snapshots.remove(name)
        if stored is not None and not is_in_use(guest, volume.volid):
            add_unused(guest.config, volume.volid)
    state = snapshot.get("vmstate")
    if state:
        node.cluster.storages.free(node, str(state))


# -- roll back --------------------------------------------------------------------------


def roll_back(node: Node, kind: str, vmid: int, name: str, *, start: bool = False) -> Body:
    """qmrollback, vzrollback: a running guest is killed first. start: it runs afterwards."""

    def body(task: Task) -> Steps:
        guest = _find(node, kind, vmid)
        snapshot = get_snapshot(guest, name)
        _check_rollback(node, guest, snapshot, name)
        if guest.is_running:
            yield _STOP_S
            power_off(node.cluster, guest)
        guest.config["lock"] = "rollback"
        for volume in _disks(guest, snapshot):
            yield _SNAPSHOT_S
            node.cluster.storages.get_active(volume.volid.partition(":")[0], node)
        _apply(node, guest, snapshot, name)
        if snapshot.get("vmstate"):
            yield _SNAPSHOT_S
            start_process(node.cluster, node, guest)
        elif start:
            # Another worker starts it; this one does not wait for that.
            verb = "qmstart" if kind == "qemu" else "vzstart"
            start_task(node, verb, vmid, task.upid.user, power.start(node, kind, vmid))

    return body


def _check_rollback(node: Node, guest: Guest, snapshot: dict[str, Any], name: str) -> None:
    if guest.is_template:
        noun = "vm" if guest.kind == "qemu" else "CT"
        raise TaskError(f"you can't rollback if {noun} is a template")
    for volume in _disks(guest, snapshot):
        storage = node.cluster.storages.get(volume.volid.partition(":")[0])
        stored = node.cluster.storages.get_volume(node, volume.volid)
        is_newest = bool(stored.snapshots) and stored.snapshots[-1] == name
        if storage.type == "zfspool" and not is_newest:
            # zfs rolls back to the newest snapshot alone (ZFSPoolPlugin.pm).
            text = f"'{name}' is not most recent snapshot on '{volume.volid}'"
            raise TaskError(f"can't rollback, {text}")
    if snapshot.get("snapstate"):
        state = snapshot["snapstate"]
        raise TaskError(f"unable to rollback to incomplete snapshot (snapstate = {state})")
    guest.check_lock()


def _apply(node: Node, guest: Guest, snapshot: dict[str, Any], name: str) -> None:
    """The configuration of then, with the notes and the unused volumes of now."""
    old = guest.config
    config = _copied(snapshot)
    for key, value in old.items():
        if key == "description" or is_unused_key(key):
            config[key] = value
    config["parent"] = name
    wanted = {volume.volid for volume in list_volumes(guest.kind, config)}
    for volume in _disks(guest, old):
        if volume.volid not in wanted:
            add_unused(config, volume.volid)
    if guest.kind == "qemu" and "vmgenid" in config:
        config["vmgenid"] = identity.new_uuid(node.cluster.random)
    guest.config = config
    guest.pending.clear()
    guest.pending_deletes.clear()
