"""Trying a new guest on each node: what it would come to there, and what stands against it."""

from __future__ import annotations

from typing import NamedTuple

from pveops.domain.create_facts import CreateFacts, Place, StoredFile, is_wanted_file
from pveops.domain.guest_template import Variable
from pveops.domain.storage import Storage
from pveops.operations.create_checks import NewGuest, check_new_guest, missing_file
from pveops.operations.findings import Finding, blocks_among
from pveops.operations.template_values import render_config

AUTO = "auto"
_BY_SPEED = ("zfspool", "lvmthin", "rbd", "btrfs", "lvm", "dir", "nfs", "cifs")
"""Types of storages, those that are usually local and fast first."""


class Trial(NamedTuple):
    """One node, tried."""

    place: Place
    values: dict[str, str]
    config: dict[str, str]
    findings: tuple[Finding, ...]
    chosen: dict[str, str]
    """What was chosen for `auto`: variable -> storage, with the reason."""


def try_places(facts: CreateFacts, values: dict[str, str], pool: str) -> tuple[Trial, ...]:
    """Every node, the best one first: what can take it, without warnings, with most memory."""
    trials = [_try(facts, place, values, pool) for place in facts.places]
    return tuple(sorted(trials, key=_rank))


def _rank(trial: Trial) -> tuple[int, int, int, str]:
    node = trial.place.node
    warnings = sum(finding.severity == "warn" for finding in trial.findings)
    free = node.maxmem_bytes - node.mem_bytes
    return len(blocks_among(trial.findings)), warnings, -free, node.name


def _try(facts: CreateFacts, place: Place, values: dict[str, str], pool: str) -> Trial:
    filled, chosen = dict(values), {}
    missing: list[Finding] = []
    need = _need_bytes(facts, values)
    for name, variable in facts.template.of_type("storage").items():
        if filled[name] == AUTO:
            storage = choose_storage(place, variable.content, need)
            filled[name] = storage.storage if storage else ""
            if storage:
                chosen[name] = f"{storage.storage} ({storage.type})"
    for name, variable in facts.template.of_type("volume").items():
        if not filled[name]:
            continue
        file = find_file(place, variable, filled[name])
        filled[name] = file.volid if file else ""
        if file is None:
            missing.append(missing_file(facts, place, name, values[name]))
    config = render_config(facts.template, filled)
    guest = NewGuest(facts, place, filled, pool, need)
    found = (*missing, *check_new_guest(guest))
    return Trial(place, filled, config, found, chosen)


def _need_bytes(facts: CreateFacts, values: dict[str, str]) -> int:
    """What its disks may come to."""
    return sum(int(values[name]) << 30 for name in facts.template.of_type("size"))


def choose_storage(place: Place, content: str, need_bytes: int) -> Storage | None:
    """The fastest kind that has room, and of those the one with the most."""
    fits = [
        storage
        for storage in place.storages
        if content in storage.content
        and storage.has_figures
        and storage.total_bytes - storage.used_bytes >= need_bytes
    ]
    return min(fits, key=_storage_rank, default=None)


def _storage_rank(storage: Storage) -> tuple[int, int, str]:
    kind = _BY_SPEED.index(storage.type) if storage.type in _BY_SPEED else len(_BY_SPEED)
    return kind, storage.used_bytes - storage.total_bytes, storage.storage


def find_file(place: Place, variable: Variable, wanted: str) -> StoredFile | None:
    """The file by volid, or the newest that fits one of the names or patterns."""
    fits = [file for file in place.files if is_wanted_file(file, variable, wanted)]
    return max(fits, key=lambda file: file.ctime, default=None)
