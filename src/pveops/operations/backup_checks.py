"""What stands against making, protecting or deleting backups, or should be known before.

What PVE does in each case: VZDump.pm (pve-manager), VZDump/QemuServer.pm, VZDump/LXC.pm,
Storage.pm and Storage/Plugin.pm (pve-storage).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from pveops.domain.backup import Backup
from pveops.domain.backup_facts import PruneFacts, RunFacts, VolumeFacts
from pveops.domain.disk import is_backed_up
from pveops.domain.keep import format_keep
from pveops.errors import UsageError
from pveops.operations.findings import Finding
from pveops.operations.guest_checks import (
    check_quorum,
    check_stored_change,
    check_tasks,
    subject_of,
)
from pveops.operations.plan import Scalar
from pveops.sanitize import shell_word
from pveops.units import format_bytes, format_duration

MODES = ("snapshot", "suspend", "stop")
_DEFAULT_PROTECTED = 5
"""PVE's limit where nothing else is said (PVE::Storage, get_max_protected_backups)."""


def mode_of(params: Mapping[str, Scalar]) -> str:
    """The mode that was asked for. Raises UsageError for what is none."""
    mode = str(params.get("mode") or "snapshot")
    if mode not in MODES:
        raise UsageError(f"{mode!r} is no mode", hint=f"--mode {' or '.join(MODES)}")
    return mode


def interruption_of(facts: RunFacts, params: Mapping[str, Scalar]) -> tuple[str, ...]:
    """Why a backup asks for more consent: it interrupts a running guest."""
    mode = mode_of(params)
    if not facts.base.state.is_running or mode == "snapshot":
        return ()
    label = facts.base.guest.ref.label
    words = "shuts it down for the backup" if mode == "stop" else "suspends it for the backup"
    return (f"{label}: mode {mode} {words}",)


def check_run(facts: RunFacts, params: Mapping[str, Scalar]) -> Iterator[Finding]:
    """Everything about a backup of one guest."""
    yield from check_stored_change(facts.base)
    yield from _check_node(facts)
    yield from _check_mode(facts, mode_of(params))
    if facts.storage is None:
        yield _no_storage(facts, params)
        return
    yield from _check_limits(facts, is_protected=bool(params.get("protected")))
    yield from _check_room(facts)
    yield from _check_disks(facts)


def _check_node(facts: RunFacts) -> Iterator[Finding]:
    """One vzdump at a time on a node: another waits for its lock, up to three hours."""
    mine = {task.upid for task in facts.base.tasks}
    for task in facts.node_backups:
        if task.upid not in mine:
            yield Finding(
                "guest.backup-running",
                "block",
                f"node/{facts.base.guest.node}",
                f"a backup runs on {facts.base.guest.node}, and PVE makes one at a time there",
                evidence=task.upid,
                remedy=f"wait for it: `pve task wait {task.upid}`",
            )


def _check_mode(facts: RunFacts, mode: str) -> Iterator[Finding]:
    base, subject = facts.base, subject_of(facts.base)
    state = base.state
    if mode == "stop" and state.is_ha_managed and state.hastate == "started":
        yield Finding(
            "backup.ha-stop",
            "block",
            subject,
            "HA keeps it running, so PVE refuses to stop it for a backup",
            remedy="--mode snapshot",
        )
    if not state.is_running:
        return
    if mode == "stop":
        yield Finding(
            "backup.downtime",
            "warn",
            subject,
            "it is shut down cleanly first; it is not backed up if it does not go down in 10 "
            "minutes; a VM runs again once its backup is under way, a container when it is done",
        )
    elif mode == "suspend":
        yield Finding("backup.downtime", "warn", subject, "it stands still for a while")
    elif base.guest.kind == "lxc" and facts.can_snapshot is False:
        yield Finding(
            "backup.suspends",
            "warn",
            subject,
            "not all of its volumes can be snapshotted: PVE suspends it for the last part of the "
            "copy",
        )
    elif base.guest.kind == "qemu" and not state.has_agent:
        yield Finding(
            "backup.crash-consistent",
            "info",
            subject,
            "no guest agent is configured: the backup is as after a power cut",
        )
    if state.qmpstatus == "io-error":
        yield Finding(
            "guest.io-error",
            "warn",
            subject,
            "it stands still because its storage failed or is full: its disks may not be readable",
        )


