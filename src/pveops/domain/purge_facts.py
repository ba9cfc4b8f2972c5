"""Everything that goes, or dangles, when a guest is destroyed; read so that it can be recorded."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

from pveops.api.port import api_path
from pveops.domain.backup import BackupView, read_guest_backups
from pveops.domain.disk import Disk, list_disks
from pveops.domain.facts import GuestFacts, Scene, read_guest_facts
from pveops.domain.guest import Guest, config_without_digest
from pveops.domain.rows import Row, int_of, object_of, rows_of, text_of
from pveops.domain.snapshot import read_snapshots
from pveops.domain.trash import TrashMark, mark_of
from pveops.errors import PveopsError

if TYPE_CHECKING:
    from pveops.api.client import Client


class JobMention(NamedTuple):
    """A backup job that names the guest."""

    id: str
    is_only_guest: bool
    """PVE deletes the whole job with the guest (VZDump plugin, remove_vmid_from_backup_jobs)."""


class PurgeFacts(NamedTuple):
    """What a decision about destroying a guest is made from."""

    base: GuestFacts
    mark: TrashMark | None
    disks: tuple[Disk, ...]
    snapshots: tuple[str, ...]
    backups: BackupView
    clones: tuple[str, ...]
    """Volumes of other guests that are linked to its base volumes."""
    jobs: tuple[JobMention, ...]
    replication: tuple[str, ...]
    """Ids of its replication jobs."""
    record: dict[str, str]
    """What there is beside the disks, as JSON by its name: what a restoration needs."""
    unseen: tuple[str, ...]
    """What could not be read, and so is not recorded."""
    trash_days: int
    why_protected: str
    """Which rule of the policy protects it; empty: none."""


class _Reader:
    """Reads one thing after the other, and notes what it was not given."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self.unseen: list[str] = []

    def get(self, name: str, path: str, **params: Any) -> Any:
        """The data, or None when it cannot be read."""
        return self.attempt(name, lambda: self._client.get(path, params or None))

    def attempt(self, name: str, work: Callable[[], Any]) -> Any:
        """What `work` gives, or None when the API refuses."""
        try:
            return work()
        except PveopsError:
            self.unseen.append(name)
            return None


def read_purge_facts(client: Client, guest: Guest, scene: Scene) -> PurgeFacts:
    """About a dozen requests, and one a storage for backups."""
    base = read_guest_facts(client, guest, scene)
    reader = _Reader(client)
    disks = list_disks(guest.kind, base.config)
    jobs = _read_jobs(reader, guest.vmid)
    replication = [
        row
        for row in rows_of(reader.get("replication", "/cluster/replication"))
        if int_of(row, "guest") == guest.vmid
    ]
    record: dict[str, object] = {
        "config": config_without_digest(base.config.values),
        "pool": guest.pool,
        "firewall": _read_firewall(reader, guest),
        "acl": _read_acl(reader, guest.vmid),
        "ha": _read_ha(reader, base),
        "replication": [dict(row) for row in replication],
        "jobs": [dict(row) for row, _ in jobs],
    }
    return PurgeFacts(
        base=base,
        mark=mark_of(base.config),
        disks=disks,
        snapshots=tuple(each.name for each in read_snapshots(client, guest.ref).all),
        backups=read_guest_backups(client, guest, base.config, scene.inventory),
        clones=_read_clones(reader, guest, disks),
        jobs=tuple(JobMention(text_of(row, "id"), is_only) for row, is_only in jobs),
        replication=tuple(text_of(row, "id") for row in replication),
        record={
            name: json.dumps(value, sort_keys=True) for name, value in record.items() if value
        },
        unseen=tuple(reader.unseen),
        trash_days=scene.rules.trash_days,
        why_protected=scene.rules.why_protected.get(guest.vmid, ""),
    )


def _read_jobs(reader: _Reader, vmid: int) -> list[tuple[Row, bool]]:
    mentions = []
    for row in rows_of(reader.get("backup jobs", "/cluster/backup")):
        named = [part.strip() for part in text_of(row, "vmid").split(",") if part.strip()]
        if str(vmid) in named:
            mentions.append((row, len(named) == 1))
    return mentions


def _read_firewall(reader: _Reader, guest: Guest) -> dict[str, object]:
    parts = {
        part: reader.get(f"firewall {part}", guest.ref.path("firewall", part))
        for part in ("options", "rules", "aliases", "ipset")
    }
    for row in rows_of(parts["ipset"]):
        name = text_of(row, "name")
        path = guest.ref.path("firewall", "ipset", name)
        parts[f"ipset {name}"] = reader.get(f"firewall ipset {name}", path)
    bare = {name: _without_digests(part) for name, part in parts.items()}
    return {name: part for name, part in bare.items() if part}


def _without_digests(part: object) -> object:
    if isinstance(part, list):
        return [{k: v for k, v in row.items() if k != "digest"} for row in rows_of(part)]
    return {key: value for key, value in object_of(part).items() if key != "digest"}


def _read_acl(reader: _Reader, vmid: int) -> list[Row]:
    rows = rows_of(reader.get("ACL", "/access/acl"))
    return [row for row in rows if text_of(row, "path") == f"/vms/{vmid}"]


def _read_ha(reader: _Reader, base: GuestFacts) -> Row:
    if not base.state.is_ha_managed:
        return {}
    sid = f"{'vm' if base.guest.kind == 'qemu' else 'ct'}:{base.guest.vmid}"
    return object_of(reader.get("HA resource", api_path("cluster", "ha", "resources", sid)))


def _read_clones(reader: _Reader, guest: Guest, disks: tuple[Disk, ...]) -> tuple[str, ...]:
    """LVM-thin lets a base volume go though clones depend on it, so PVE does not find them all."""
    bases = {disk.volid.partition(":")[2]: disk.storage for disk in disks if _is_base(disk)}
    clones: list[str] = []
    for storage in dict.fromkeys(bases.values()):
        path = api_path("nodes", guest.node, "storage", storage, "content")
        for row in rows_of(reader.get(f"content of {storage}", path)):
            parent, volid = text_of(row, "parent"), text_of(row, "volid")
            if int_of(row, "vmid") == guest.vmid:
                continue
            if any(_names(base, parent) or f"{base}/" in volid for base in bases):
                clones.append(volid)
    return tuple(sorted(clones))


def _is_base(disk: Disk) -> bool:
    return disk.volid.rpartition("/")[2].rpartition(":")[2].startswith(("base-", "basevol-"))


def _names(base: str, parent: str) -> bool:
    """Whether a row's parent is that base: its bare name, a relative path, or with a snapshot."""
    return bool(parent) and base.rpartition("/")[2] == parent.rpartition("/")[2].partition("@")[0]
