"""Reading a plan's guards again, right before its first call."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

import msgspec

from pveops.api.tasks import get_status
from pveops.domain.backup import read_backups_on
from pveops.domain.guest import GuestRef, Kind, read_guest_config, read_guest_state
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
    archive_guard,
    archive_place,
    backup_guard,
    backups_place,
    guest_guards,
    ha_guard,
    job_guards,
    node_guards,
    pool_guard,
    use_guard,
)
from pveops.operations.plan import Call, Item, Scalar, Target
from pveops.operations.task import task_guards
from pveops.sanitize import sanitize_text, shell_word

if TYPE_CHECKING:
    from pveops.api.client import Client


_MAX_NAME = 60
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
        raise StalePlanError(
            f"{_subject_of(item, changed)} has changed since the plan was made: {words}",
            hint="ask for the operation again to get a plan of the present state",
            details={"changed": sorted(changed)},
        )


def _subject_of(item: Item, changed: Iterable[str]) -> str:
    if all(archive_place(field) for field in changed):
        return "the backup"
    return (item.source or item.target).label


def check_again(client: Client, item: Item, call: Call, identity: str, *, is_changed: bool) -> str:
    """As `check_guards`, before a call that is not the first, or sent by another process.

    Of a target that we have changed ourselves: is it the same one still, and is all as it was that
    the call itself relies on? identity: what was seen of a guest that the run has made; given back
    as it is now.
    """
    if not is_changed:
        check_guards(client, item)
        return identity
    if item.target.is_new and item.target.kind in {"qemu", "lxc"}:
        identity = _check_made(client, item.target, identity)
    wanted = {*_LASTING, *call.holds}
    lasting = {field: value for field, value in item.guards.items() if field in wanted}
    check_guards(client, msgspec.structs.replace(item, guards=lasting))
    return identity


def _check_made(client: Client, target: Target, identity: str) -> str:
    """For a guest that the run itself has made: one request.

    An id that was free again may have been given to somebody else's guest.
    """
    ref = _ref_of(target)
    try:
        config = read_guest_config(client, ref)
    except NotFoundError as error:
        raise _gone(target, error) from error
    name = config.get("hostname" if target.kind == "lxc" else "name")
    seen = config.identity
    if target.kind == "lxc":
        # The root volume alone: its size is changed by our own steps.
        seen = config.get("rootfs").partition(",")[0]
    if (target.name and name != target.name) or (identity and seen != identity):
        raise StalePlanError(
            f"{ref.vmid} is another guest by now ({sanitize_text(name, _MAX_NAME)!r}) than the "
            "one that was made",
            hint=f"look at it: `pve guest show {ref.vmid}`",
            details={"changed": ["name" if name != target.name else "identity"]},
        )
    return seen


def _read(client: Client, item: Item) -> dict[str, Scalar]:
    target = item.source or item.target
    if not item.guards:
        return {}
    now = _read_backups(client, item) | _read_archives(client, item)
    now |= _read_ha(client, item) | _read_files(item)
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
    if target.kind in {"qemu", "lxc"} and not target.is_new:
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


def _read_archives(client: Client, item: Item) -> dict[str, Scalar]:
    """One request for each backup that the plan relies on."""
    found: dict[str, Scalar] = {}
    for field in item.guards:
        place = archive_place(field)
        if place is not None:
            backups = read_backups_on(client, place.node, place.storage, place.vmid)
            now = next((each for each in backups if each.volid == place.volid), None)
            found |= archive_guard(place.node, place.volid, place.vmid, now)
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
    ref = _ref_of(target)
    try:
        state = read_guest_state(client, ref)
        config = read_guest_config(client, ref)
    except NotFoundError as error:
        raise _gone(target, error) from error
    return guest_guards(state, config)


def _ref_of(target: Target) -> GuestRef:
    kind: Kind = "lxc" if target.kind == "lxc" else "qemu"
    return GuestRef(int(target.id), kind, target.node, target.name)


def _gone(target: Target, error: NotFoundError) -> StalePlanError:
    return StalePlanError(
        f"{target.label} is not on {target.node} any more",
        hint=f"look where it is: `pve guest show {shell_word(target.id)}`",
        details={"changed": ["node"], "server": error.message},
    )
