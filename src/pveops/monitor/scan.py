"""One look at everything that is watched, in a few requests."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, NamedTuple

from pveops.domain.access import list_blind_spots
from pveops.domain.ceph import CephHealth, read_ceph
from pveops.domain.health import Health, read_health
from pveops.domain.replication import ReplicationView, read_replication
from pveops.errors import PveopsError, UnreachableError
from pveops.monitor.alerts import Seen
from pveops.operations.findings import Finding
from pveops.operations.health import LIMITS, Limits, check_health, subject_of
from pveops.units import format_duration

if TYPE_CHECKING:
    from pveops.api.client import Client

_MARGIN = 0.02
"""What was told stays so until it is clearly below its limit."""
_UNREACHABLE, _REFUSED = "cluster.unreachable", "cluster.refused"


class Look(NamedTuple):
    """What was read. ceph: None where no storage is Ceph's. replication: None: not readable."""

    health: Health
    ceph: CephHealth | None
    replication: ReplicationView | None


def watch(client: Client, now: int, limits: Limits = LIMITS) -> tuple[Seen, tuple[str, ...]]:
    """What is wrong, and the blind spots. A cluster that nobody reaches is a finding itself.

    Requests: four for the cluster's health, one where Ceph is used, one for replication and one
    for each node that replicates.
    """
    try:
        look = read_look(client)
    except UnreachableError as error:
        lost = Finding(
            _UNREACHABLE,
            "block",
            "cluster",
            f"no endpoint answers: {error.message}",
            remedy="pve doctor",
        )
        return Seen(now, (lost,), unseen=(("*", "*"),)), (
            "everything: the cluster is not reached",
        )
    return judge(look, now, limits), blind_spots(look)


def read_look(client: Client) -> Look:
    """Raises PveopsError when even the inventory cannot be read."""
    health = read_health(client)
    return Look(health, read_ceph(client, health.view.inventory), _read_replication(client))


def _read_replication(client: Client) -> ReplicationView | None:
    try:
        return read_replication(client)
    except UnreachableError:
        raise
    except PveopsError:
        return None


def judge(look: Look, now: int, limits: Limits = LIMITS) -> Seen:
    """Findings by the limits, those that hold by the eased ones, and what was not seen. Pure."""
    return Seen(
        now,
        findings=(*check_health(look.health, limits), *_check_more(look)),
        held=check_health(look.health, limits.eased(_MARGIN)),
        unseen=tuple(_list_unseen(look)),
    )


def _check_more(look: Look) -> Iterator[Finding]:
    if look.ceph is not None and look.ceph.status and not look.ceph.is_healthy:
        is_broken = look.ceph.status == "HEALTH_ERR"
        yield Finding(
            "ceph.health",
            "block" if is_broken else "warn",
            "ceph",
            look.ceph.told,
            "/cluster/ceph/status",
        )
    for job in look.replication.jobs if look.replication else ():
        late = job.overdue_s(look.health.now)
        subject = f"replication/{job.id}"
        if job.is_failing:
            text = f"job {job.id} failed {job.fail_count} times: {job.error}"
            yield Finding("replication.failing", "warn", subject, text, remedy=_status())
        elif late:
            text = f"job {job.id} is late by {format_duration(late)}"
            yield Finding("replication.late", "warn", subject, text, remedy=_status())


def _status() -> str:
    return "pve replication status"


def _list_unseen(look: Look) -> Iterator[tuple[str, str]]:
    """What may be as it was: nobody could look."""
    inventory = look.health.view.inventory
    if look.health.view.membership is None:
        yield "cluster.no-quorum", "*"
    if look.health.tasks is None:
        yield "task.failed", "*"
    if look.ceph is not None and not look.ceph.status:
        yield "ceph.*", "*"
    if look.replication is None:
        yield "replication.*", "*"
    gone = set(inventory.nodes_not_online)
    for node in sorted(gone):
        yield "task.failed", f"task/{node}/*"
        yield "storage.*", f"storage/{node}/*"
        yield "node.memory", f"node/{node}"
    for guest in inventory.guests:
        if guest.node in gone:
            yield "guest.*", subject_of(guest)
    unseen = look.replication.unseen if look.replication else ()
    for job in look.replication.jobs if look.replication else ():
        if job.source in unseen:
            yield "replication.*", f"replication/{job.id}"


def blind_spots(look: Look) -> tuple[str, ...]:
    """What the token may not see, and what nobody could read this time."""
    permissions = look.health.permissions
    if permissions is None:
        spots = ["nobody could tell what the token may see"]
    elif permissions.is_empty:
        spots = ["the token has no privileges at all, so it sees next to nothing"]
    else:
        spots = [
            f"{spot.what} (needs {spot.privilege} on {spot.path})"
            for spot in list_blind_spots(permissions)
        ]
    if look.health.tasks is None:
        spots.append("failed tasks could not be read")
    if look.replication is None:
        spots.append("replication could not be read")
    elif look.replication.unseen:
        spots.append(f"replication from {', '.join(look.replication.unseen)} could not be read")
    if look.ceph is not None and not look.ceph.status:
        spots.append(f"Ceph's health: {look.ceph.told}")
    return tuple(spots)
