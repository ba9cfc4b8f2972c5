"""What is wrong with a guest, how that is known, and what to do. Pure.

What only root on a node can do is told as a command with its node, after the proof, and is never
tried: PVE lets no token remove a lock (API2/Qemu.pm, `skiplock`; containers have no API for it).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from pveops.domain.guest import split_tags
from pveops.domain.guest_doctor import DoctorFacts
from pveops.domain.trash import TRASH_TAG
from pveops.operations.findings import Finding
from pveops.operations.guest_checks import subject_of, worst_first
from pveops.operations.guest_locks import check_lock_holder
from pveops.sanitize import shell_word
from pveops.units import format_bytes, format_size

_STANDING = {
    "io-error": "it stands still: its storage gave an error",
    "internal-error": "it stands still: QEMU met an error inside of itself",
    "guest-panicked": "its system has panicked",
}


def examine(facts: DoctorFacts) -> tuple[Finding, ...]:
    """Every finding, the worst first. A `block` is a problem, a `warn` a doubt."""
    return worst_first(finding for check in _CHECKS for finding in check(facts))


def _check_state(facts: DoctorFacts) -> Iterator[Finding]:
    base, subject, vmid = facts.base, subject_of(facts.base), facts.base.guest.vmid
    status = base.state.qmpstatus
    if status in _STANDING:
        remedy = f"pve guest reset {vmid}"
        if status == "io-error":
            full = [each.storage for each in facts.storages if _is_full(facts, each.storage)]
            where = f" ({', '.join(full)} is full)" if full else ""
            remedy = f"make room or mend the storage{where}, then `pve guest resume {vmid}`"
        yield Finding(
            f"guest.{status}", "block", subject, _STANDING[status], "status/current", remedy
        )
    elif status in {"paused", "suspended"}:
        yield Finding(
            "guest.paused",
            "warn",
            subject,
            "it is paused: nothing in it runs",
            "status/current",
            f"pve guest resume {vmid}",
        )
    elif status == "prelaunch" and facts.lock != "backup":
        yield Finding(
            "guest.prelaunch",
            "block",
            subject,
            "its process exists, but the VM was never let go",
            "status/current",
            f"pve guest stop {vmid}, then start it",
        )
    if base.state.hastate == "error":
        yield Finding(
            "guest.ha-error",
            "block",
            subject,
            "HA gave it up: nothing is done about it until its state is reset",
            "/cluster/ha/status/current",
            "mend the cause, then set its HA state to disabled and back to started",
        )


def _is_full(facts: DoctorFacts, name: str) -> bool:
    own = {disk.storage for disk in facts.disks}
    storage = next((each for each in facts.storages if each.storage == name), None)
    return storage is not None and name in own and storage.used_share > 0.97


def _check_snapshots(facts: DoctorFacts) -> Iterator[Finding]:
    """A task that ended half-way leaves `snapstate` (AbstractConfig.pm)."""
    vmid = facts.base.guest.vmid
    for snapshot in facts.snapshots.all:
        if snapshot.state and not facts.lock:
            verb = "made" if snapshot.state == "prepare" else "deleted"
            yield Finding(
                "snapshot.half",
                "block",
                subject_of(facts.base),
                f"the snapshot {snapshot.name} was only half {verb}",
                f"snapstate {snapshot.state}",
                f"pve snapshot delete {vmid} {shell_word(snapshot.name)}",
            )


def _check_storages(facts: DoctorFacts) -> Iterator[Finding]:
    subject, base = subject_of(facts.base), facts.base
    known = {each.storage: each for each in facts.storages}
    for name in sorted({disk.storage for disk in facts.disks if disk.storage}):
        storage = known.get(name)
        if storage is None or storage.status != "available":
            yield Finding(
                "storage.down",
                "block",
                subject,
                f"its disks are on {name}, which is not available on {base.guest.node}",
                "/cluster/resources",
                f"pve storage show {shell_word(name)}",
            )
    seen = {volume.volid for volume in facts.volumes}
    readable = {
        name
        for name, each in known.items()
        if each.status == "available" and not any(name in word for word in facts.unseen)
    }
    if not seen:
        return
    for disk in facts.disks:
        if disk.storage in readable and disk.volid not in seen:
            yield Finding(
                "disk.missing",
                "block",
                subject,
                f"{disk.slot} names {disk.volid}, which is not there",
                f"content of {disk.storage} on {base.guest.node}",
                "it cannot start so; restore a backup, or take the disk out",
            )


def _check_volumes(facts: DoctorFacts) -> Iterator[Finding]:
    subject, vmid = subject_of(facts.base), facts.base.guest.vmid
    sizes = {volume.volid: volume.size_bytes for volume in facts.volumes}
    for disk in facts.disks:
        if disk.is_unused:
            size = sizes.get(disk.volid)
            told = f" ({format_size(size)})" if size else ""
            yield Finding(
                "disk.unused",
                "warn",
                subject,
                f"{disk.slot} is attached to nothing{told}: {disk.volid}",
                "config",
                f"pve disk attach {vmid} {disk.slot}, or let a person remove it in PVE",
            )
    if any(word.startswith("snapshot") for word in facts.unseen):
        return
    for volume in facts.volumes:
        if volume.volid in facts.named and volume.node in {"", facts.base.guest.node}:
            continue
        where = f" on {volume.node}" if volume.node else ""
        yield Finding(
            "disk.orphan",
            "warn",
            subject,
            f"{volume.volid}{where} carries its number, but no configuration of it names it "
            f"({format_bytes(volume.size_bytes)})",
            "left behind by a task that broke off, or of an earlier guest of that number",
            "look what is in it before anybody deletes it; `qm rescan` or `pct rescan`, by root"
            f"{where or f' on {facts.base.guest.node}'}, lists it as unused",
        )


def _check_settings(facts: DoctorFacts) -> Iterator[Finding]:
    base, subject, vmid = facts.base, subject_of(facts.base), facts.base.guest.vmid
    is_deleted = TRASH_TAG in split_tags(base.config.get("tags"))
    if base.config.starts_on_boot and not base.state.is_running and not is_deleted:
        yield Finding(
            "guest.should-run",
            "warn",
            subject,
            "it starts with its node, and does not run",
            "onboot 1",
            f"pve guest start {vmid}",
        )
    if base.pending:
        keys = ", ".join(change.key for change in base.pending)
        yield Finding(
            "config.pending",
            "info",
            subject,
            f"changes wait for its next full stop and start: {keys}",
            "/pending",
            f"pve guest reboot {vmid}, or pve guest revert {vmid} KEY",
        )
    if facts.agent_answers is False:
        yield Finding(
            "agent.silent",
            "warn",
            subject,
            "its guest agent is switched on and does not answer: backups are as after a power "
            "cut, and it tells no address",
            "agent/info",
            "look inside whether qemu-guest-agent runs",
        )


def _check_sight(facts: DoctorFacts) -> Iterator[Finding]:
    if facts.unseen:
        yield Finding(
            "doctor.unseen",
            "warn",
            subject_of(facts.base),
            f"not looked at, so unknown: {', '.join(facts.unseen)}",
        )


_CHECKS: tuple[Callable[[DoctorFacts], Iterator[Finding]], ...] = (
    check_lock_holder,
    _check_state,
    _check_snapshots,
    _check_storages,
    _check_volumes,
    _check_settings,
    _check_sight,
)
