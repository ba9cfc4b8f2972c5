"""Guests out of backups: what POST qemu with `archive`, and POST lxc with `restore`, start.

Checks and logs as in qemu-server API2/Qemu.pm and pve-container API2/LXC.pm.
"""

from __future__ import annotations

import re
from collections.abc import Generator
from dataclasses import replace
from typing import Any

from pveops.sim.archive import Archive, get_archive, restore_ct_volumes, restore_vm_disks
from pveops.sim.call import Call
from pveops.sim.guest import Guest, Temper, start_process
from pveops.sim.handlers.bridge_access import check_bridge_access
from pveops.sim.handlers.storage_content import check_volume_access
from pveops.sim.identity import new_mac, new_uuid
from pveops.sim.property_string import format_properties, parse_properties
from pveops.sim.refusal import ApiError, die, parameter_error
from pveops.sim.tasks import AbortedError, Task, TaskError, start_task

_DRIVE = re.compile(r"(ide|sata|scsi|virtio|efidisk|tpmstate|unused)\d+")
_MOUNT = re.compile(r"rootfs|(mp|unused)\d+")
_REQUEST = (
    "node vmid archive ostemplate storage unique force pool bwlimit start live-restore restore "
    "ignore-unpack-errors password ssh-public-keys ha-managed import-working-storage"
)
_OF_THE_REQUEST = frozenset(_REQUEST.split())
"""Parameters that are no part of a configuration."""


def start_vm_restore(call: Call) -> str:
    """Check a restore of a VM and start it; the rights on the guest are checked before."""
    vmid, volid = int(call.params["vmid"]), str(call.params["archive"])
    for name in call.params:
        if _DRIVE.fullmatch(name):
            text = "option conflicts with option 'archive'"
            raise parameter_error({name: text})
    check_volume_access(call, volid, vmid)
    archive = get_archive(call.node, volid)
    if archive.kind != "qemu":
        raise die(f"archive '{volid}' is no backup of a VM")
    check_bridge_access(call, {**archive.config, **call.params})
    existing = call.cluster.guests.get(vmid)
    if existing is not None and not (call.get("force") and existing.node == call.node.name):
        where = f"VM {vmid} already exists on node '{existing.node}'"
        raise die(f"unable to restore VM {vmid} - {where}")
    if existing is not None:
        _check_replaceable(existing, f"unable to restore VM {vmid} - ")
    guest = existing or _placeholder(call, "qemu")

    def body(task: Task) -> Generator[float, None, None]:
        try:
            if existing is not None:
                _drop_disks(call, existing)
            lines = yield from restore_vm_disks(task, call.node, volid, vmid, call.get("storage"))
        except (ApiError, TaskError, AbortedError) as error:
            _give_up(call, guest, is_new=existing is None)
            if isinstance(error, AbortedError):
                raise
            raise _failure(vmid, error) from error
        guest.config = _vm_config(call, archive, lines)
        guest.temper = _temper_of(call, archive, guest)
        if call.get("start"):
            start_process(call.cluster, call.node, guest)

    return _start(call, "qmrestore", body)


def start_ct_restore(call: Call) -> str:
    """Check a restore of a container and start it; the rights on the guest are checked before."""
    vmid, volid = int(call.params["vmid"]), str(call.params["ostemplate"])
    check_volume_access(call, volid, vmid)
    existing = call.cluster.guests.get(vmid)
    if existing is not None and not (call.get("force") and existing.node == call.node.name):
        raise die(f"CT {vmid} already exists on node '{existing.node}'")
    if existing is not None:
        _check_replaceable(existing, "")
    archive = get_archive(call.node, volid)
    if archive.kind != "lxc":
        raise die(f"unable to restore CT {vmid} - archive '{volid}' is no backup of a container")
    guest = existing or _placeholder(call, "lxc")

    def body(task: Task) -> Generator[float, None, None]:
        try:
            if existing is not None:
                _drop_disks(call, existing)
            lines = yield from restore_ct_volumes(
                task, call.node, volid, vmid, call.get("storage")
            )
        except (ApiError, TaskError, AbortedError) as error:
            _give_up(call, guest, is_new=True)
            if isinstance(error, AbortedError):
                raise
            raise TaskError(f"unable to restore CT {vmid} - {_text(error)}") from error
        guest.config = _ct_config(call, archive, lines)
        guest.temper = _temper_of(call, archive, guest)
        if call.get("start"):
            start_process(call.cluster, call.node, guest)

    return _start(call, "vzrestore", body)


