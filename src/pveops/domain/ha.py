"""Guests that HA manages: what is wanted of them, and what HA does about it."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from pveops.domain.rows import Row, int_of, rows_of, text_of

if TYPE_CHECKING:
    from pveops.api.client import Client


_NO_OPTIONS = frozenset({"sid", "type", "digest", "comment"})


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


class HaDaemons(NamedTuple):
    """What the HA stack says of itself.

    nodes: by node what its resource manager is at: `pve1 (active, ...)`, as PVE words it. armed:
    `armed`, `standby`, `disarming`, `disarmed`; empty before 9.2.
    """

    nodes: dict[str, str]
    armed: str


def read_ha_daemons(client: Client) -> HaDaemons:
    """One request; takes Sys.Audit on `/`."""
    rows = rows_of(client.get("/cluster/ha/status/current"))
    fencing = next((row for row in rows if row.get("type") == "fencing"), {})
    return HaDaemons(
        {text_of(row, "node"): text_of(row, "status") for row in rows if row.get("type") == "lrm"},
        text_of(fencing, "armed-state"),
    )


def read_ha(client: Client) -> HaView:
    """Two requests (Sys.Audit on `/`). Comments are text of others, and left out."""
    return ha_of(
        rows_of(client.get("/cluster/ha/resources")),
        rows_of(client.get("/cluster/ha/status/current")),
    )


def sid_of(kind: str, vmid: int) -> str:
    """How HA names a guest."""
    return f"{'vm' if kind == 'qemu' else 'ct'}:{vmid}"


def read_resource(client: Client, sid: str) -> dict[str, str] | None:
    """What is configured of one resource, as texts by key; None: HA does not manage it.

    One request. PVE answers an unknown one with 500 and a text (API2/HA/Resources.pm).
    """
    for row in rows_of(client.get("/cluster/ha/resources")):
        if text_of(row, "sid") == sid:
            kept = {key: text_of(row, key) for key in row if key not in _NO_OPTIONS}
            return {"state": "started", **kept}
    return None


def resource_text(resource: dict[str, str] | None) -> str:
    """The whole of it, for comparisons; empty when there is none."""
    return ",".join(f"{key}={resource[key]}" for key in sorted(resource)) if resource else ""


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
