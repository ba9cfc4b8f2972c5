"""Disks: grown, moved, detached, attached. Pure decisions about one guest's facts."""

from __future__ import annotations

import re

from pveops.domain.disk import Disk, DiskFacts
from pveops.errors import NotFoundError, UsageError
from pveops.operations.decision import Decision
from pveops.operations.disk_checks import check_detach, check_grow, check_move
from pveops.operations.findings import Finding, blocks_among
from pveops.operations.guards import guest_guards
from pveops.operations.guest_checks import check_stored_change, worst_first
from pveops.operations.plan import Call, Item, Scalar, Step, WaitState, WaitTask
from pveops.operations.subject import headline_of, target_of
from pveops.sanitize import shell_word
from pveops.units import format_size, parse_size

_GRACE_S = 30.0
_RESIZE_S = 600.0
_MOVE_S = 86_400.0
_SLOT = re.compile(r"(scsi|virtio|sata|ide|mp)\d{1,3}")
_MOST_SLOTS = 31


def decide_grow(_operation: str, facts: DiskFacts, params: dict[str, Scalar]) -> Decision:
    """A larger disk. The absolute size is sent, so that a repetition cannot grow it twice."""
    disk = _get_disk(facts, params)
    wanted = _wanted_size(disk, params)
    if disk.size_bytes == wanted:
        return _already(facts, f"{disk.slot} of {format_size(wanted)}")
    found = worst_first(check_grow(facts, disk, wanted))
    old, new = format_size(disk.size_bytes or 0), format_size(wanted)
    steps = (
        Call(
            "PUT",
            facts.base.guest.ref.path("resize"),
            {"disk": disk.slot, "size": new, "digest": facts.base.config.digest},
            effect="B",
            task_types=("resize",),
            does=f"grow {disk.slot} to {new}",
        ),
        WaitTask(_RESIZE_S),
        WaitState("disk.size", _GRACE_S, {"disk": disk.slot, "size_bytes": wanted}),
    )
    return _decide(facts, found, steps, f"{disk.slot} {old} -> {new} on {disk.storage}", disk)


def _wanted_size(disk: Disk, params: dict[str, Scalar]) -> int:
    to, by = params.get("to"), params.get("by")
    if (to is None) == (by is None):
        raise UsageError("how large?", hint="--to 100G for the new size, or --by 20G more")
    text = str(to if by is None else by).removeprefix("+")
    size = None if text.isdecimal() else parse_size(text)
    if not size:
        raise UsageError(
            f"{text[:40]!r} is no size with its unit", hint="write 100G, 512M or 1.5T"
        )
    return size if by is None else (disk.size_bytes or 0) + size


def decide_move(_operation: str, facts: DiskFacts, params: dict[str, Scalar]) -> Decision:
    """A copy on another storage takes the disk's place; the source stays as `unusedN`."""
    disk, storage = _get_disk(facts, params), str(params["storage"])
    if disk.storage == storage:
        return _already(facts, f"with {disk.slot} on {storage}")
    deletes = bool(params.get("delete_source"))
    found = worst_first(check_move(facts, disk, storage, deletes=deletes))
    guest = facts.base.guest
    is_vm = guest.kind == "qemu"
    sent: dict[str, Scalar] = {
        "disk" if is_vm else "volume": disk.slot,
        "storage": storage,
        "digest": facts.base.config.digest,
    }
    if deletes:
        sent["delete"] = True
    steps = (
        Call(
            "POST",
            guest.ref.path("move_disk" if is_vm else "move_volume"),
            sent,
            effect="C",
            task_types=("qmmove", "move_volume"),
            does=f"move {disk.slot} to {storage}",
        ),
        WaitTask(_MOVE_S),
        WaitState("disk.on-storage", _GRACE_S, {"disk": disk.slot, "storage": storage}),
    )
    undo = f"pve disk move {guest.vmid} {shell_word(disk.slot)} {shell_word(disk.storage)}"
    words = f"{disk.slot} {disk.storage} -> {storage}"
    raises = ("the source is deleted after the copy",) if deletes else ()
    return _decide(facts, found, steps, words, disk, undo, raises)


