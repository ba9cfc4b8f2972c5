"""What the state of a whole cluster is judged by, from four requests."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from pveops.domain.access import Permissions, read_permissions
from pveops.domain.guest import Guest
from pveops.domain.inventory import ClusterView, read_cluster_view
from pveops.errors import AccessError, PveopsError

if TYPE_CHECKING:
    from pveops.api.client import Client
    from pveops.api.tasks import TaskStatus


class Health(NamedTuple):
    """A cluster at a moment.

    tasks: the running and the newest ones of each node; None: they could not be read.
    permissions: what the token may see; None: it could not be read.
    wants_running: the stopped guests that start at boot; None: nobody looked.
    now: seconds since the epoch, by the server.
    """

    view: ClusterView
    tasks: tuple[TaskStatus, ...] | None
    permissions: Permissions | None
    now: float
    wants_running: tuple[Guest, ...] | None = None


def read_health(client: Client) -> Health:
    """Four requests. What the token may not see is None, never empty."""
    view = read_cluster_view(client)
    return Health(view, _read_tasks(client), _read_permissions(client), client.server_time())


def _read_tasks(client: Client) -> tuple[TaskStatus, ...] | None:
    from pveops.api.tasks import list_cluster_tasks

    try:
        return tuple(list_cluster_tasks(client))
    except AccessError:
        return None


def _read_permissions(client: Client) -> Permissions | None:
    try:
        return read_permissions(client)
    except PveopsError:
        return None
