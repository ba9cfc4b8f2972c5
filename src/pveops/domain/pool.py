"""Pools: what belongs together, and what follows from that."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from pveops.domain.facts import Scene
from pveops.domain.guest import Guest
from pveops.domain.job import BackupJob, list_jobs
from pveops.domain.rows import int_of, rows_of, text_of
from pveops.domain.selection import resolve_guest
from pveops.errors import AccessError, NotFoundError, ParameterError, PveopsError

if TYPE_CHECKING:
    from pveops.api.client import Client


class Pool(NamedTuple):
    """One pool with its own members."""

    name: str
    vmids: frozenset[int]
    storages: frozenset[str]
    comment: str = ""


class PoolFacts(NamedTuple):
    """A pool, and whom it is to gain or lose.

    pool: None: there is none of that name. named, storages: what the request names. jobs: backup
    jobs that take a pool's guests; None: the token may not read jobs.
    """

    name: str
    pool: Pool | None
    named: tuple[Guest, ...]
    storages: tuple[str, ...]
    unknown_storages: tuple[str, ...]
    jobs: tuple[BackupJob, ...] | None
    is_quorate: bool | None


def read_pool(client: Client, name: str) -> Pool | None:
    """One request. PVE answers 500 for a pool that does not exist (API2/Pool.pm)."""
    try:
        rows = rows_of(client.get("/pools", {"poolid": name}))
    except ParameterError:
        # Not even a name.
        return None
    except AccessError:
        raise
    except PveopsError as error:
        if "does not exist" in error.message:
            return None
        raise
    if not rows:
        return None
    members = rows_of(rows[0].get("members"))
    return Pool(
        name=name,
        vmids=frozenset(int_of(row, "vmid") for row in members if row.get("vmid")),
        storages=frozenset(
            text_of(row, "storage") for row in members if text_of(row, "type") == "storage"
        ),
        comment=text_of(rows[0], "comment"),
    )


def pool_text(pool: Pool | None) -> str:
    """Its members, for comparisons; empty when there is no pool."""
    if pool is None:
        return ""
    return f"{pool.name}: {','.join(map(str, (*sorted(pool.vmids), *sorted(pool.storages))))}"


def read_pool_facts(client: Client, scene: Scene) -> tuple[PoolFacts]:
    """Two requests. Raises NotFoundError, AmbiguousError for guests that do not fit."""
    name = scene.names[0]
    known = {storage.storage for storage in scene.inventory.storages}
    storages = _words(scene, "storage")
    return (
        PoolFacts(
            name=name,
            pool=read_pool(client, name),
            named=tuple(resolve_guest(scene.inventory, word) for word in _words(scene, "members")),
            storages=storages,
            unknown_storages=tuple(each for each in storages if each not in known),
            jobs=_read_jobs(client),
            is_quorate=scene.is_quorate,
        ),
    )


def read_existing_pool_facts(client: Client, scene: Scene) -> tuple[PoolFacts]:
    """As `read_pool_facts`. Raises NotFoundError when there is no such pool, too."""
    (facts,) = read_pool_facts(client, scene)
    if facts.pool is None:
        names = ", ".join(scene.inventory.pools) or "none"
        raise NotFoundError(f"there is no pool {facts.name!r}", hint=f"there are: {names}")
    return (facts,)


def _words(scene: Scene, name: str) -> tuple[str, ...]:
    return tuple(filter(None, str(scene.params.get(name) or "").split(",")))


def _read_jobs(client: Client) -> tuple[BackupJob, ...] | None:
    try:
        return list_jobs(client)
    except PveopsError:
        return None