def _no_storage(facts: RunFacts, params: Mapping[str, Scalar]) -> Finding:
    node, wanted = facts.base.guest.node, params.get("storage")
    known = ", ".join(facts.storages)
    return Finding(
        "backup.nowhere",
        "block",
        subject_of(facts.base),
        f"{wanted} takes no backups on {node} now"
        if wanted
        else f"no storage of {node} takes backups now",
        evidence="/cluster/resources",
        remedy=f"--storage {' or '.join(facts.storages)}" if known else "pve storage list",
    )


def _check_limits(facts: RunFacts, *, is_protected: bool) -> Iterator[Finding]:
    """What PVE refuses when a backup must not push out an older one (VZDump.pm)."""
    storage, subject = facts.storage, subject_of(facts.base)
    if storage is None:
        return
    if facts.existing is None:
        yield Finding(
            "backup.unseen",
            "warn",
            subject,
            f"what {storage.storage} holds already cannot be read",
        )
        return
    mine = [each for each in facts.existing if each.kind in {"", facts.base.guest.kind}]
    protected = sum(each.is_protected for each in mine)
    vmid = facts.base.guest.vmid
    if is_protected:
        yield from _check_protected(facts.max_protected, protected, storage.storage, subject)
    elif facts.keep and len(mine) - protected >= sum(facts.keep.values()):
        yield Finding(
            "backup.limit",
            "block",
            subject,
            f"{storage.storage} keeps {sum(facts.keep.values())} backups of a guest "
            f"({format_keep(facts.keep)}), and it has {len(mine) - protected}: PVE makes no more "
            "without pruning",
            evidence=f"/nodes/{facts.base.guest.node}/vzdump/defaults",
            remedy=f"--protected, or first `pve backup prune {vmid} "
            f"--storage {storage.storage} --keep-last {max(1, sum(facts.keep.values()) - 1)}`",
        )


def _check_protected(
    limit: int | None, protected: int, storage: str, subject: str
) -> Iterator[Finding]:
    known = _DEFAULT_PROTECTED if limit is None else limit
    if known < 0 or protected < known:
        return
    yield Finding(
        "backup.protected-limit",
        "warn" if limit is None else "block",
        subject,
        f"it has {protected} protected backups on {storage}, and "
        + (
            f"{known} are PVE's limit where nothing else is set"
            if limit is None
            else f"{storage} takes {known} of a guest"
        ),
        remedy="take the protection of an old one away: `pve backup unprotect VOLID`",
    )


def _check_room(facts: RunFacts) -> Iterator[Finding]:
    storage, subject = facts.storage, subject_of(facts.base)
    if storage is None:
        return
    if not storage.has_figures:
        yield Finding(
            "storage.unknown", "warn", subject, f"the free space of {storage.storage} is not known"
        )
        return
    free = storage.total_bytes - storage.used_bytes
    kind = facts.base.guest.kind
    disks = sum(each.size_bytes or 0 for each in facts.disks if is_backed_up(kind, each))
    last = next((each for each in reversed(facts.existing or ()) if each.size_bytes), None)
    if storage.type == "pbs":
        # What is there already is not stored again, so no size tells what is needed.
        last, disks = None, 0
    if last is not None and last.size_bytes > free:
        yield Finding(
            "storage.too-small",
            "block",
            subject,
            f"its last backup has {format_bytes(last.size_bytes)}, and {storage.storage} has "
            f"{format_bytes(free)} free",
            evidence=last.volid,
            remedy="free space there, or choose another storage with --storage",
        )
    elif last is None and disks > free:
        yield Finding(
            "storage.too-small",
            "warn",
            subject,
            f"its disks have {format_bytes(disks)}, and {storage.storage} has "
            f"{format_bytes(free)} free: it may not fit",
        )


def _check_disks(facts: RunFacts) -> Iterator[Finding]:
    kind, subject = facts.base.guest.kind, subject_of(facts.base)
    left_out = [
        each.slot for each in facts.disks if not each.is_unused and not is_backed_up(kind, each)
    ]
    if left_out:
        yield Finding(
            "backup.partial", "warn", subject, f"the backup leaves out {', '.join(left_out)}"
        )


# -- those that are there ----------------------------------------------------------------


def check_protect(facts: VolumeFacts, *, is_wanted: bool) -> Iterator[Finding]:
    """Everything about a backup's protection."""
    if not is_wanted:
        yield Finding(
            "backup.unprotected",
            "warn",
            f"backup/{facts.backup.vmid}",
            "the next pruning may take it",
        )
        return
    protected = sum(each.is_protected for each in facts.siblings)
    if protected >= _DEFAULT_PROTECTED:
        yield Finding(
            "backup.protected-limit",
            "info",
            f"backup/{facts.backup.vmid}",
            f"{protected} others are protected on {facts.backup.storage}, too; PVE makes no more "
            f"protected ones of a guest than the storage allows ({_DEFAULT_PROTECTED} by default)",
        )


