"""What changes of HA resources are decided from."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from pveops.api.tasks import TaskStatus, list_tasks
from pveops.domain.access import read_permissions_or_none
from pveops.domain.affinity import Rule, read_rules
from pveops.domain.disk import list_disks
from pveops.domain.facts import GuestFacts, Scene, read_guest_facts
from pveops.domain.guest import Guest
from pveops.domain.ha import HaResource, read_ha, read_resource, sid_of
from pveops.errors import PveopsError

if TYPE_CHECKING:
    from pveops.api.client import Client

_CONSOLE = "Sys.Console"
_RECENT_S = 86_400


class HaFacts(NamedTuple):
    """A guest, and what HA knows of it.

    configured: None: HA does not manage it. live: what the manager does about it. rules: those
    that name it. local_storages: where disks lie that no other node can reach. failures: failed
    tasks of the last day, the newest first.
    """

    base: GuestFacts
    sid: str
    configured: dict[str, str] | None
    live: HaResource | None
    rules: tuple[Rule, ...]
    local_storages: tuple[str, ...]
    failures: tuple[TaskStatus, ...]
    may_change: bool
    """Changes take Sys.Console on `/`: PVE takes them for root's work (API2/HA/Resources.pm)."""
    has_groups: bool
    """Before 9.0: groups, where there are rules since."""


def read_ha_facts(client: Client, guest: Guest, scene: Scene) -> HaFacts:
    """Nine requests. Raises AccessError without Sys.Audit on `/`."""
    base = read_guest_facts(client, guest, scene)
    sid = sid_of(guest.kind, guest.vmid)
    live = {each.sid: each for each in read_ha(client).resources}
    permissions = read_permissions_or_none(client)
    return HaFacts(
        base=base,
        sid=sid,
        configured=read_resource(client, sid),
        live=live.get(sid),
        rules=tuple(rule for rule in read_rules(client) or () if guest.vmid in rule.vmids),
        local_storages=_local_storages(base, scene),
        failures=_read_failures(client, guest, scene),
        may_change=permissions is None or permissions.allows("/", _CONSOLE),
        has_groups=_has_groups(client),
    )


def _local_storages(base: GuestFacts, scene: Scene) -> tuple[str, ...]:
    shared = {each.storage for each in scene.inventory.storages if each.is_shared}
    disks = list_disks(base.guest.kind, base.config)
    return tuple(sorted({d.storage for d in disks if d.storage and d.storage not in shared}))


def _read_failures(client: Client, guest: Guest, scene: Scene) -> tuple[TaskStatus, ...]:
    try:
        rows = list_tasks(
            client, guest.node, since=int(scene.now) - _RECENT_S, vmid=guest.vmid, source="archive"
        )
    except PveopsError:
        return ()
    failed = [row for row in rows if row.has_failed]
    return tuple(sorted(failed, key=lambda row: -row.upid.starttime))


def _has_groups(client: Client) -> bool:
    """Where rules have taken their place, PVE refuses to list groups."""
    try:
        client.get("/cluster/ha/groups")
    except PveopsError:
        return False
    return True
