"""Guests that HA manages: what is wanted of them, and what HA does about it."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from pveops.domain.rows import Row, int_of, rows_of, text_of

if TYPE_CHECKING:
    from pveops.api.client import Client


class HaResource(NamedTuple):
    """One resource of the HA manager."""

    sid: str
    """`vm:101`, `ct:201`."""
    vmid: int
    node: str
    """Where it is, as far as HA knows."""
    wanted: str
    """`started`, `stopped`, `disabled`, `ignored`."""
    state: str
    """What the manager does: `started`, `stopped`, `error`, `fence`, `recovery`, `migrate`, ..."""
    group: str
    """Before 9.0."""
    max_restart: int
    max_relocate: int


class HaView(NamedTuple):
    """All resources, and whether the manager is at work."""

    resources: tuple[HaResource, ...]
    manager: str
    """The node of the manager with its state, such as `pve1 (active)`; empty: there is none."""
    has_quorum: bool


def read_ha(client: Client) -> HaView:
    """Two requests (Sys.Audit on `/`). Comments are text of others, and left out."""
    return ha_of(
        rows_of(client.get("/cluster/ha/resources")),
        rows_of(client.get("/cluster/ha/status/current")),
    )


def ha_of(resources: list[Row], status: list[Row]) -> HaView:
    """From the rows of `resources` and of `status/current`."""
    services = {text_of(row, "sid"): row for row in status if row.get("type") == "service"}
    found = []
    for row in resources:
        sid = text_of(row, "sid")
        service = services.get(sid, {})
        number = sid.partition(":")[2]
        found.append(
            HaResource(
                sid=sid,
                vmid=int(number) if number.isdecimal() else 0,
                node=text_of(service, "node"),
                wanted=text_of(row, "state", "started"),
                state=text_of(service, "crm_state") or text_of(service, "state", "unknown"),
                group=text_of(row, "group"),
                max_restart=int_of(row, "max_restart", 1),
                max_relocate=int_of(row, "max_relocate", 1),
            )
        )
    master = next((row for row in status if row.get("type") == "master"), {})
    quorum = next((row for row in status if row.get("type") == "quorum"), {})
    return HaView(
        tuple(sorted(found)), text_of(master, "status"), text_of(quorum, "status") == "OK"
    )
