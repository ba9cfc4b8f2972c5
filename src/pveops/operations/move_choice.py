"""How a guest is to move: where to, by which method, onto which storages."""

from __future__ import annotations

import re
from typing import Literal, NamedTuple

from pveops.domain.move import LocalVolume, MoveFacts
from pveops.errors import UsageError
from pveops.operations.plan import Scalar
from pveops.sanitize import shell_word
from pveops.units import format_bytes, format_duration

Method = Literal["live", "offline", "restart"]
_NAME = r"[A-Za-z][\w.-]*"
_STORAGES = re.compile(rf"{_NAME}(:{_NAME})?(,{_NAME}(:{_NAME})?)*")
_GIGABIT = 125_000_000
"""Bytes a second over 1 Gbit/s: durations are told for that, and are no measurement."""


class MoveChoice(NamedTuple):
    """What the caller chose.

    wants: `online` or `offline` when that was asked for. target_storage: `fast`, or
    `local-lvm:fast,local:nfs`. limit_kib: KiB a second; 0: no limit of ours.
    """

    target: str
    may_restart: bool = False
    wants: Literal["", "online", "offline"] = ""
    target_storage: str = ""
    limit_kib: int = 0

    def storage_for(self, volume: LocalVolume) -> str:
        """Where a local volume goes."""
        default = volume.storage
        for pair in filter(None, self.target_storage.split(",")):
            name, colon, to = pair.partition(":")
            if colon and name == volume.storage:
                return to
            if not colon:
                default = name
        return default


def changes_storage(facts: MoveFacts, choice: MoveChoice) -> bool:
    """Whether a disk of the guest goes to a storage of another name."""
    return any(choice.storage_for(volume) != volume.storage for volume in facts.volumes)


def way_back(facts: MoveFacts, choice: MoveChoice) -> str:
    """The command that moves the guest back, its disks to the storages where they were."""
    guest = facts.base.guest
    words = [f"pve guest migrate {guest.vmid} {shell_word(guest.node)}"]
    if method_of(facts) == "restart":
        words.append("--restart")
    pairs = sorted(
        {
            (choice.storage_for(volume), volume.storage)
            for volume in facts.volumes
            if choice.storage_for(volume) != volume.storage
        }
    )
    if pairs and len({there for there, _ in pairs}) == len(pairs):
        words.append(f"--target-storage {','.join(map(':'.join, pairs))}")
    return " ".join(words)


def read_choice(params: dict[str, Scalar], target: str) -> MoveChoice:
    """The choice that parameters spell. Raises UsageError for a contradiction."""
    if params.get("online") and params.get("offline"):
        raise UsageError("--online or --offline, not both", hint="leave both out")
    storage = str(params.get("target_storage") or "")
    if storage and not _STORAGES.fullmatch(storage):
        raise UsageError(
            f"{storage!r} names no storages", hint="a storage, or pairs: local-lvm:fast,local:nfs"
        )
    return MoveChoice(
        target=target,
        may_restart=bool(params.get("restart") or params.get("allow_restart")),
        wants="online" if params.get("online") else "offline" if params.get("offline") else "",
        target_storage=storage,
        limit_kib=int(params.get("bwlimit") or 0),
    )


def method_of(facts: MoveFacts) -> Method:
    """What PVE does with a guest in its present state."""
    if not facts.base.state.is_running:
        return "offline"
    return "live" if facts.base.guest.kind == "qemu" else "restart"


def describe_move(facts: MoveFacts, choice: MoveChoice) -> str:
    """`live to pve3 with 32 GiB of disks, 7m at 1 Gbit/s`."""
    method = method_of(facts)
    words = f"{'with a restart' if method == 'restart' else method} to {choice.target}"
    size = facts.bytes_to_copy
    if size:
        words += f" with {format_bytes(size)} of disks"
    carried = size + (facts.base.guest.maxmem_bytes if method == "live" else 0)
    if carried:
        limit_kib = 0 if facts.base.state.is_ha_managed else choice.limit_kib
        rate = min(_GIGABIT, limit_kib * 1024) if limit_kib else _GIGABIT
        limit = f"{limit_kib} KiB/s" if rate != _GIGABIT else "1 Gbit/s"
        down = ", down meanwhile" if method == "restart" else ""
        words += f", {format_duration(carried / rate)} at {limit}{down}"
    elif method == "restart":
        words += ", down for a stop and a start"
    return words
