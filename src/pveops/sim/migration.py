"""What moves of VMs and containers between nodes have in common.

Local volumes and their copies, storages of the target, what HA's rules forbid.
(pve-guest-common AbstractMigrate.pm, StorageTunnel.pm; pve-ha-manager HA/Rules)
"""

from __future__ import annotations

from collections.abc import Generator, Iterator
from typing import TYPE_CHECKING, Any

from pveops.sim.guest import Guest
from pveops.sim.guest_volumes import (
    GuestVolume,
    is_unused_key,
    list_volumes,
    parse_volume,
)
from pveops.sim.ha import sid_of
from pveops.sim.property_string import format_properties
from pveops.sim.refusal import die
from pveops.sim.tasks import AbortedError, Task, TaskError
from pveops.sim.vm_drives import is_cloudinit

if TYPE_CHECKING:
    from pveops.sim.model import Cluster, Node
    from pveops.sim.storage import Storage
    from pveops.sim.volume import Volume

_RATE = 1 << 30
"""Bytes a second between two nodes."""
_KEEPS_SNAPSHOTS = frozenset({"zfspool", "btrfs"})
"""Types whose volumes travel with their snapshots; files do as qcow2."""

Steps = Generator[float, None, None]
Pair = tuple[GuestVolume, "Volume"]


def local_volumes(cluster: Cluster, guest: Guest) -> list[GuestVolume]:
    """The guest's volumes on storages that each node has for itself."""
    found = []
    for volume in list_volumes(guest.kind, guest.config, with_unused=True):
        storage = cluster.storages.definitions.get(volume.volid.partition(":")[0])
        if volume.is_on_storage and storage is not None and not storage.is_shared:
            found.append(volume)
    return found


def unavailable_storages(cluster: Cluster, guest: Guest, node: Node) -> list[str]:
    """Storages of the guest that the node does not have, by the configuration alone."""
    storages = cluster.storages
    names = {v.volid.partition(":")[0] for v in list_volumes(guest.kind, guest.config)}
    known = sorted(name for name in names if name in storages.definitions)
    return [name for name in known if not storages.get(name).is_for(node.name)]


def chosen_storage(text: str, source: str) -> str:
    """Where a volume of the storage `source` goes by `a:b,c:d`, a name for all, or `1`."""
    default = source
    for pair in filter(None, text.replace(";", ",").split(",")):
        name, colon, to = pair.partition(":")
        if colon and name == source:
            return to
        if not colon and name != "1":
            default = name
    return default


def blocking_resources(cluster: Cluster, guest: Guest, target: Node) -> list[dict[str, str]]:
    """What HA's rules (9.0 and later) hold against the guest on that node: sid and cause."""
    return list(_blocking(cluster, guest, target)) if sid_of(guest) in cluster.ha.resources else []


def _blocking(cluster: Cluster, guest: Guest, target: Node) -> Iterator[dict[str, str]]:
    own = sid_of(guest)
    for rule in cluster.ha.rules.values():
        sids = _words(rule.get("resources"))
        if rule.get("disable") or own not in sids:
            continue
        if rule.get("type") == "node-affinity":
            nodes = {word.partition(":")[0] for word in _words(rule.get("nodes"))}
            if rule.get("strict") and target.name not in nodes:
                yield {"sid": own, "cause": "node-affinity"}
        elif rule.get("affinity") == "negative":
            for sid in sids:
                other = cluster.guests.get(int(sid.partition(":")[2]))
                if sid != own and other is not None and other.node == target.name:
                    yield {"sid": sid, "cause": "resource-affinity"}


def dependent_resources(cluster: Cluster, guest: Guest) -> list[str]:
    """Guests that HA moves along, because a rule keeps them together."""
    own = sid_of(guest)
    found: set[str] = set()
    for rule in cluster.ha.rules.values():
        sids = _words(rule.get("resources"))
        if own in sids and rule.get("affinity") == "positive" and not rule.get("disable"):
            found.update(sids)
    return sorted(found - {own})


def _words(value: Any) -> list[str]:
    return [word.strip() for word in str(value or "").split(",") if word.strip()]


def check_scan(cluster: Cluster, task: Task, guest: Guest, volumes: list[GuestVolume]) -> None:
    """What makes a volume stay: told in the log for each, then the move ends.

    (scan_local_volumes of QemuMigrate.pm and LXC/Migrate.pm)
    """
    problems = {volume.volid: _problem(cluster, task.node, guest, volume) for volume in volumes}
    told = {volid: problem for volid, problem in problems.items() if problem}
    if not told:
        return
    noun = "disk" if guest.kind == "qemu" else "volume"
    task.log(*(f"can't migrate local {noun} '{volid}': {why}" for volid, why in told.items()))
    task.log(
        "ERROR: Problem found while scanning volumes - can't migrate VM - check log",
        "aborting phase 1 - cleanup resources",
        "ERROR: migration aborted (duration 00:00:00)",
    )
    raise TaskError("migration aborted")


