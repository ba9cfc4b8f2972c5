"""Reading a plan's guards again, right before its first call."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from pveops.api.tasks import get_status
from pveops.domain.backup import read_backups_on
from pveops.domain.guest import GuestRef, read_guest_config, read_guest_state
from pveops.domain.ha import read_resource
from pveops.domain.inventory import read_inventory
from pveops.domain.job import find_job
from pveops.domain.node_power import read_up
from pveops.domain.pool import read_pool
from pveops.domain.upload_facts import file_text
from pveops.engine.volume_use import read_uses
from pveops.errors import NotFoundError, StalePlanError
from pveops.operations.guards import (
    FILE,
    HA,
    USE,
    backup_guard,
    backups_place,
    guest_guards,
    ha_guard,
    job_guards,
    node_guards,
    pool_guard,
    use_guard,
)
from pveops.operations.plan import Item, Scalar, Target
from pveops.operations.task import task_guards
from pveops.sanitize import shell_word

if TYPE_CHECKING:
    from pveops.api.client import Client


_LASTING = ("name", "identity")
"""Guards that our own steps leave as they are."""


def check_guards(client: Client, item: Item) -> None:
    """Two requests to the target's node, one for a task or job; for a new guest, to its source's.

    Raises StalePlanError naming each changed field.

    Asking the planned node proves the placement, too: a guest that moved is not found there.
    """
    now = _read(client, item)
    changed = {
        field: (planned, now.get(field))
        for field, planned in item.guards.items()
        if now.get(field) != planned
    }
    if changed:
        words = ", ".join(f"{field}: {old!r} -> {new!r}" for field, (old, new) in changed.items())
        subject = item.source or item.target
        raise StalePlanError(
            f"{subject.label} has changed since the plan was made: {words}",
            hint="ask for the operation again to get a plan of the present state",
            details={"changed": sorted(changed)},
        )


def check_identity(client: Client, item: Item) -> None:
    """As `check_guards`, for a target that we have changed ourselves: is it the same one still."""
    lasting = {field: item.guards[field] for field in _LASTING if field in item.guards}
    check_guards(client, msgspec.structs.replace(item, guards=lasting))


def _read(client: Client, item: Item) -> dict[str, Scalar]:
    target = item.source or item.target
    if not item.guards:
        return {}
    now = _read_backups(client, item) | _read_ha(client, item) | _read_files(item)
    if target.kind == "task":
        return now | task_guards(get_status(client, target.id).is_running)
    if target.kind == "volume":
        return now | _read_use(client, item)
    if target.kind == "node":
        return now | _read_node(client, target.id)
    if target.kind == "pool":
        return now | pool_guard(read_pool(client, target.id))
    if target.kind == "job":
        return now | job_guards(find_job(client, target.id))
    if target.kind in {"qemu", "lxc"}:
        return now | _read_guest(client, target)
    return now


def _read_backups(client: Client, item: Item) -> dict[str, Scalar]:
    """One request for each storage whose backups the plan relies on."""
    found: dict[str, Scalar] = {}
    for field in item.guards:
        place = backups_place(field)
        if place is not None:
            backups = read_backups_on(client, place.node, place.storage, place.vmid)
            found |= backup_guard(place.storage, place.node, backups, place.vmid)
    return found


def _read_ha(client: Client, item: Item) -> dict[str, Scalar]:
    """One request for each HA resource that the plan relies on."""
    found: dict[str, Scalar] = {}
    for field in item.guards:
        noun, _, sid = field.partition("/")
        if noun == HA:
            found |= ha_guard(sid, read_resource(client, sid))
    return found


def _read_files(item: Item) -> dict[str, Scalar]:
    """Local files that the plan sends."""
    return {
        field: file_text(field.partition("/")[2])
        for field in item.guards
        if field.partition("/")[0] == FILE
    }


def _read_use(client: Client, item: Item) -> dict[str, Scalar]:
    """Every configuration that could name the volume, once more."""
    found: dict[str, Scalar] = {}
    for field in item.guards:
        noun, _, rest = field.partition("/")
        if noun == USE:
            storage, _, volid = rest.partition("/")
            uses = read_uses(client, storage, item.target.node, volid)
            found |= use_guard(storage, volid, uses)
    return found


def _read_node(client: Client, name: str) -> dict[str, Scalar]:
    node = read_inventory(client).find_node(name)
    return node_guards(node.status if node else "not there", read_up(client, name))


def _read_guest(client: Client, target: Target) -> dict[str, Scalar]:
    ref = GuestRef(
        int(target.id), "lxc" if target.kind == "lxc" else "qemu", target.node, target.name
    )
    try:
        state = read_guest_state(client, ref)
        config = read_guest_config(client, ref)
    except NotFoundError as error:
        raise StalePlanError(
            f"{target.label} is not on {target.node} any more",
            hint=f"look where it is: `pve guest show {shell_word(target.id)}`",
            details={"changed": ["node"], "server": error.message},
        ) from error
    return guest_guards(state, config)