def check_delete(facts: VolumeFacts) -> Iterator[Finding]:
    """Everything about the end of one backup."""
    backup, subject = facts.backup, f"backup/{facts.backup.vmid}"
    yield from check_quorum(facts.is_quorate)
    if backup.is_protected:
        yield Finding(
            "backup.protected",
            "block",
            subject,
            "it is protected",
            remedy=f"pve backup unprotect {shell_word(backup.volid)}",
        )
    newer = [each for each in facts.siblings if each > backup]
    if facts.guest is None:
        yield Finding(
            "backup.orphan",
            "warn",
            subject,
            f"no guest with the id {backup.vmid} is visible: it may be all that is left of it",
        )
    elif not newer:
        others = len(facts.siblings) - 1
        rest = (
            f"{others} older stay there" if others else f"it is the only one on {backup.storage}"
        )
        yield Finding("backup.newest", "warn", subject, f"no newer one is there; {rest}")
    if newer and all(each.verification == "failed" for each in newer):
        yield Finding(
            "backup.newer-broken",
            "warn",
            subject,
            "every newer one on this storage failed its verification",
        )


def check_prune(facts: PruneFacts) -> Iterator[Finding]:
    """Everything about letting the old backups of a guest go."""
    subject = subject_of(facts.base)
    yield from check_tasks(facts.base, backup_blocks=True)
    yield from check_quorum(facts.base.is_quorate)
    for place in facts.unseen:
        yield Finding(
            "backup.unseen",
            "warn",
            subject,
            f"{place} did not answer, or did not show all: nothing is pruned there",
        )
    protected = [
        each for place in facts.places for each in place.candidates if each.mark == "protected"
    ]
    if protected:
        yield Finding(
            "backup.spared", "info", subject, f"{len(protected)} protected ones stay in any case"
        )
    yield from _check_kept(facts)
    yield from _check_strangers(facts)


def _check_kept(facts: PruneFacts) -> Iterator[Finding]:
    for place in facts.places:
        going = [each for each in place.candidates if each.mark == "remove"]
        kept = [each.backup for each in place.candidates if each.mark != "remove"]
        if going and kept and all(each.verification == "failed" for each in kept):
            yield Finding(
                "backup.kept-broken",
                "block",
                subject_of(facts.base),
                f"each backup on {place.storage} that would stay failed its verification",
                remedy="verify, or make a fresh one first: "
                f"`pve backup run {facts.base.guest.vmid}`",
            )


def _check_strangers(facts: PruneFacts) -> Iterator[Finding]:
    """Backups from before the guest was made: of another one that had the same vmid."""
    born = facts.base.config.created_at
    strangers = [backup for backup, _ in going_of(facts) if backup.ctime < born]
    if strangers:
        age = format_duration(max(0, facts.base.read_at - born))
        yield Finding(
            "backup.stranger",
            "warn",
            subject_of(facts.base),
            f"{len(strangers)} of those that go are older than the guest itself ({age}): they are "
            "of another guest that had its id",
            evidence=strangers[-1].volid,
        )


def going_of(facts: PruneFacts) -> tuple[tuple[Backup, str], ...]:
    """What the dry run marks for removal, with a node that has it, the oldest first."""
    return tuple(
        sorted(
            (each.backup, place.node)
            for place in facts.places
            for each in place.candidates
            if each.mark == "remove" and not each.backup.is_protected
        )
    )


def check_together(every: Sequence[RunFacts]) -> Iterator[Finding]:
    """Whether a storage has room for the backups of all, by the sizes of the last ones."""
    wanted: dict[str, int] = {}
    free: dict[str, int] = {}
    for facts in every:
        storage = facts.storage
        if storage is None or not storage.has_figures or storage.type == "pbs":
            continue
        place = storage.label
        free[place] = storage.total_bytes - storage.used_bytes
        sizes = [each.size_bytes for each in facts.existing or ()]
        wanted[place] = wanted.get(place, 0) + (sizes[-1] if sizes else 0)
    for place, size in sorted(wanted.items()):
        if size > free[place]:
            yield Finding(
                "storage.full",
                "block",
                "cluster",
                f"the last backups of all of them took {format_bytes(size)} on {place}, and "
                f"{format_bytes(max(0, free[place]))} are free",
                evidence="/cluster/resources",
                remedy="free space there, back up fewer at once, or choose another storage with "
                "--storage",
            )
