"""What stands against destroying a guest, or should be known before."""

from __future__ import annotations

from collections.abc import Iterator

from pveops.domain.guest import split_tags
from pveops.domain.purge_facts import PurgeFacts
from pveops.domain.trash import TRASH_TAG
from pveops.operations.findings import Finding
from pveops.operations.guest_checks import check_stored_change, subject_of
from pveops.units import DAY_S, format_duration


def age_of(facts: PurgeFacts) -> str:
    """How long the guest has been in the trash; `unknown` when nobody noted it."""
    if facts.mark is None:
        return "unknown"
    return format_duration(max(0, facts.base.read_at - facts.mark.deleted_at))


def check_purge(facts: PurgeFacts, *, is_waived: bool) -> Iterator[Finding]:
    """Everything about the end of a guest."""
    yield from _check_trash(facts)
    yield from check_stored_change(facts.base)
    yield from _check_being(facts)
    yield from _check_clones(facts)
    yield from _check_backups(facts, is_waived=is_waived)
    yield from _check_references(facts)


def _check_trash(facts: PurgeFacts) -> Iterator[Finding]:
    base, subject, vmid = facts.base, subject_of(facts.base), facts.base.guest.vmid
    if TRASH_TAG not in split_tags(base.config.get("tags")):
        yield Finding(
            "purge.not-deleted",
            "block",
            subject,
            "it is not in the trash; only deleted guests are destroyed",
            remedy=f"pve guest delete {vmid}",
        )
    elif facts.mark is None:
        yield Finding(
            "purge.age-unknown",
            "block",
            subject,
            "its notes do not tell since when it is in the trash",
            remedy=f"take it out and delete it again: pve guest undelete {vmid}",
        )
    elif base.read_at - facts.mark.deleted_at < facts.trash_days * DAY_S:
        yield Finding(
            "purge.too-early",
            "block",
            subject,
            f"it was deleted {age_of(facts)} ago, and stays {facts.trash_days} days",
            remedy="wait, or let `trash_days` of the policy be changed",
        )


def _check_being(facts: PurgeFacts) -> Iterator[Finding]:
    base, subject, vmid = facts.base, subject_of(facts.base), facts.base.guest.vmid
    if base.state.is_running:
        yield Finding(
            "guest.runs",
            "block",
            subject,
            "it runs: somebody uses it again",
            remedy=f"pve guest undelete {vmid}, or pve guest shutdown {vmid}",
        )
    if base.config.is_protected:
        yield Finding(
            "guest.protected",
            "block",
            subject,
            "it is protected against removal",
            remedy=f"pve guest set {vmid} --protection off",
        )
    if facts.why_protected:
        yield Finding(
            "guest.protected-by-policy",
            "block",
            subject,
            f"{facts.why_protected} by the policy: it is not destroyed",
            remedy="let a person take the mark away first, such as with `pve guest tag`",
        )


def _check_clones(facts: PurgeFacts) -> Iterator[Finding]:
    subject = subject_of(facts.base)
    if facts.clones:
        yield Finding(
            "guest.has-clones",
            "block",
            subject,
            f"linked clones depend on its disks: {', '.join(facts.clones[:5])}",
            evidence=f"{len(facts.clones)} volumes",
            remedy="destroy those first, or make full clones of them",
        )
    blind = [name for name in facts.unseen if name.startswith("content of ")]
    if blind:
        yield Finding(
            "guest.clones-unknown",
            "block",
            subject,
            f"whether linked clones depend on it is not known ({', '.join(blind)} unreadable)",
        )


def _check_backups(facts: PurgeFacts, *, is_waived: bool) -> Iterator[Finding]:
    subject, newest, unseen = subject_of(facts.base), facts.backups.newest, facts.backups.unseen
    if newest is None or newest.verification == "failed":
        why = "no backup of it is known" if newest is None else "its newest backup is damaged"
        yield Finding(
            "backup.none",
            "warn" if is_waived else "block",
            subject,
            f"{why}: nothing brings it back",
            evidence=f"not seen: {', '.join(unseen)}" if unseen else "",
            remedy="" if is_waived else "make one first, or ask again with --without-backup",
        )


def _check_references(facts: PurgeFacts) -> Iterator[Finding]:
    subject = subject_of(facts.base)
    for job in facts.jobs:
        text = f"it leaves the backup job {job.id}"
        if job.is_only_guest:
            text = f"the backup job {job.id} names nobody else, and is deleted with it"
        yield Finding("purge.job", "warn", subject, text)
    if facts.replication:
        yield Finding(
            "purge.replication",
            "warn",
            subject,
            f"its replication ({', '.join(facts.replication)}) ends; copies on other nodes stay",
        )
    if facts.base.state.is_ha_managed:
        yield Finding("purge.ha", "warn", subject, "its HA resource goes with it")
    if facts.base.guest.pool:
        yield Finding("purge.pool", "info", subject, f"it leaves the pool {facts.base.guest.pool}")
    for name in ("acl", "firewall"):
        if name in facts.record:
            yield Finding(
                f"purge.{name}",
                "info",
                subject,
                f"its {name if name == 'firewall' else 'ACL'} entries go with it; they are in "
                "the record",
            )
    blind = [name for name in facts.unseen if not name.startswith("content of ")]
    if blind:
        yield Finding(
            "purge.unseen",
            "warn",
            subject,
            f"the token cannot read, so nothing records: {', '.join(blind)}",
        )
