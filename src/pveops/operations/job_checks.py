"""What stands against a backup job, or should be known before; and when it prunes more."""

from __future__ import annotations

from collections.abc import Iterator

from pveops.domain.guest import Guest
from pveops.domain.job import BackupJob
from pveops.domain.job_facts import JobFacts
from pveops.domain.keep import Keep, format_keep, keeps_less
from pveops.operations.findings import Finding
from pveops.operations.guest_checks import check_quorum
from pveops.sanitize import shell_word

_MAX_NAMES = 5


def covered_by(facts: JobFacts, job: BackupJob) -> tuple[Guest, ...]:
    """The visible guests that a job takes."""
    return tuple(guest for guest in facts.guests if job.covers(guest))


def check_new_job(facts: JobFacts, new: BackupJob) -> Iterator[Finding]:
    """Everything about a job that is to be made."""
    if facts.job is not None:
        yield Finding(
            "job.exists",
            "block",
            f"job/{facts.id}",
            "there is a job of that id already",
            remedy=f"pve job show {shell_word(facts.id)}",
        )
        return
    yield from check_job(facts, new)


def check_job(facts: JobFacts, new: BackupJob) -> Iterator[Finding]:
    """Everything about the job as it would be."""
    subject = f"job/{facts.id}"
    yield from check_quorum(facts.is_quorate)
    if facts.schedule_error:
        yield Finding(
            "job.schedule",
            "block",
            subject,
            f"PVE takes no schedule {new.schedule!r}",
            evidence=facts.schedule_error,
            remedy="such as 21:00, 'mon..fri 22:30', '*/2:00', 'sat *-1..7 15:00'",
        )
    yield from _check_places(facts, new, subject)
    if not covered_by(facts, new):
        yield Finding("job.nobody", "warn", subject, "it takes no guest that is visible now")
    yield from _check_coverage(facts, new, subject)
    if new.is_enabled and new.removes and effective_keep(facts, new):
        yield Finding(
            "job.prunes",
            "info",
            subject,
            f"after each backup it keeps {format_keep(effective_keep(facts, new) or {})} of that "
            f"guest on {new.storage}, and removes the others that are not protected",
        )


def _check_places(facts: JobFacts, new: BackupJob, subject: str) -> Iterator[Finding]:
    if new.storage not in facts.storages:
        yield Finding(
            "job.storage",
            "block",
            subject,
            f"there is no storage {new.storage!r} that this token may see",
            remedy="pve storage list",
        )
    elif not facts.storages[new.storage]:
        yield Finding(
            "job.storage",
            "warn",
            subject,
            f"no node can put backups on {new.storage} now",
            remedy=f"pve storage show {shell_word(new.storage)}",
        )
    if new.node and new.node not in facts.nodes:
        yield Finding("job.node", "block", subject, f"there is no node {new.node!r}")
    if new.pool and not any(
        pool == new.pool or pool.startswith(f"{new.pool}/") for pool in facts.pools
    ):
        yield Finding("job.pool", "block", subject, f"no pool {new.pool!r} is visible")


def _check_coverage(facts: JobFacts, new: BackupJob, subject: str) -> Iterator[Finding]:
    """Guests that no enabled job would take any more."""
    others = [job for job in facts.jobs if job.id != facts.id and job.is_enabled]
    before = [*others, *([facts.job] if facts.job and facts.job.is_enabled else [])]
    after = [*others, *([new] if new.is_enabled else [])]
    lost = [
        guest
        for guest in facts.guests
        if any(job.covers(guest) for job in before) and not any(job.covers(guest) for job in after)
    ]
    if lost:
        names = ", ".join(guest.name or str(guest.vmid) for guest in lost[:_MAX_NAMES])
        more = f" and {len(lost) - _MAX_NAMES} more" if len(lost) > _MAX_NAMES else ""
        yield Finding(
            "job.uncovers",
            "warn",
            subject,
            f"no enabled job would back up {names}{more} any more",
            remedy="pve backup audit",
        )


# -- pruning ------------------------------------------------------------------------------


def effective_keep(facts: JobFacts, job: BackupJob) -> Keep | None:
    """What the job keeps: its own rule, else the storage's; None: nobody can read that."""
    return job.keep if job.keep is not None else facts.keeps.get(job.storage)


def reasons_to_raise(facts: JobFacts, new: BackupJob) -> tuple[str, ...]:
    """Why the job would let go of more backups than before; empty: it would not.

    Pruning takes each backup of the guest that lies on the storage, whoever made it, so that a
    job that is new to a guest or to a storage prunes what was safe there until then.
    """
    keep = effective_keep(facts, new)
    if not new.is_enabled or not new.removes or keep == {}:
        return ()
    found = tuple(_changes(facts, facts.job, new))
    if not found:
        return ()
    words = format_keep(keep) if keep else f"what {new.storage} says, which cannot be read"
    return (f"{facts.id} may prune more than before ({words}): {'; '.join(found)}",)


def _changes(facts: JobFacts, old: BackupJob | None, new: BackupJob) -> Iterator[str]:
    if old is None:
        yield "it is new"
        return
    if not old.is_enabled:
        yield "it was disabled"
    if not old.removes:
        yield "it removed nothing"
    if old.storage != new.storage:
        yield f"it goes to {new.storage} instead of {old.storage}"
    before, after = effective_keep(facts, old), effective_keep(facts, new)
    if before is None or after is None:
        if (old.keep, old.storage) != (new.keep, new.storage):
            yield "its retention changes, and one of them cannot be read"
    elif keeps_less(before, after):
        yield f"it kept {format_keep(before)}"
    joined = set(covered_by(facts, new)) - set(covered_by(facts, old))
    if joined:
        yield f"{len(joined)} more guests are taken"
    elif new.takes_all and not old.takes_all:
        yield "all guests to come are taken, too"
