"""The slow looks at a cluster: which there are, and what each reads and judges."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, NamedTuple

from pveops.api.port import api_path
from pveops.domain.access import Permissions
from pveops.domain.rows import Row, text_of
from pveops.domain.storage import Storage
from pveops.errors import PveopsError
from pveops.monitor import parts
from pveops.monitor.parts import Sight, SlowLook
from pveops.operations.findings import Finding
from pveops.operations.limits import Limits
from pveops.units import DAY_S, format_duration

if TYPE_CHECKING:
    from pveops.api.client import Client
    from pveops.domain.inventory import Inventory

Judge = Callable[[Limits], Iterator[Finding]]
_AVAILABLE = "available"
_UNKNOWN_GUESTS = 500
"""From so many on, guests of which nothing is known are not named one by one."""


class Scene(NamedTuple):
    """What slow looks work with.

    configured: the rows of /storage; None: not readable, or nobody needs them now. created: when
    each guest was made, as far as that was read already.
    """

    client: Client
    inventory: Inventory
    permissions: Permissions | None
    configured: list[Row] | None
    created: Mapping[int, int]
    limits: Limits
    now: int


def list_slow_looks(scene: Scene) -> tuple[SlowLook, ...]:
    """All there are in this cluster; whether one can be taken now is for who takes them."""
    looks = [look for node in scene.inventory.nodes for look in _looks_at_node(node.name)]
    if scene.limits.filling_days:
        looks += [_look_at_filling(place) for place in _places(scene.inventory)]
    if scene.limits.backup_days:
        looks.append(SlowLook("backups", "backups", "", parts.BACKUPS_S, _see_backups, (), ""))
    return tuple(looks)


def needs_configured(key: str) -> bool:
    """Whether the look of that key reads the list of configured storages."""
    return key == "backups" or key.startswith("pools/")


def _judged(scene: Scene, judge: Judge) -> Sight:
    return Sight(tuple(judge(scene.limits)), tuple(judge(scene.limits.eased())))


# -- nodes ---------------------------------------------------------------------------


def _looks_at_node(node: str) -> Iterator[SlowLook]:
    here, root = f"/nodes/{node}", "/"
    audit = "Sys.Audit"

    def look(
        name: str, what: str, period_s: int, see: Callable[[Scene, str], Sight], *needs: str
    ) -> SlowLook:
        privilege = audit if needs else ""
        return SlowLook(
            f"{name}/{node}", what, node, period_s, lambda at: see(at, node), needs, privilege
        )

    yield look("load", "load", parts.LOAD_S, _see_load, here)
    yield look("clock", "clock", parts.CLOCK_S, _see_clock, here)
    yield look("drives", "drives", parts.DRIVES_S, _see_drives, here, root)
    yield look("pools", "ZFS and thin pools", parts.POOLS_S, _see_pools, root)
    yield look("certificates", "certificates", parts.CERTIFICATES_S, _see_certificates)
    yield look("kernel", "installed kernel", parts.UPDATES_S, _see_kernel, here)
    yield look("updates", "pending updates", parts.UPDATES_S, _see_updates, here)._replace(
        privilege="Sys.Modify"
    )


def _see_load(scene: Scene, node: str) -> Sight:
    from pveops.domain.rrd import node_path, read_measured
    from pveops.operations.health_nodes import check_load

    measured = read_measured(scene.client, node_path(node), "hour")
    return _judged(scene, lambda limits: check_load(node, measured, scene.now, limits))


def _see_clock(scene: Scene, node: str) -> Sight:
    from pveops.domain.node_clock import read_ahead_s
    from pveops.operations.health_nodes import check_clock

    ahead_s = read_ahead_s(scene.client, node)
    return _judged(scene, lambda limits: check_clock(node, ahead_s, limits))


def _see_drives(scene: Scene, node: str) -> Sight:
    from pveops.domain.hardware import read_drives
    from pveops.operations.health_nodes import check_drives

    return Sight(tuple(check_drives(node, read_drives(scene.client, node))))


def _see_pools(scene: Scene, node: str) -> Sight:
    """Thin pools are asked for where a storage lies on one."""
    from pveops.domain.hardware import read_pools, read_thin_pools
    from pveops.operations.health_nodes import check_pools, check_thin_pools

    mine = [each for each in scene.inventory.storages if each.node == node]
    pools = read_pools(scene.client, node)
    has_thin = any(each.type == "lvmthin" for each in mine)
    thin = read_thin_pools(scene.client, node) if has_thin else ()
    names = {each.storage for each in mine}
    known = frozenset(
        text_of(row, "pool").partition("/")[0]
        for row in scene.configured or ()
        if text_of(row, "type") == "zfspool" and text_of(row, "storage") in names
    )

    def judge(limits: Limits) -> Iterator[Finding]:
        yield from check_pools(node, pools, known, limits)
        yield from check_thin_pools(node, thin, limits)

    return _judged(scene, judge)


def _see_certificates(scene: Scene, node: str) -> Sight:
    from pveops.domain.certificate import read_certificates
    from pveops.operations.health_nodes import check_certificates

    found = read_certificates(scene.client, node)
    return Sight(tuple(check_certificates(node, found, scene.now, scene.limits)))


def _see_kernel(scene: Scene, node: str) -> Sight:
    from pveops.domain.kernel import read_kernels
    from pveops.operations.health_nodes import check_kernels

    kernels = read_kernels(scene.client, node)
    unseen = (("node.reboot-due", f"node/{node}"),) if kernels.is_reboot_due is None else ()
    return Sight(tuple(check_kernels(node, kernels)), unseen=unseen)


def _see_updates(scene: Scene, node: str) -> Sight:
    from pveops.domain.updates import read_updates
    from pveops.operations.health_nodes import check_updates

    return Sight(tuple(check_updates(node, read_updates(scene.client, node))))


# -- storages ------------------------------------------------------------------------


def _places(inventory: Inventory) -> Iterator[Storage]:
    """Each storage once: a shared one by a node that reaches it, if there is one."""
    shared: dict[str, Storage] = {}
    for storage in inventory.storages:
        if not storage.is_shared:
            yield storage
        elif shared.get(storage.storage, storage).status != _AVAILABLE:
            shared[storage.storage] = storage
        else:
            shared.setdefault(storage.storage, storage)
    yield from shared.values()


def _look_at_filling(place: Storage) -> SlowLook:
    where = "" if place.is_shared else place.node
    return SlowLook(
        f"filling/{where}/{place.storage}",
        f"course of {place.storage}",
        place.node,
        parts.FORECAST_S,
        lambda at: _see_filling(at, place),
        (f"/storage/{place.storage}",),
        "Datastore.Audit",
        is_reachable=place.status == _AVAILABLE,
        is_of_storage=True,
    )


def _see_filling(scene: Scene, place: Storage) -> Sight:
    from pveops.domain.rrd import read_measured, storage_path
    from pveops.monitor.forecast import forecast_full

    path = storage_path(place.node, place.storage)
    points = read_measured(scene.client, path, "week").points("used")
    uses = {use for _, use in points}
    # What did not move needs no line through it.
    forecast = forecast_full(points, place.total_bytes, scene.now) if len(uses) > 1 else None
    if forecast is None or not forecast.is_sure or place.used_share >= scene.limits.full:
        return Sight()
    seconds = forecast.seconds or 0.0
    finding = Finding(
        "storage.filling",
        "warn",
        place.subject,
        f"{place.label} will be full in {format_duration(seconds)} at the present rate",
        api_path("nodes", place.node, "storage", place.storage, "rrddata"),
        f"pve storage show {place.storage}",
    )

    def judge(limits: Limits) -> Iterator[Finding]:
        if seconds <= limits.filling_days * DAY_S:
            yield finding

    return _judged(scene, judge)


# -- backups -------------------------------------------------------------------------


def _see_backups(scene: Scene) -> Sight:
    from pveops.domain.backup_survey import Known, read_survey
    from pveops.domain.job import list_jobs
    from pveops.operations.health_backups import GuestBackups, check_backups

    try:
        jobs = list_jobs(scene.client)
    except PveopsError:
        jobs = None
    known = Known(scene.permissions, scene.configured)
    survey = read_survey(scene.client, scene.inventory, jobs or (), known)
    guests = [
        GuestBackups(
            guest,
            scene.created.get(guest.vmid, 0),
            survey.backups_of(guest.vmid),
            survey.gaps_for(guest.vmid),
        )
        for guest in scene.inventory.guests
        if not guest.is_template
    ]
    findings, unknown = check_backups(guests, jobs, scene.now, scene.limits)
    unseen = tuple(("backup.*", subject) for subject in unknown)
    if len(unseen) > _UNKNOWN_GUESTS or any(each.subject == "cluster" for each in findings):
        unseen = (("backup.*", "?[mt]/*"),)
    gaps = dict.fromkeys(gap for each in guests for gap in each.gaps)
    blind = tuple(f"backups on {gap}" for gap in gaps)
    if jobs is None:
        blind += ("backup jobs (need Sys.Audit on /)",)
    return Sight(findings, unseen=unseen, blind=blind)