def _temper_of(call: Call, archive: Archive, guest: Guest) -> Temper:
    """The system in a backup behaves as the one that it was taken of, if that is there still."""
    source = call.cluster.guests.get(archive.vmid)
    return replace(source.temper if source is not None else guest.temper)


def _start(call: Call, kind: str, body: Any) -> str:
    vmid = int(call.params["vmid"])
    if call.get("pool"):
        pool = call.cluster.pools.get(call.params["pool"])
        call.cluster.pools.forget_guest(vmid)
        pool.vmids.add(vmid)
    return str(start_task(call.node, kind, vmid, call.identity.auth_id, body).upid)


def _placeholder(call: Call, kind: Any) -> Guest:
    """The id is taken from now on."""
    vmid = int(call.params["vmid"])
    guest = Guest(
        vmid, kind, call.node.name, {"lock": "create"}, created_at=call.cluster.timeline.now()
    )
    call.cluster.guests[vmid] = guest
    return guest


def _check_replaceable(guest: Guest, prefix: str) -> None:
    if guest.is_running:
        noun = "vm is running" if guest.kind == "qemu" else "can't overwrite running container"
        raise die(f"{prefix}{noun}")
    if guest.config.get("protection"):
        raise die(f"{prefix}protection mode enabled")
    guest.check_lock()


def _drop_disks(call: Call, guest: Guest) -> None:
    """Free what the old guest had; a restore begins with that."""
    guest.snapshots.clear()
    pattern = _DRIVE if guest.kind == "qemu" else _MOUNT
    key = "file" if guest.kind == "qemu" else "volume"
    for name in [name for name in guest.config if pattern.fullmatch(name)]:
        options = parse_properties(str(guest.config.pop(name)), key)
        volid = options.get(key, "")
        if options.get("media") != "cdrom" and ":" in volid:
            call.cluster.storages.free(call.node, volid)


def _give_up(call: Call, guest: Guest, *, is_new: bool) -> None:
    """A new guest vanishes with what was made for it; an old VM stays as it is now."""
    if not is_new:
        return
    for volume in list(call.cluster.storages.volumes_of_guest(call.node, guest.vmid)):
        call.cluster.storages.free(call.node, volume.volid)
    call.cluster.guests.pop(guest.vmid, None)
    call.cluster.pools.forget_guest(guest.vmid)


def _failure(vmid: int, error: Exception) -> TaskError:
    return TaskError(
        "error before or during data restore, some or all disks were not completely restored. "
        f"VM {vmid} state is NOT cleaned up.\n{_text(error)}"
    )


def _text(error: Exception) -> str:
    return error.message if isinstance(error, ApiError) else str(error)


def _given(call: Call) -> dict[str, Any]:
    """Options of the request that override the archive's."""
    return {k: v for k, v in call.params.items() if k not in _OF_THE_REQUEST}


def _vm_config(call: Call, archive: Archive, lines: dict[str, str]) -> dict[str, Any]:
    config = {**archive.config, **lines, "vmgenid": new_uuid(call.cluster.random)}
    if call.get("unique"):
        if "smbios1" in config:
            parts = parse_properties(str(config["smbios1"]))
            config["smbios1"] = format_properties({**parts, "uuid": new_uuid(call.cluster.random)})
        for name in [name for name in config if re.fullmatch(r"net\d+", name)]:
            config[name] = _with_new_mac(call, str(config[name]))
    return config | _given(call)


def _ct_config(call: Call, archive: Archive, lines: dict[str, str]) -> dict[str, Any]:
    config = {**archive.config, **lines}
    if call.get("unique"):
        for name in [name for name in config if re.fullmatch(r"net\d+", name)]:
            parts = parse_properties(str(config[name]))
            config[name] = format_properties({**parts, "hwaddr": new_mac(call.cluster.random)})
    return config | {k: v for k, v in _given(call).items() if not _MOUNT.fullmatch(k)}


def _with_new_mac(call: Call, text: str) -> str:
    """`virtio=BC:24:11:...,bridge=vmbr0` with another address."""
    head, comma, rest = text.partition(",")
    model = head.partition("=")[0]
    return f"{model}={new_mac(call.cluster.random)}{comma}{rest}"