def _problem(cluster: Cluster, node: Node, guest: Guest, volume: GuestVolume) -> str:
    stored = cluster.storages.get_volume(node, volume.volid)
    storage = cluster.storages.get(stored.storage)
    if volume.is_cdrom and not is_cloudinit(volume):
        return "local cdrom image"
    if stored.parent and stored.parent in stored.name:
        return f"can't migrate '{volume.volid}' as it's a clone of '{stored.parent}'"
    clones = cluster.storages.backing(storage, node).volumes.values()
    if any(other.parent == stored.name for other in clones):
        return "referenced by linked clone(s)"
    if not any(_names(guest, config, volume) for config in guest.snapshots.values()):
        return ""
    if guest.kind == "qemu" and guest.is_running:
        return "online storage migration not possible if snapshot exists"
    keeps = storage.type in _KEEPS_SNAPSHOTS or stored.format == "qcow2"
    return "" if keeps else "non-migratable snapshot exists"


def _names(guest: Guest, config: dict[str, Any], volume: GuestVolume) -> bool:
    return any(each.volid == volume.volid for each in list_volumes(guest.kind, config))


def copy_volume(
    task: Task, guest: Guest, target: Node, volume: GuestVolume, wanted: str, bwlimit_kib: int = 0
) -> Generator[float, None, Volume]:
    """A copy of a local volume on the target, under its own name if that is free there.

    wanted: the target's storages as the caller maps them. A killed copy stays half-way.
    """
    storages = task.node.cluster.storages
    source = storages.get_volume(task.node, volume.volid)
    storage = storages.get_active(chosen_storage(wanted, source.storage), target)
    task.log("copying local disk images")
    copied = storages.allocate_disk(
        target,
        storage.name,
        guest.vmid,
        source.size_bytes,
        source.format if source.format in storage.formats else storage.formats[0],
        label="cloudinit" if is_cloudinit(volume) else None,
        file=_free_name(source, storage, target),
    )
    copied.used_bytes, copied.snapshots = source.used_bytes, list(source.snapshots)
    rate = min(_RATE, bwlimit_kib * 1024) if bwlimit_kib else _RATE
    try:
        yield max(1.0, source.used_bytes / rate)
    except AbortedError:
        # The lock and the half copy stay, for somebody to look at.
        task.log("received interrupt")
        raise
    if target not in task.node.cluster.members_seen_by(task.node):
        raise die(f"storage migration for '{volume.volid}' failed - connection closed")
    return copied


def _free_name(source: Volume, storage: Storage, target: Node) -> str | None:
    """The volume's own name, where the target has none like it; None: the next free one."""
    storages = target.cluster.storages
    same_kind = storages.get(source.storage).type == storage.type
    is_taken = source.name in storages.backing(storage, target).volumes
    return source.name.rpartition("/")[2] if same_kind and not is_taken else None


def take_over(guest: Guest, source: Node, target: Node, made: list[Pair]) -> None:
    """The file goes to the target with the names of the copies; the sources are freed."""
    for volume, copied in made:
        source.cluster.storages.free(source, volume.volid)
        _rename(guest, volume, copied.volid)
    guest.node = target.name
    for job in source.cluster.replication_jobs.values():
        if job["guest"] == guest.vmid and job["target"] == target.name:
            # The direction is turned round (AbstractMigrate.pm, switch_replication_job_target).
            job["source"], job["target"] = target.name, source.name


def _rename(guest: Guest, volume: GuestVolume, volid: str) -> None:
    for config in (guest.config, *guest.snapshots.values()):
        line = config.get(volume.key)
        if line is None:
            continue
        if is_unused_key(volume.key):
            config[volume.key] = volid
            continue
        parsed = parse_volume(guest.kind, volume.key, str(line))
        if parsed.volid == volume.volid:
            first = "file" if guest.kind == "qemu" else "volume"
            config[volume.key] = format_properties({first: volid, **parsed.options}, first)


def duration_text(seconds: float) -> str:
    """`00:01:20`."""
    took = int(seconds)
    return f"{took // 3600:02}:{took // 60 % 60:02}:{took % 60:02}"
