"""What a digest is made of, read from the cluster in a bounded number of requests."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple, TypeVar

from pveops.domain.rrd import Measured, node_path, read_measured, storage_path, timeframe_for
from pveops.engine.pool import run_bounded
from pveops.errors import PveopsError
from pveops.monitor.scan import Look, read_look
from pveops.operations.backup_audit import Audit, Birth, read_audit
from pveops.units import DAY_S

if TYPE_CHECKING:
    from pveops.api.client import Client
    from pveops.api.tasks import TaskStatus
    from pveops.domain.inventory import Inventory
    from pveops.domain.node import Node
    from pveops.domain.storage import Storage

MOST_SERIES = 24
"""So many nodes, and so many storages, are looked at over time: the fullest."""
_MOST_TASK_LISTS = 64
_MOST_TASKS = 1000
_SPAN_S = 7 * DAY_S
"""A forecast takes at least a week."""

T = TypeVar("T")


class Facts(NamedTuple):
    """Everything read. now: seconds since the epoch, by the server; since: where it begins.

    nodes, storages: what was measured over time; those that could not be read, or were too many,
    are missing. backups: None: nobody could look. tasks: by node; what is missing is not known.
    """

    look: Look
    now: int
    since: int
    nodes: Mapping[str, Measured]
    storages: Mapping[tuple[str, str], Measured]
    backups: Audit | None
    tasks: Mapping[str, tuple[TaskStatus, ...]]
    frame: str
    """Of how long the series are: `week`, `month`."""

    @property
    def inventory(self) -> Inventory:
        """What there is."""
        return self.look.health.view.inventory


def gather(client: Client, span_s: int) -> Facts:
    """The facts of the last `span_s` seconds.

    Requests: a look of the monitor; one for each of at most 24 nodes and 24 storages; one for the
    tasks of each of at most 64 nodes; for backups three, and one or two for each storage that
    holds some. However many guests there are. Raises PveopsError when not even the inventory can
    be read.
    """
    look = read_look(client)
    inventory = look.health.view.inventory
    now = int(look.health.now)
    since = now - span_s
    frame = timeframe_for(max(span_s, _SPAN_S))
    nodes = sorted(inventory.nodes, key=_memory_share, reverse=True)[:MOST_SERIES]
    storages = shared_once(inventory.storages)[:MOST_SERIES]
    online = [node.name for node in inventory.nodes if node.is_online][:_MOST_TASK_LISTS]
    paths = [node_path(node.name) for node in nodes]
    paths += [storage_path(each.node, each.storage) for each in storages]
    places = [node.name for node in nodes] + [each.node for each in storages]
    series = _each(places, lambda index: read_measured(client, paths[index], frame))
    tasks = _each(online, lambda index: _read_tasks(client, online[index], since))
    return Facts(
        look=look,
        now=now,
        since=since,
        nodes={
            node.name: found
            for node, found in zip(nodes, series[: len(nodes)], strict=True)
            if found is not None
        },
        storages={
            (each.node, each.storage): found
            for each, found in zip(storages, series[len(nodes) :], strict=True)
            if found is not None
        },
        backups=_read_backups(client, inventory),
        tasks={
            name: found for name, found in zip(online, tasks, strict=True) if found is not None
        },
        frame=frame,
    )


def shared_once(storages: Sequence[Storage]) -> list[Storage]:
    """Each place where something can lie, the fullest first: a shared storage is one place."""
    seen: set[str] = set()
    kept = []
    for each in sorted(storages, key=lambda each: (not each.has_figures, each.node)):
        if each.is_shared and each.storage in seen:
            continue
        seen.add(each.storage)
        kept.append(each)
    return sorted(kept, key=lambda each: -each.used_share)


def _memory_share(node: Node) -> float:
    return node.mem_bytes / node.maxmem_bytes if node.maxmem_bytes else 0.0


def _each(places: Sequence[str], read: Callable[[int], T]) -> tuple[T | None, ...]:
    """What could be read of each; None: it could not."""

    def attempt(index: int) -> T | None:
        try:
            return read(index)
        except PveopsError:
            return None

    return run_bounded(places, attempt) if places else ()


def _read_tasks(client: Client, node: str, since: int) -> tuple[TaskStatus, ...]:
    from pveops.api.tasks import list_tasks

    return tuple(list_tasks(client, node, since=since, limit=_MOST_TASKS))


def _read_backups(client: Client, inventory: Inventory) -> Audit | None:
    """Without a request a guest: whether a vmid changed hands is for `pve backup audit`."""
    guests = [guest for guest in inventory.guests if not guest.is_template]

    def nothing(nodes: Sequence[str], _work: Callable[[int], Birth]) -> tuple[Birth, ...]:
        return (Birth(0, ()),) * len(nodes)

    try:
        return read_audit(client, inventory, guests, nothing, since=None)
    except PveopsError:
        return None
