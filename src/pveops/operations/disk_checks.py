"""What stands against a change of a guest's disk, or should be known before."""

from __future__ import annotations

from collections.abc import Iterator

from pveops.domain.disk import Disk, DiskFacts
from pveops.operations.findings import Finding
from pveops.operations.guest_checks import check_stored_change, subject_of
from pveops.sanitize import shell_word
from pveops.units import format_bytes, format_size

_THIN = frozenset({"lvmthin", "rbd"})
"""Storages that promise more than they have: a lack of space shows when blocks are written."""


def check_grow(facts: DiskFacts, disk: Disk, wanted_bytes: int) -> Iterator[Finding]:
    """Everything about a larger disk (API2/Qemu.pm resize_vm, API2/LXC.pm resize_vm)."""
    subject, vmid = subject_of(facts.base), facts.base.guest.vmid
    yield from check_stored_change(facts.base)
    yield from _check_growable(facts, disk)
    if disk.size_bytes is None:
        return
    if wanted_bytes < disk.size_bytes:
        yield Finding(
            "disk.shrink",
            "block",
            subject,
            f"{disk.slot} has {format_size(disk.size_bytes)}; PVE never makes a disk smaller",
            remedy="add a smaller disk and copy inside the guest, or back up and restore into a "
            f"new guest; see what it has with `pve disk list {vmid}`",
        )
        return
    yield from _check_space(facts, disk.storage, wanted_bytes - disk.size_bytes)
    if facts.snapshots:
        yield Finding(
            "disk.snapshots",
            "warn",
            subject,
            f"its snapshots keep the old size: a rollback to {', '.join(facts.snapshots)} takes "
            "what was written beyond it",
        )
    if facts.base.guest.kind == "qemu":
        yield Finding(
            "disk.grow-inside",
            "info",
            subject,
            "partition and file system inside the guest have to be grown by the guest itself",
        )


def _check_growable(facts: DiskFacts, disk: Disk) -> Iterator[Finding]:
    subject, vmid = subject_of(facts.base), facts.base.guest.vmid
    if facts.base.state.is_template:
        yield Finding("guest.template", "block", subject, "the disks of a template stay as made")
    if disk.is_unused:
        yield Finding(
            "disk.unused",
            "block",
            subject,
            f"{disk.slot} is attached to nothing",
            remedy=f"pve disk attach {vmid} {shell_word(disk.slot)}",
        )
    elif disk.is_special or not disk.storage:
        yield Finding(
            "disk.fixed", "block", subject, f"the size of {disk.slot} is not PVE's to set"
        )
    elif disk.size_bytes is None:
        yield Finding("disk.size-unknown", "block", subject, f"the size of {disk.slot} is unknown")


def _check_space(facts: DiskFacts, name: str, more_bytes: int) -> Iterator[Finding]:
    subject, storage = subject_of(facts.base), facts.find_storage(name)
    if storage is None or not storage.has_figures:
        yield Finding("storage.unknown", "warn", subject, f"the free space of {name} is not known")
        return
    free = storage.total_bytes - storage.used_bytes
    if more_bytes <= free:
        return
    yield Finding(
        "storage.too-small",
        "warn" if storage.type in _THIN else "block",
        subject,
        f"{format_bytes(more_bytes)} more are wanted and {name} has {format_bytes(free)} free"
        + ("; when it is full, its guests stop" if storage.type in _THIN else ""),
        remedy=f"pve storage content {shell_word(name)}",
    )


def check_move(
    facts: DiskFacts, disk: Disk, storage_name: str, *, deletes: bool
) -> Iterator[Finding]:
    """Everything about a move (API2/Qemu.pm move_vm_disk, API2/LXC.pm move_volume)."""
    subject, base = subject_of(facts.base), facts.base
    yield from check_stored_change(base)
    if base.state.is_template:
        yield Finding("guest.template", "block", subject, "the disks of a template stay as made")
    if disk.is_unused or not disk.storage:
        yield Finding("disk.not-movable", "block", subject, f"{disk.slot} is on no storage in use")
    if base.guest.kind == "lxc" and base.state.is_running:
        yield Finding(
            "disk.container-runs",
            "block",
            subject,
            "the volumes of a running container cannot be moved",
            remedy=f"pve guest shutdown {base.guest.vmid}",
        )
    storage = facts.find_storage(storage_name)
    content = "images" if base.guest.kind == "qemu" else "rootdir"
    if storage is None or storage.status != "available":
        names = ", ".join(each.storage for each in facts.storages if content in each.content)
        yield Finding(
            "storage.missing",
            "block",
            subject,
            f"{base.guest.node} has no available storage {storage_name!r}",
            remedy=f"storages for disks there: {names}",
        )
    elif content not in storage.content:
        yield Finding(
            "storage.wrong-content",
            "block",
            subject,
            f"{storage_name} takes {', '.join(storage.content)}, and no disks ({content})",
        )
    else:
        yield from _check_space(facts, storage_name, disk.size_bytes or 0)
    if deletes and facts.snapshots:
        yield Finding(
            "disk.snapshots",
            "block",
            subject,
            "a disk with snapshots cannot be moved with the source deleted",
            evidence=f"snapshots: {', '.join(facts.snapshots)}",
            remedy="leave out --delete-source, or delete the snapshots first",
        )


def check_detach(facts: DiskFacts, disk: Disk) -> Iterator[Finding]:
    """Everything about taking a disk out.

    A boot disk is never unplugged from a running VM: PVE refuses, and yet remembers the change as
    pending (QemuServer.pm vmconfig_hotplug_pending).
    """
    subject, base = subject_of(facts.base), facts.base
    yield from check_stored_change(base)
    if base.config.is_protected:
        yield Finding(
            "guest.protected",
            "block",
            subject,
            "it is protected: PVE lets no disk of it go",
            remedy=f"pve guest set {base.guest.vmid} --protection off",
        )
    if disk.slot == "rootfs":
        yield Finding("disk.root", "block", subject, "a container cannot do without its rootfs")
    order = base.config.get("boot").replace("order=", "").replace(",", ";").split(";")
    if disk.slot in order:
        yield Finding(
            "disk.boots",
            "block" if base.state.is_running else "warn",
            subject,
            f"it boots from {disk.slot}" + (" and runs" if base.state.is_running else ""),
            remedy=f"pve guest shutdown {base.guest.vmid}" if base.state.is_running else "",
        )
    if base.state.is_running:
        yield Finding(
            "disk.in-use",
            "warn",
            subject,
            "it runs: what is mounted from the disk is torn away; unmount it inside first",
        )
