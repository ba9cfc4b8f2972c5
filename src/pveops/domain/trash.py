"""Deleted guests that can still be brought back: how they are marked in the cluster itself.

A deleted guest has the tag `pveops-trash`, and one line in its notes that says since when and how
it was before, so that it can be brought back from any machine, and by hand.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import TYPE_CHECKING, NamedTuple

from pveops.domain.backup import BackupView, read_guest_backups, takes_backups
from pveops.domain.disk import Disk, list_disks
from pveops.domain.facts import GuestFacts, Scene, read_guest_facts
from pveops.domain.guest import Guest, GuestConfig
from pveops.domain.storage import Storage

if TYPE_CHECKING:
    from pveops.api.client import Client

TRASH_TAG = "pveops-trash"
_LINE = re.compile(
    r"^pveops-trash: deleted (?P<at>\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ), "
    r"onboot (?P<onboot>[01]), was (?P<was>[a-z-]+), back with `pve guest undelete \d+`$",
    re.MULTILINE,
)
_STAMP = "%Y-%m-%dT%H:%M:%SZ"


class TrashMark(NamedTuple):
    """What the notes of a deleted guest say of it."""

    deleted_at: int
    """Seconds since the epoch."""
    started_on_boot: bool
    was: str
    """Its state when it was deleted, in a word."""


def write_mark(notes: str, mark: TrashMark, vmid: int) -> str:
    """The notes with the mark as their last paragraph."""
    stamp = datetime.fromtimestamp(mark.deleted_at, UTC).strftime(_STAMP)
    line = (
        f"pveops-trash: deleted {stamp}, onboot {int(mark.started_on_boot)}, was {mark.was}, "
        f"back with `pve guest undelete {vmid}`"
    )
    kept = erase_mark(notes)
    return f"{kept}\n\n{line}" if kept else line


def erase_mark(notes: str) -> str:
    """The notes without any mark."""
    return re.sub(r"\n{3,}", "\n\n", _LINE.sub("", notes)).strip("\n")


def parse_mark(notes: str) -> TrashMark | None:
    """The mark in the notes; None when there is none that can be read. The last one counts."""
    found = list(_LINE.finditer(notes))
    if not found:
        return None
    try:
        moment = datetime.strptime(found[-1]["at"], _STAMP).replace(tzinfo=UTC)
    except ValueError:
        return None
    return TrashMark(int(moment.timestamp()), found[-1]["onboot"] == "1", found[-1]["was"])


def mark_of(config: GuestConfig) -> TrashMark | None:
    """The mark of a guest's configuration."""
    return parse_mark(config.get("description"))


def forges_mark(notes: str) -> bool:
    """Whether a text has a line that would be taken for the mark of a deletion."""
    return any(line.strip().startswith(f"{TRASH_TAG}:") for line in notes.splitlines())


class TrashFacts(NamedTuple):
    """What decisions about deleting a guest, and bringing it back, are made from."""

    base: GuestFacts
    disks: tuple[Disk, ...]
    backups: BackupView
    backup_storages: tuple[Storage, ...]
    """Those for backups that the guest's node has and that are active."""


def read_facts_to_delete(client: Client, guest: Guest, scene: Scene) -> TrashFacts:
    """Three requests to the guest's node, and one a storage for backups."""
    base = read_guest_facts(client, guest, scene)
    return TrashFacts(
        base=base,
        disks=list_disks(guest.kind, base.config),
        backups=read_guest_backups(client, guest, base.config, scene.inventory),
        backup_storages=tuple(
            each for each in scene.inventory.storages if takes_backups(each, guest.node)
        ),
    )
