"""Every backup that can be seen, and what cannot: dead storages, filtered lists, hidden storages.

PVE leaves out of a storage's content, without a word, each backup that the token may not restore.
A dry run of pruning shows them all by name and time (Storage/PruneBackups.pm), and asks for less.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, NamedTuple

from pveops.api.port import api_path
from pveops.domain.access import Permissions, read_permissions_or_none
from pveops.domain.backup import Backup, may_restore, places_of_backups, read_backups_on
from pveops.domain.rows import Row, int_of, rows_of, text_of
from pveops.errors import PveopsError

if TYPE_CHECKING:
    from pveops.api.client import Client
    from pveops.domain.inventory import Inventory
    from pveops.domain.job import BackupJob
    from pveops.domain.storage import Storage

UNSEEN = "unseen"
"""The verification of a backup of which only name and time can be seen."""
_UNSEEN_STORAGES = "storages that the token may not see"


class Filtered(NamedTuple):
    """A storage that shows the backups of some guests only."""

    label: str
    storage: str


class BackupSurvey(NamedTuple):
    """What storages hold, as far as it can be seen."""

    by_vmid: Mapping[int, tuple[Backup, ...]]
    """Newest first."""
    unseen: tuple[str, ...]
    """Places of which nothing is known, in words."""
    filtered: tuple[Filtered, ...]
    permissions: Permissions | None
    """None: the token may not even ask."""

    def backups_of(self, vmid: int) -> tuple[Backup, ...]:
        """Of whoever had that vmid, newest first."""
        return self.by_vmid.get(vmid, ())

    def gaps_for(self, vmid: int) -> tuple[str, ...]:
        """Where backups of the guest may be that nobody can see."""
        hidden = [
            each.label
            for each in self.filtered
            if not may_restore(self.permissions, each.storage, vmid)
        ]
        return (*self.unseen, *hidden)


class Known(NamedTuple):
    """What whoever asks has read already."""

    permissions: Permissions | None
    configured: list[Row] | None
    """The rows of /storage; None: they are not readable."""


def read_survey(
    client: Client,
    inventory: Inventory,
    jobs: Iterable[BackupJob] = (),
    known: Known | None = None,
) -> BackupSurvey:
    """One or two requests a storage for backups (a shared one once), and two if `known` is None.

    jobs: those whose storage the token may not see leave a gap, too.
    """
    if known is None:
        known = Known(read_permissions_or_none(client), read_configured(client))
    permissions = known.permissions
    found: dict[int, dict[str, Backup]] = {}
    unseen: list[str] = []
    filtered: list[Filtered] = []
    for place in places_of_backups(inventory):
        label = f"{place.storage} on {place.node}"
        place, backups = _read_somewhere(client, place, inventory)
        if backups is None:
            unseen.append(place.storage if place.is_shared else label)
            continue
        if not _shows_all(permissions, place.storage):
            rest = _read_dry_run(client, place)
            if rest is None:
                filtered.append(Filtered(label, place.storage))
            backups = (*(rest or ()), *backups)
        for backup in backups:
            found.setdefault(backup.vmid, {})[backup.volid + place.node * _is_local(place)] = (
                backup
            )
    disabled = _disabled_storages(known.configured or [], inventory)
    unseen += [f"{name} (disabled, or on no node)" for name in disabled]
    seen = {*disabled, *(each.storage for each in inventory.storages)}
    unseen += [job.storage for job in jobs if job.storage not in seen]
    if permissions is None or not permissions.allows("/storage", "Datastore.Audit"):
        unseen.append(_UNSEEN_STORAGES)
    by_vmid = {vmid: tuple(sorted(each.values(), reverse=True)) for vmid, each in found.items()}
    return BackupSurvey(by_vmid, tuple(dict.fromkeys(unseen)), tuple(filtered), permissions)


def _is_local(place: Storage) -> int:
    return 0 if place.is_shared else 1


def _read_somewhere(
    client: Client, place: Storage, inventory: Inventory
) -> tuple[Storage, tuple[Backup, ...] | None]:
    """What a storage holds; of a shared one each node is asked that has it, until one tells."""
    others = [
        each
        for each in inventory.storages
        if place.is_shared and each.storage == place.storage and each.node != place.node
    ]
    for each in (place, *others):
        backups = _read_place(client, each)
        if backups is not None:
            return each, backups
    return place, None


def _read_place(client: Client, place: Storage) -> tuple[Backup, ...] | None:
    if place.status != "available":
        return None
    try:
        return read_backups_on(client, place.node, place.storage)
    except PveopsError:
        return None


def _shows_all(permissions: Permissions | None, storage: str) -> bool:
    """Whether the content of a storage is shown whole to this token."""
    if permissions is None:
        return False
    path = f"/storage/{storage}"
    if permissions.allows(path, "Datastore.Allocate"):
        return True
    guests = [each for each in permissions.by_path if each.startswith("/vms/")]
    return permissions.allows(path, "Datastore.AllocateSpace") and all(
        permissions.allows(each, "VM.Backup") for each in ("/vms", *guests)
    )


def _read_dry_run(client: Client, place: Storage) -> tuple[Backup, ...] | None:
    """All backups by name and time; their sizes and verification stay unknown."""
    path = api_path("nodes", place.node, "storage", place.storage, "prunebackups")
    try:
        rows = rows_of(client.get(path, {"prune-backups": "keep-all=1"}))
    except PveopsError:
        return None
    return tuple(
        Backup(
            ctime=int_of(row, "ctime"),
            volid=text_of(row, "volid"),
            storage=place.storage,
            vmid=int_of(row, "vmid"),
            kind=text_of(row, "type") if text_of(row, "type") in {"qemu", "lxc"} else "",
            size_bytes=0,
            is_protected=text_of(row, "mark") == "protected",
            # A Proxmox Backup Server verifies, and this does not tell with what result.
            verification=UNSEEN if place.type == "pbs" else "",
        )
        for row in rows
    )


def read_configured(client: Client) -> list[Row] | None:
    """One request: the storages that are configured, on whichever node; None: not readable."""
    try:
        return rows_of(client.get("/storage"))
    except PveopsError:
        return None


def _disabled_storages(rows: list[Row], inventory: Inventory) -> list[str]:
    """Storages for backups that are in the configuration, and on no node."""
    known = {each.storage for each in inventory.storages}
    return [
        text_of(row, "storage")
        for row in rows
        if "backup" in text_of(row, "content").split(",") and text_of(row, "storage") not in known
    ]
