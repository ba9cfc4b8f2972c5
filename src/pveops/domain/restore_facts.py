"""What the decision about restoring a backup is made from."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, NamedTuple

from pveops.api.port import api_path
from pveops.domain.backup import Backup, read_guest_backups, roomiest, takes_backups
from pveops.domain.backup_facts import read_volume_facts
from pveops.domain.disk import Disk, list_disks
from pveops.domain.facts import GuestFacts, Scene, read_guest_facts
from pveops.domain.guest import Guest, GuestConfig, Kind
from pveops.domain.storage import Storage
from pveops.domain.vmid import pick_free_vmids
from pveops.errors import NodeUnreachableError, NotFoundError, PveopsError

if TYPE_CHECKING:
    from pveops.api.client import Client


class RestoreFacts(NamedTuple):
    """A backup, what is in it, and where it would go."""

    backup: Backup
    kind: Kind
    config: GuestConfig
    """As the archive holds it; empty when it cannot be read."""
    disks: tuple[Disk, ...]
    node: str
    storages: tuple[Storage, ...]
    """As that node sees them."""
    names: frozenset[str]
    """Names of all guests."""
    pools: tuple[str, ...]
    is_quorate: bool | None
    vmid: int
    """A free id for a new guest, for now."""
    present: GuestFacts | None
    """The guest that has the vmid now; None: nobody, or it was not asked for."""
    present_disks: tuple[Disk, ...]
    backup_storage: Storage | None
    """Where a backup of the present guest goes before it is replaced."""
    why_protected: str
    read_at: int


def read_restore_facts(client: Client, scene: Scene) -> tuple[RestoreFacts, ...]:
    """About six requests; five more for a guest that is to be replaced."""
    (volume,) = read_volume_facts(client, scene._replace(params={}))
    replaces = bool(scene.params.get("replace"))
    guest = volume.guest
    node = _node_of(scene, volume.node, guest if replaces else None)
    config = _read_archive(client, volume.node, volume.backup.volid)
    kind: Kind = "lxc" if volume.backup.kind == "lxc" else "qemu"
    storages = tuple(each for each in scene.inventory.storages if each.node == node)
    present = read_guest_facts(client, guest, scene) if replaces and guest else None
    paths = [
        api_path("nodes", node, "storage", each.storage, "content")
        for each in storages
        if each.status == "available" and {"images", "rootdir"} & set(each.content)
    ]
    return (
        RestoreFacts(
            backup=volume.backup,
            kind=kind,
            config=config,
            disks=list_disks(kind, config),
            node=node,
            storages=storages,
            names=frozenset(each.name for each in scene.inventory.guests),
            pools=scene.inventory.pools,
            is_quorate=scene.is_quorate,
            vmid=0 if replaces else pick_free_vmids(client, scene.inventory, 1, paths)[0],
            present=present,
            present_disks=list_disks(kind, present.config) if present else (),
            backup_storage=roomiest(each for each in storages if takes_backups(each, node)),
            why_protected=scene.rules.why_protected.get(guest.vmid, "") if guest else "",
            read_at=int(scene.now),
        ),
    )


def read_drill_facts(client: Client, guest: Guest, scene: Scene) -> RestoreFacts:
    """The newest backup of a guest, and where it would be tried. About six requests.

    Raises NotFoundError when no backup of it is known.
    """
    base = read_guest_facts(client, guest, scene)
    view = read_guest_backups(client, guest, base.config, scene.inventory)
    if view.newest is None:
        blind = f" (not seen: {', '.join(view.unseen)})" if view.unseen else ""
        raise NotFoundError(
            f"no backup of {guest.ref.label} is known{blind}",
            hint=f"pve backup run {guest.vmid}",
        )
    volume = read_volume_facts(client, scene._replace(names=(view.newest.volid,), params={}))[0]
    node = str(scene.params.get("node") or volume.node)
    config = _read_archive(client, volume.node, view.newest.volid)
    return RestoreFacts(
        backup=view.newest,
        kind=guest.kind,
        config=config,
        disks=list_disks(guest.kind, config),
        node=node,
        storages=tuple(each for each in scene.inventory.storages if each.node == node),
        names=frozenset(each.name for each in scene.inventory.guests),
        pools=scene.inventory.pools,
        is_quorate=scene.is_quorate,
        vmid=pick_free_vmids(client, scene.inventory, 1)[0],
        present=base,
        present_disks=(),
        backup_storage=None,
        why_protected="",
        read_at=int(scene.now),
    )


def _node_of(scene: Scene, near: str, replaced: Guest | None) -> str:
    """A guest is replaced where it is; a new one is made where it is wanted, or at the backup."""
    node = replaced.node if replaced else str(scene.params.get("node") or near)
    if node in scene.inventory.nodes_not_online:
        raise NodeUnreachableError(
            f"{node} does not answer", hint="look at the nodes with `pve status`"
        )
    return node


def _read_archive(client: Client, node: str, volid: str) -> GuestConfig:
    """The configuration in the archive (API2/VZDump.pm, extractconfig)."""
    try:
        text = client.get(api_path("nodes", node, "vzdump", "extractconfig"), {"volume": volid})
    except PveopsError:
        return GuestConfig("", "", {})
    return GuestConfig("", "", parse_archived_config(str(text)))


def parse_archived_config(text: str) -> Mapping[str, str]:
    """`key: value` lines up to the first section; comments are notes, which nobody needs here."""
    values: dict[str, str] = {}
    for line in text.splitlines():
        if line.startswith("["):
            break
        key, colon, value = line.partition(":")
        if colon and not line.startswith("#"):
            values[key.strip()] = value.strip()
    return values
