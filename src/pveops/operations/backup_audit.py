"""Gathering what is known of the backups of guests, and judging it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, NamedTuple

from pveops.domain.backup import takes_backups
from pveops.domain.backup_history import BackupHistory, read_history
from pveops.domain.backup_survey import BackupSurvey, read_survey
from pveops.domain.disk import is_backed_up, list_disks
from pveops.domain.guest import Guest, read_guest_config
from pveops.domain.job import BackupJob, list_jobs
from pveops.errors import PveopsError
from pveops.operations.backup_coverage import Coverage, CoverageFacts, judge_coverage

if TYPE_CHECKING:
    from pveops.api.client import Client
    from pveops.domain.inventory import Inventory

Each = Callable[[Sequence[str], Callable[[int], "Birth"]], Sequence["Birth"]]
"""Works through many guests: given their nodes and the work on one, the results in order."""
_LOGS = 5
"""So many runs of a node are read to find the last result of each of its guests."""


class Birth(NamedTuple):
    """What a guest's configuration says that its backups depend on."""

    created_at: int | None
    """Seconds since the epoch; 0: PVE keeps none; None: the configuration is not readable."""
    left_out: tuple[str, ...]
    """Slots of disks that no backup takes."""


class Audit(NamedTuple):
    """What is known of all backups of some guests."""

    facts: tuple[CoverageFacts, ...]
    survey: BackupSurvey
    jobs: tuple[BackupJob, ...] | None
    history: BackupHistory | None
    """None: nobody asked for it."""
    hides_guests: bool
    """There may be guests that the token does not see."""

    def judge(self, *, limit_s: int, now: int) -> tuple[tuple[CoverageFacts, Coverage], ...]:
        """Each guest with its judgement."""
        return tuple((each, judge_coverage(each, limit_s=limit_s, now=now)) for each in self.facts)


def read_audit(
    client: Client,
    inventory: Inventory,
    guests: Sequence[Guest],
    each: Each,
    *,
    since: int | None,
) -> Audit:
    """One request a guest, one or two a storage, two, and some for history unless `since` is None.

    since: how far back the lists of tasks are read for last results.
    """
    jobs = _jobs_or_none(client)
    survey = read_survey(client, inventory, jobs or ())
    history = None
    if since is not None:
        history = read_history(client, inventory, survey.permissions, since, max_logs=_LOGS)
    latest = history.latest_results() if history else {}
    storages = {node.name: _storages_of(inventory, node.name) for node in inventory.nodes}
    births = each(
        [guest.node for guest in guests], lambda index: read_birth(client, guests[index])
    )
    facts = tuple(
        CoverageFacts(
            guest=guest,
            created_at=birth.created_at,
            left_out=birth.left_out,
            backups=survey.backups_of(guest.vmid),
            gaps=survey.gaps_for(guest.vmid),
            jobs=jobs,
            storages=storages.get(guest.node, frozenset()),
            result=latest.get(guest.vmid),
        )
        for guest, birth in zip(guests, births, strict=True)
    )
    permissions = survey.permissions
    hides = permissions is None or not permissions.allows("/vms", "VM.Audit")
    return Audit(facts, survey, jobs, history, hides)


def read_birth(client: Client, guest: Guest) -> Birth:
    """One request to the guest's node."""
    try:
        config = read_guest_config(client, guest.ref)
    except PveopsError:
        return Birth(None, ())
    left_out = tuple(
        disk.slot
        for disk in list_disks(guest.kind, config)
        if not disk.is_unused and not is_backed_up(guest.kind, disk)
    )
    return Birth(config.created_at, left_out)


def _jobs_or_none(client: Client) -> tuple[BackupJob, ...] | None:
    try:
        return list_jobs(client)
    except PveopsError:
        return None


def _storages_of(inventory: Inventory, node: str) -> frozenset[str]:
    return frozenset(
        storage.storage for storage in inventory.storages if takes_backups(storage, node)
    )
