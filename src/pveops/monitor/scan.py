"""The fast look: what a few requests tell of everything at once."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, NamedTuple

from pveops.domain.access import list_blind_spots
from pveops.domain.ceph import CephHealth, read_ceph
from pveops.domain.ha import HaDaemons, read_ha_daemons
from pveops.domain.health import Health, read_health
from pveops.domain.replication import ReplicationView, read_replication_or_none
from pveops.errors import AuthenticationError, PveopsError, UnreachableError
from pveops.monitor.alerts import Seen
from pveops.operations.findings import Finding
from pveops.operations.health import check_health, subject_of
from pveops.operations.health_ha import check_ha_daemons
from pveops.operations.limits import LIMITS, Limits
from pveops.units import format_duration

if TYPE_CHECKING:
    from pveops.api.client import Client

_FIXED = 5
"""Resources, membership, tasks, permissions, replication."""
_UNREACHABLE, _REFUSED, _UNREAD = "cluster.unreachable", "cluster.refused", "cluster.unread"


class Look(NamedTuple):
    """What was read at once.

    ceph: None where no storage is Ceph's. replication: None: not readable. ha: None: no guest is
    managed, or it is not readable, which `is_ha_unseen` tells.
    """

    health: Health
    ceph: CephHealth | None
    replication: ReplicationView | None
    ha: HaDaemons | None = None
    is_ha_unseen: bool = False

    @property
    def requests(self) -> int:
        """How many it took beside those that go with nodes."""
        return _FIXED + (self.ceph is not None) + (self.ha is not None or self.is_ha_unseen)


def try_look(client: Client) -> Look | Finding:
    """The look, or why there is none: that nobody reaches the cluster is a finding itself.

    Requests: four for the cluster's health, one where Ceph is used, one where HA is, one for
    replication and one for each node that replicates.
    """
    try:
        return read_look(client)
    except UnreachableError as error:
        text = f"no endpoint answers: {error.message}"
        return Finding(_UNREACHABLE, "block", "cluster", text, remedy="pve doctor")
    except AuthenticationError as error:
        text = f"the cluster does not take the token: {error.message}"
        return Finding(_REFUSED, "block", "cluster", text, remedy="pve doctor")
    except PveopsError as error:
        # Another certificate, a proxy's page: whoever relies on the monitor has to hear of it.
        text = f"the cluster cannot be looked at: {error.message}"
        return Finding(_UNREAD, "block", "cluster", text, remedy="pve doctor")


def lost(why: Finding, now: int) -> tuple[Seen, tuple[str, ...]]:
    """What a look comes to that saw nothing."""
    return Seen(now, (why,), unseen=(("*", "*"),)), (f"everything: {why.message}",)


def read_look(client: Client) -> Look:
    """Raises PveopsError when even the inventory cannot be read."""
    health = read_health(client)
    inventory = health.view.inventory
    is_managed = any(guest.hastate for guest in inventory.guests)
    ha = _read_ha(client) if is_managed else None
    return Look(
        health,
        read_ceph(client, inventory),
        read_replication_or_none(client),
        ha,
        is_ha_unseen=is_managed and ha is None,
    )


def _read_ha(client: Client) -> HaDaemons | None:
    try:
        return read_ha_daemons(client)
    except UnreachableError:
        raise
    except PveopsError:
        return None


def judge(look: Look, now: int, limits: Limits = LIMITS) -> Seen:
    """Findings by the limits, those that hold by the eased ones, and what was not seen. Pure."""
    return Seen(
        now,
        findings=(*check_health(look.health, limits), *_check_more(look)),
        held=check_health(look.health, limits.eased()),
        unseen=tuple(_list_unseen(look)),
        filtered=tuple(_list_filtered(look)),
    )


def _list_filtered(look: Look) -> Iterator[tuple[str, frozenset[str]]]:
    """Families of whose subjects the token may be shown a part only."""
    permissions = look.health.permissions
    inventory = look.health.view.inventory
    if permissions is None or not permissions.allows("/vms", "VM.Audit"):
        guests = frozenset(subject_of(guest) for guest in inventory.guests)
        for family in ("guest.*", "backup.*", "ha.*"):
            yield family, guests
    if permissions is None or not permissions.allows("/storage", "Datastore.Audit"):
        names = {f"storage/{each.storage}" for each in inventory.storages}
        places = {f"storage/{each.node}/{each.storage}" for each in inventory.storages}
        yield "storage.*", frozenset(names | places)


def _check_more(look: Look) -> Iterator[Finding]:
    if look.ha is not None:
        yield from check_ha_daemons(look.ha, look.health.view.inventory)
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
    if look.is_ha_unseen:
        yield "ha.manager", "*"
        yield "ha.disarmed", "*"
    gone = set(inventory.nodes_not_online)
    for node in sorted(gone):
        yield "task.failed", f"task/{node}/*"
        yield "storage.*", f"storage/{node}/*"
        yield "node.memory", f"node/{node}"
        yield "node.root", f"node/{node}"
        yield "ha.manager", f"node/{node}"
    for guest in inventory.guests:
        if guest.node in gone:
            yield "guest.*", subject_of(guest)
            yield "ha.not-running", subject_of(guest)
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
    if look.is_ha_unseen:
        spots.append("the HA manager could not be read (needs Sys.Audit on /)")
    if look.ceph is not None and not look.ceph.status:
        spots.append(f"Ceph's health: {look.ceph.told}")
    return tuple(spots)
