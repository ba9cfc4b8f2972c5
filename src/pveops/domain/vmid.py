"""Free ids for new guests."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pveops.domain.rows import int_of, rows_of
from pveops.errors import ExistsError, ProtocolError, PveopsError, RejectedError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pveops.api.client import Client
    from pveops.domain.inventory import Inventory

_MAX_TRIES = 200


def pick_free_vmids(
    client: Client, inventory: Inventory, count: int, content_paths: Iterable[str] = ()
) -> tuple[int, ...]:
    """`count` free ids, lowest first. PVE reserves none (PVE::API2::Cluster, nextid).

    content_paths: API paths of storages' content. An id that a volume there still carries is
    left out: its disks, and its backups, would be taken for the new guest's.

    One request for the first, one for each further id, and one a path.
    """
    used = {guest.vmid for guest in inventory.guests}
    for path in content_paths:
        used |= _ids_of_volumes(client, path)
    candidate = next_id(client)
    found: list[int] = []
    for _ in range(_MAX_TRIES + count):
        if candidate not in used and (not found or _is_free(client, candidate)):
            found.append(candidate)
        if len(found) == count:
            return tuple(found)
        candidate += 1
    raise ProtocolError(f"no {count} free ids were found from {candidate - _MAX_TRIES} on")


def next_id(client: Client) -> int:
    """The lowest free id. Nothing is reserved by asking. One request."""
    answer = str(client.get("/cluster/nextid"))
    if not answer.isdecimal():
        raise ProtocolError(f"/cluster/nextid answers {answer!r}, which is no id")
    return int(answer)


def _is_free(client: Client, vmid: int) -> bool:
    try:
        client.get("/cluster/nextid", {"vmid": vmid})
    except (ExistsError, RejectedError):
        return False
    return True


def _ids_of_volumes(client: Client, path: str) -> set[int]:
    """What cannot be read is no reason not to make a guest: PVE takes the next free disk name."""
    try:
        return {int_of(row, "vmid") for row in rows_of(client.get(path))}
    except PveopsError:
        return set()
