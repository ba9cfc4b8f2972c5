"""What decisions about clones of a guest are made from."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from pveops.api.port import api_path
from pveops.domain.address import static_addresses
from pveops.domain.disk import Disk, list_disks
from pveops.domain.facts import GuestFacts, Scene, read_guest_facts
from pveops.domain.guest import read_guest_config
from pveops.domain.node import Node
from pveops.domain.rows import flag_of, object_of, text_of
from pveops.domain.selection import resolve_guest
from pveops.domain.snapshot import read_snapshots
from pveops.domain.storage import Storage
from pveops.domain.vmid import pick_free_vmids
from pveops.errors import NodeUnreachableError, PveopsError, UsageError
from pveops.units import whole_number

if TYPE_CHECKING:
    from pveops.api.client import Client

MAX_CLONES = 50


class SourceFacts(NamedTuple):
    """The guest that is cloned, and where its clones would be."""

    base: GuestFacts
    disks: tuple[Disk, ...]
    snapshots: tuple[str, ...]
    storages: tuple[Storage, ...]
    """As the node sees them on which the clones will be."""
    node: Node | None
    can_clone: bool | None
    """Linked clones; None: not known."""
    can_copy: bool | None
    """Full clones; None: not known."""
    names: frozenset[str]
    """Names of all guests."""
    pools: tuple[str, ...]
    addresses: dict[str, str]
    """Addresses that configurations of guests fix, and whose they are; empty: not read."""
    unseen: tuple[str, ...]
    """Guests whose configuration could not be read for their addresses."""
    copies: int
    """How many clones are asked for."""


class CloneFacts(NamedTuple):
    """One clone to be."""

    source: SourceFacts
    number: int
    """What `{n}` stands for."""
    vmid: int
    """A free id, for now."""


def read_clone_facts(client: Client, scene: Scene) -> tuple[CloneFacts, ...]:
    """Facts for each of `count` clones.

    About seven requests, and one an id; with `ip`, one a guest of the cluster, to find an address
    that is in use.
    """
    if len(scene.names) != 1:
        raise UsageError("one guest is cloned at a time", hint="pve guest clone GUEST --name NAME")
    count = whole_number(scene.params.get("count"), 1)
    first = whole_number(scene.params.get("first"), 1)
    if not 1 <= count <= MAX_CLONES:
        raise UsageError(f"from 1 to {MAX_CLONES} clones can be made at a time")
    source = _read_source(client, scene, count)
    paths = [
        api_path("nodes", each.node, "storage", each.storage, "content")
        for each in source.storages
        if each.status == "available" and {"images", "rootdir", "backup"} & set(each.content)
    ]
    vmids = pick_free_vmids(client, scene.inventory, count, paths)
    return tuple(CloneFacts(source, first + index, vmid) for index, vmid in enumerate(vmids))


def _read_source(client: Client, scene: Scene, count: int) -> SourceFacts:
    inventory = scene.inventory
    guest = resolve_guest(inventory, scene.names[0])
    place = str(scene.params.get("node") or guest.node)
    down = inventory.nodes_not_online
    if guest.node in down or place in down:
        raise NodeUnreachableError(
            f"{guest.node if guest.node in down else place} does not answer",
            hint="look at the nodes with `pve status`",
        )
    base = read_guest_facts(client, guest, scene)
    is_fixed = scene.params.get("ip") not in {None, "dhcp"}
    addresses, unseen = _read_addresses(client, scene) if is_fixed else ({}, [])
    snapname = str(scene.params.get("snapname") or "")
    return SourceFacts(
        base=base,
        disks=list_disks(guest.kind, base.config),
        snapshots=tuple(each.name for each in read_snapshots(client, guest.ref).all),
        storages=tuple(each for each in inventory.storages if each.node == place),
        node=inventory.find_node(place),
        can_clone=_has_feature(client, base, "clone", snapname),
        can_copy=_has_feature(client, base, "copy", snapname),
        names=frozenset(each.name for each in inventory.guests),
        pools=inventory.pools,
        addresses=addresses,
        unseen=tuple(unseen),
        copies=count,
    )


def _has_feature(client: Client, base: GuestFacts, feature: str, snapname: str) -> bool | None:
    asked = {"feature": feature, **({"snapname": snapname} if snapname else {})}
    try:
        data = object_of(client.get(base.guest.ref.path("feature"), asked))
    except PveopsError:
        return None
    return flag_of(data, "hasFeature") if text_of(data, "hasFeature") else None


def _read_addresses(client: Client, scene: Scene) -> tuple[dict[str, str], list[str]]:
    found: dict[str, str] = {}
    unseen: list[str] = []
    for guest in scene.inventory.guests:
        try:
            config = read_guest_config(client, guest.ref)
        except PveopsError:
            unseen.append(guest.ref.label)
            continue
        found |= dict.fromkeys(static_addresses(guest.kind, config), guest.ref.label)
    return found, unseen
