"""What stands against restoring a backup, or should be known before."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from pveops.domain.restore_facts import RestoreFacts
from pveops.domain.storage import Storage
from pveops.operations.findings import Finding
from pveops.operations.guest_checks import check_stored_change, subject_of
from pveops.operations.plan import Scalar
from pveops.units import format_bytes, format_duration

_THIN = frozenset({"lvmthin", "rbd", "zfspool", "btrfs"})


def storage_of(facts: RestoreFacts, params: Mapping[str, Scalar]) -> str:
    """The storage that is named in the call; empty: each disk goes where it was.

    Containers get one always: without, PVE takes `local` (API2/LXC.pm create_vm).
    """
    wanted = str(params.get("storage") or "")
    if wanted or facts.kind == "qemu":
        return wanted
    root = next((disk.storage for disk in facts.disks if disk.slot == "rootfs"), "")
    return root or next((each.storage for each in _takers(facts)), "")


def _takers(facts: RestoreFacts) -> list[Storage]:
    content = "images" if facts.kind == "qemu" else "rootdir"
    return [
        each for each in facts.storages if content in each.content and each.status == "available"
    ]


def check_restore(
    facts: RestoreFacts, params: Mapping[str, Scalar], name: str
) -> Iterator[Finding]:
    """Everything about a backup that becomes a new guest of that name."""
    subject = facts.backup.volid
    if name in facts.names:
        yield Finding(
            "guest.name-taken",
            "block",
            subject,
            f"there is a guest called {name} already",
            remedy="--name for another one",
        )
    pool = params.get("pool")
    if pool and pool not in facts.pools:
        known = ", ".join(facts.pools) or "none visible"
        text = f"there is no pool {pool!r}"
        yield Finding("pool.missing", "block", subject, text, remedy=f"pools: {known}")
    if facts.is_quorate is False:
        yield Finding("cluster.no-quorum", "block", "cluster", "the cluster has no quorum")
    yield from _check_archive(facts)
    yield from _check_storages(facts, params)
    yield from _check_live(facts, params)
    yield _what_is_inside(facts)
    if not params.get("connected"):
        yield Finding(
            "restore.unplugged",
            "info",
            subject,
            "its network cards are disconnected, so that it cannot meet the original",
            remedy="pve guest set NAME --option net0=link_down=0, once the original is off",
        )


def check_replace(facts: RestoreFacts, params: Mapping[str, Scalar]) -> Iterator[Finding]:
    """Everything about a backup that takes the place of its guest."""
    base = facts.present
    if base is None:
        return
    subject, vmid = subject_of(base), base.guest.vmid
    yield from check_stored_change(base)
    if base.state.is_running:
        yield Finding(
            "guest.runs",
            "block",
            subject,
            "it runs; PVE replaces stopped guests only",
            remedy=f"pve guest shutdown {vmid}",
        )
    if base.config.is_protected:
        yield Finding(
            "guest.protected",
            "block",
            subject,
            "it is protected against removal",
            remedy=f"pve guest set {vmid} --protection off",
        )
    if base.guest.kind != facts.kind or facts.backup.ctime < base.config.created_at:
        yield Finding(
            "restore.stranger",
            "block",
            subject,
            "the backup is of another guest that had this number before",
            remedy="restore it to a new id: leave out --replace",
        )
    if facts.backup_storage is None:
        yield Finding(
            "backup.nowhere",
            "block",
            subject,
            "no storage takes a backup of what it is now, and without one nothing brings it back",
            remedy="restore to a new id: leave out --replace",
        )
    yield from _check_archive(facts)
    yield from _check_storages(facts, params)
    yield from _check_live(facts, params)
    yield Finding(
        "restore.destroys",
        "warn",
        subject,
        "PVE destroys the guest's disks and snapshots first; when reading the backup fails then, "
        "only the backups are left",
        remedy="safer: restore to a new id, look at it, then swap",
    )


def _check_archive(facts: RestoreFacts) -> Iterator[Finding]:
    backup = facts.backup
    if backup.verification == "failed":
        yield Finding(
            "backup.broken",
            "block",
            backup.volid,
            "its verification has failed: it is damaged",
            remedy=f"another one: pve backup list {backup.vmid}",
        )
    if not facts.config.values:
        yield Finding(
            "backup.unreadable",
            "block",
            backup.volid,
            "the configuration in it cannot be read",
            "vzdump/extractconfig",
            "needs VM.Backup on the guest and Datastore.AllocateSpace on the storage",
        )


def _check_storages(facts: RestoreFacts, params: Mapping[str, Scalar]) -> Iterator[Finding]:
    takers = {each.storage: each for each in _takers(facts)}
    names = ", ".join(takers) or "none"
    wanted = storage_of(facts, params)
    needs: dict[str, int] = {}
    for disk in facts.disks:
        if not disk.is_unused and disk.storage:
            place = wanted or disk.storage
            needs[place] = needs.get(place, 0) + (disk.size_bytes or 0)
    for name, need in needs.items():
        storage = takers.get(name)
        if storage is None:
            yield Finding(
                "storage.missing",
                "block",
                facts.backup.volid,
                f"{facts.node} has no available storage {name!r} for its disks",
                remedy=f"--storage with one of: {names}",
            )
        elif not storage.has_figures:
            yield Finding(
                "storage.unknown", "warn", name, f"the free space of {name} is not known"
            )
        elif need > storage.total_bytes - storage.used_bytes:
            free = format_bytes(max(0, storage.total_bytes - storage.used_bytes))
            yield Finding(
                "storage.too-small",
                "warn" if storage.type in _THIN else "block",
                name,
                f"its disks have {format_bytes(need)}, and {name} has {free} free",
                remedy="--storage for another one; see `pve storage list`",
            )


def _check_live(facts: RestoreFacts, params: Mapping[str, Scalar]) -> Iterator[Finding]:
    """`live-restore is only compatible with backup images from a Proxmox Backup Server`."""
    if not params.get("live"):
        return
    kind = next((each.type for each in facts.storages if each.storage == facts.backup.storage), "")
    if facts.kind != "qemu" or kind != "pbs":
        yield Finding(
            "restore.not-live",
            "block",
            facts.backup.volid,
            "only VMs from a Proxmox Backup Server start while they are restored",
            remedy="leave out --live",
        )
    else:
        yield Finding(
            "restore.live",
            "warn",
            facts.backup.volid,
            "when a live restore breaks off, what the guest wrote meanwhile is lost",
        )


def _what_is_inside(facts: RestoreFacts) -> Finding:
    config = facts.config
    words = [
        f"{key} {config.get(key)}"
        for key in ("memory", "cores", "onboot", "tags")
        if config.get(key)
    ]
    sizes = [
        f"{disk.slot} {format_bytes(disk.size_bytes)}" for disk in facts.disks if disk.size_bytes
    ]
    age = format_duration(max(0, facts.read_at - facts.backup.ctime))
    return Finding(
        "restore.inside",
        "info",
        facts.backup.volid,
        f"of {config.get('name') or config.get('hostname') or 'a guest'} ({facts.backup.vmid}), "
        f"{age} old, {format_bytes(facts.backup.size_bytes)}: {', '.join([*words, *sizes])}",
    )
