"""Goals about Ceph."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pveops.api.port import api_path
from pveops.domain.ceph import read_ceph
from pveops.domain.inventory import read_inventory
from pveops.engine.goals.sight import Look, Sight, Sought, unknown

if TYPE_CHECKING:
    from pveops.api.client import Client


def _look_at_flag(client: Client, sought: Sought) -> Sight:
    """`expect`: `flag`, `is_on`."""
    flag, wanted = str(sought.expect["flag"]), bool(sought.expect["is_on"])
    is_on = client.get(api_path("cluster", "ceph", "flags", flag)) in (1, "1", True)
    return Sight(is_on is wanted, f"{flag} is {'set' if is_on else 'not set'}", {flag: is_on})


def _look_at_health(client: Client, _: Sought) -> Sight:
    ceph = read_ceph(client, read_inventory(client))
    if ceph is None or not ceph.status:
        return unknown("Ceph does not tell its health")
    return Sight(ceph.is_healthy, f"Ceph: {ceph.told}", {"ceph": ceph.status})


GOALS: dict[str, Look] = {"ceph.flag": _look_at_flag, "ceph.healthy": _look_at_health}
