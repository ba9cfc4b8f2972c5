"""What the deletion of a volume is decided from: what it is, and who uses it."""

from __future__ import annotations

from typing import NamedTuple

from pveops.domain.rows import Row, text_of


class VolumeUse(NamedTuple):
    """Where a volume is named. key: such as `scsi0`; in a snapshot `scsi0 of SNAPSHOT`."""

    vmid: int
    name: str
    key: str


class VolumeRow(NamedTuple):
    """A volume as its storage lists it."""

    volid: str
    content: str
    size_bytes: int
    vmid: int
    """0: it carries no guest's id."""
    is_protected: bool


class DeletionFacts(NamedTuple):
    """A volume, and who needs it.

    owner: the label of the guest whose id it carries; empty: there is none. clones: volumes made
    from it. unread: guests whose configuration could not be read.
    """

    volume: VolumeRow
    storage: str
    node: str
    owner: str
    uses: tuple[VolumeUse, ...]
    clones: tuple[str, ...]
    unread: tuple[str, ...]
    sees_all_guests: bool
    is_quorate: bool | None


def keys_that_name(volid: str, values: Row) -> tuple[str, ...]:
    """The keys of a configuration whose value is that volume."""
    found = []
    for key in values:
        first = text_of(values, key).partition(",")[0]
        if first.removeprefix("file=").removeprefix("volume=") == volid:
            found.append(key)
    return tuple(sorted(found))