def decide_detach(_operation: str, facts: DiskFacts, params: dict[str, Scalar]) -> Decision:
    """The disk leaves its slot and stays as `unusedN`; nothing of it is lost.

    Removing an `unusedN` would destroy the volume, so that is never done here.
    """
    slot = str(params["disk"])
    disk = facts.find_disk(slot)
    if disk is None and _SLOT.fullmatch(slot):
        return _already(facts, f"without {slot} (it has: {_slots(facts)})")
    disk = _get_disk(facts, params)
    if disk.is_unused:
        return _already(facts, f"with {slot} detached")
    found = worst_first(check_detach(facts, disk))
    steps = (
        _put(facts, {"delete": slot}, f"detach {slot}"),
        WaitState("config.values", _GRACE_S, {slot: None}),
    )
    undo = f"pve disk attach {facts.base.guest.vmid} unusedN --slot {shell_word(slot)}"
    return _decide(facts, found, steps, f"{slot} ({disk.volid}) -> unused", disk, undo)


def decide_attach(_operation: str, facts: DiskFacts, params: dict[str, Scalar]) -> Decision:
    """A detached volume goes into a slot again."""
    disk, guest = _get_disk(facts, params), facts.base.guest
    if not disk.is_unused:
        return _already(facts, f"with {disk.volid} as {disk.slot}")
    slot = str(params.get("slot") or _free_slot(facts))
    if not _SLOT.fullmatch(slot) or slot.startswith("mp") != (guest.kind == "lxc"):
        raise UsageError(f"{slot!r} is no slot", hint="scsi1, virtio0 (VMs) or mp0 (containers)")
    if slot in facts.base.config.values:
        raise UsageError(f"{slot} is taken", hint=f"pve disk list {guest.vmid}")
    value = disk.volid
    if guest.kind == "lxc":
        if not params.get("path"):
            raise UsageError("where inside the container?", hint="--path /mnt/data")
        value = f"{disk.volid},mp={params['path']}"
    found = worst_first(check_stored_change(facts.base))
    steps = (
        _put(facts, {slot: value}, f"attach {disk.volid} as {slot}"),
        WaitState("disk.volume", _GRACE_S, {"disk": slot, "volume": disk.volid}),
    )
    undo = f"pve disk detach {guest.vmid} {shell_word(slot)}"
    return _decide(facts, found, steps, f"{disk.slot} ({disk.volid}) -> {slot}", disk, undo)


def _free_slot(facts: DiskFacts) -> str:
    bus = "scsi" if facts.base.guest.kind == "qemu" else "mp"
    slots = (f"{bus}{number}" for number in range(_MOST_SLOTS))
    return next(slot for slot in slots if slot not in facts.base.config.values)


# -- parts ------------------------------------------------------------------------


def _get_disk(facts: DiskFacts, params: dict[str, Scalar]) -> Disk:
    """Raises NotFoundError with the disks that there are."""
    slot = str(params["disk"])
    disk = facts.find_disk(slot)
    if disk is None:
        raise NotFoundError(
            f"{facts.base.guest.ref.label} has no disk {slot!r}",
            hint=f"its disks: {_slots(facts)}",
        )
    return disk


def _slots(facts: DiskFacts) -> str:
    return ", ".join(each.slot for each in facts.disks) or "none"


def _put(facts: DiskFacts, sent: dict[str, Scalar], does: str) -> Call:
    digest = facts.base.config.digest
    path = facts.base.guest.ref.path("config")
    return Call("PUT", path, {**sent, "digest": digest}, effect="B", does=does)


def _already(facts: DiskFacts, state: str) -> Decision:
    return Decision(target_of(facts.base), (), is_already_so=True, state=state)


def _decide(
    facts: DiskFacts,
    found: tuple[Finding, ...],
    steps: tuple[Step, ...],
    words: str,
    disk: Disk,
    undo: str = "",
    raises: tuple[str, ...] = (),
) -> Decision:
    base, target = facts.base, target_of(facts.base)
    if blocks_among(found):
        return Decision(target, found, state=base.state.power)
    item = Item(
        target=target,
        headline=f"{headline_of(base)}, {words}",
        guards=guest_guards(base.state, base.config),
        before={disk.slot: disk.volid, "size": format_size(disk.size_bytes or 0)},
        steps=steps,
        undo=undo,
        raises=raises,
    )
    return Decision(target, found, item, state=base.state.power)
