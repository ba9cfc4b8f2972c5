"""Everything about one guest that may be wrong with it, read together."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

from pveops.api.port import api_path
from pveops.api.tasks import TaskStatus, list_cluster_tasks, list_tasks
from pveops.domain.access import Permissions, read_permissions
from pveops.domain.disk import Disk, list_disks
from pveops.domain.facts import GuestFacts, Scene, read_guest_facts_with_pending
from pveops.domain.guest import Guest
from pveops.domain.node import Node
from pveops.domain.rows import Row, int_of, object_of, rows_of, text_of
from pveops.domain.snapshot import Snapshots, read_snapshots
from pveops.domain.storage import Storage
from pveops.errors import PveopsError

if TYPE_CHECKING:
    from pveops.api.client import Client

_PAST_S = 14 * 86_400
_DISKS = frozenset({"images", "rootdir"})


class GuestVolume(NamedTuple):
    """A volume that carries the guest's number, where some node sees it."""

    volid: str
    node: str
    """Empty on shared storages."""
    size_bytes: int


class DoctorFacts(NamedTuple):
    """One guest under examination."""

    base: GuestFacts
    node: Node | None
    tasks: tuple[TaskStatus, ...]
    """About the guest, running or ended, on its node and those that /cluster/tasks shows; newest
    first. Backups of several guests are among them."""
    sees_all_tasks: bool
    """False: the token may see its own tasks only, so that no running one proves nothing."""
    disks: tuple[Disk, ...]
    snapshots: Snapshots
    volumes: tuple[GuestVolume, ...]
    named: frozenset[str]
    """Volumes that the configuration, pending changes or a snapshot name."""
    storages: tuple[Storage, ...]
    """As the guest's node sees them."""
    agent_answers: bool | None
    """None: not asked, since it is off, or the guest is not running."""
    unseen: tuple[str, ...]
    """What could not be looked at."""

    @property
    def lock(self) -> str:
        """The lock in its configuration."""
        return self.base.state.lock or self.base.config.get("lock")


class _Eyes:
    """Looks at one thing after the other, and notes what it was not shown."""

    def __init__(self) -> None:
        self.unseen: list[str] = []

    def look(self, name: str, work: Callable[[], Any], nothing: Any) -> Any:
        """What `work` gives, or `nothing` when the API refuses."""
        try:
            return work()
        except PveopsError:
            self.unseen.append(name)
            return nothing


def read_doctor_facts(client: Client, guest: Guest, scene: Scene) -> DoctorFacts:
    """About ten requests, and one a storage and snapshot.

    Raises what reading the guest itself raises; all else that cannot be seen is in `unseen`.
    """
    eyes = _Eyes()
    base = read_guest_facts_with_pending(client, guest, scene)
    permissions: Permissions | None = eyes.look(
        "permissions", lambda: read_permissions(client), None
    )
    snapshots = eyes.look(
        "snapshots", lambda: read_snapshots(client, guest.ref), Snapshots((), "")
    )
    volumes = tuple(_read_volumes(client, eyes, guest, scene))
    if permissions is not None and not permissions.allows(f"/vms/{guest.vmid}", "VM.Config.Disk"):
        eyes.unseen.append("volumes (needs VM.Config.Disk on the guest)")
        volumes = ()
    return DoctorFacts(
        base=base,
        node=scene.inventory.find_node(guest.node),
        tasks=tuple(_read_tasks(client, eyes, guest, scene)),
        sees_all_tasks=permissions is not None
        and permissions.allows(f"/nodes/{guest.node}", "Sys.Audit"),
        disks=list_disks(guest.kind, base.config),
        snapshots=snapshots,
        volumes=volumes,
        named=frozenset(_read_named(client, eyes, base, snapshots)),
        storages=tuple(each for each in scene.inventory.storages if each.node == guest.node),
        agent_answers=_ask_agent(client, base),
        unseen=tuple(eyes.unseen),
    )


def _read_tasks(client: Client, eyes: _Eyes, guest: Guest, scene: Scene) -> Iterator[TaskStatus]:
    since = int(scene.now) - _PAST_S
    ours = eyes.look(
        f"tasks of {guest.node}",
        lambda: list_tasks(client, guest.node, since=since, vmid=guest.vmid, source="all"),
        [],
    )
    backups = eyes.look(
        f"backups of {guest.node}",
        lambda: list_tasks(client, guest.node, since=since, type="vzdump", source="all", limit=50),
        [],
    )
    others = eyes.look("tasks of the cluster", lambda: list_cluster_tasks(client), [])
    found: dict[str, TaskStatus] = {}
    for task in (*ours, *backups, *others):
        is_about = task.upid.id == str(guest.vmid)
        is_wide = task.upid.type == "vzdump" and not task.upid.id and task.upid.node == guest.node
        if is_about or is_wide:
            found.setdefault(str(task.upid), task)
    yield from sorted(found.values(), key=lambda task: -task.upid.starttime)


def _read_volumes(
    client: Client, eyes: _Eyes, guest: Guest, scene: Scene
) -> Iterator[GuestVolume]:
    """A shared storage is asked once, by the guest's own node if that has it."""
    asked: set[str] = set()
    by_nearness = sorted(scene.inventory.storages, key=lambda each: each.node != guest.node)
    for storage in by_nearness:
        contents = _DISKS & set(storage.content)
        if not contents or (storage.is_shared and storage.storage in asked):
            continue
        asked.add(storage.storage)
        name = storage.label
        if storage.status != "available":
            eyes.unseen.append(name)
            continue
        path = api_path("nodes", storage.node, "storage", storage.storage, "content")
        rows: list[Row] = eyes.look(
            name,
            lambda path=path: rows_of(client.get(path, {"vmid": guest.vmid})),  # type: ignore[misc]
            [],
        )
        for row in rows:
            if text_of(row, "content") in _DISKS:
                node = "" if storage.is_shared else storage.node
                yield GuestVolume(text_of(row, "volid"), node, int_of(row, "size"))


def _read_named(
    client: Client, eyes: _Eyes, base: GuestFacts, snapshots: Snapshots
) -> Iterator[str]:
    configs: list[Row] = [base.config.values]
    configs += [{change.key: change.pending} for change in base.pending or ()]
    for snapshot in snapshots.all:
        configs.append(
            eyes.look(
                f"snapshot {snapshot.name}",
                lambda name=snapshot.name: object_of(  # type: ignore[misc]
                    client.get(base.guest.ref.path("config"), {"snapshot": name})
                ),
                {},
            )
        )
    for config in configs:
        for value in config.values():
            volid = str(value).removeprefix("file=").removeprefix("volume=").partition(",")[0]
            if ":" in volid:
                yield volid


def _ask_agent(client: Client, base: GuestFacts) -> bool | None:
    """By a read that every agent knows; one that is silent costs three seconds."""
    is_asked = base.guest.kind == "qemu" and base.state.has_agent
    if not is_asked or base.state.qmpstatus != "running":
        return None
    try:
        client.get(base.guest.ref.path("agent", "info"))
    except PveopsError:
        return False
    return True
