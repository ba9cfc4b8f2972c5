"""Everything that a decision about one guest is made from, read together."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, NamedTuple

from pveops.domain.guest import (
    Guest,
    GuestConfig,
    GuestState,
    Kind,
    PendingChange,
    read_guest_config,
    read_guest_state,
    read_pending_changes,
)

if TYPE_CHECKING:
    from pveops.api.client import Client
    from pveops.domain.guest_template import GuestTemplate
    from pveops.domain.inventory import Inventory


class ActiveTask(NamedTuple):
    """A task that is running now."""

    upid: str
    type: str
    id: str
    """Often a vmid; empty for a backup of several guests."""
    user: str
    starttime: int


class GuestFacts(NamedTuple):
    """One guest, as read at `read_at` (seconds since the epoch)."""

    guest: Guest
    state: GuestState
    config: GuestConfig
    tasks: tuple[ActiveTask, ...]
    """Running on the guest's node and about the guest, as far as the token may see them."""
    pending: tuple[PendingChange, ...] | None
    """None: not read, because the operation does not depend on it."""
    is_quorate: bool | None
    """None: the token may not see it."""
    read_at: int


class Rules(NamedTuple):
    """What the policy says that decisions depend on."""

    trash_days: int = 7
    """How long a deleted guest stays before it can be purged."""
    why_protected: Mapping[int, str] = MappingProxyType({})
    """By vmid, for the guests that the policy protects: which rule does."""


class PastMove(NamedTuple):
    """A guest that an evacuation moved away, or may have: where it is now has to be looked at."""

    vmid: int
    kind: Kind
    name: str
    identity: str
    source: str
    target: str
    run: str
    at: float
    """When the run began; seconds since the epoch."""


class PastStop(NamedTuple):
    """A guest that a shutdown of the whole cluster took down, or may have."""

    vmid: int
    kind: Kind
    name: str
    identity: str
    run: str
    at: float
    """When the run began; seconds since the epoch."""
    is_of_earlier: bool = False
    """A later shutdown has taken others of the same one down again, so that the cluster was up in
    between: this one has been left off since, by somebody."""


class Scene(NamedTuple):
    """What is known before anything is read about single targets."""

    inventory: Inventory
    is_quorate: bool | None
    """None: the token may not see it."""
    names: tuple[str, ...]
    """What the caller named, as it was given."""
    params: Mapping[str, object]
    """The operation's parameters."""
    now: float
    """Seconds since the epoch by the server's clock."""
    rules: Rules = Rules()
    reason: str = ""
    """Why the caller asks."""
    template: GuestTemplate | None = None
    """The template for guests that the parameters name."""
    past_moves: tuple[PastMove, ...] = ()
    """Where evacuations moved guests; for operations on nodes only."""
    past_stops: tuple[PastStop, ...] = ()
    """Whom a shutdown of the cluster took down; for operations on the cluster only."""
    local: str = ""
    """The node that answers us; empty when it is not known."""


def read_guest_facts(client: Client, guest: Guest, scene: Scene) -> GuestFacts:
    """Three requests to the guest's node.

    Raises NotFoundError when the guest left its node since it was listed.
    """
    return GuestFacts(
        guest=guest,
        state=read_guest_state(client, guest.ref),
        config=read_guest_config(client, guest.ref),
        tasks=read_active_tasks(client, guest),
        pending=None,
        is_quorate=scene.is_quorate,
        read_at=int(scene.now),
    )


def read_guest_facts_with_pending(client: Client, guest: Guest, scene: Scene) -> GuestFacts:
    """As `read_guest_facts`, and one request for the changes that wait for a restart."""
    facts = read_guest_facts(client, guest, scene)
    return facts._replace(pending=read_pending_changes(client, guest.ref))


def read_active_tasks(client: Client, guest: Guest) -> tuple[ActiveTask, ...]:
    """The running tasks about the guest. One request; without privilege, only the token's own."""
    from pveops.api.port import api_path
    from pveops.domain.rows import int_of, rows_of, text_of

    rows = rows_of(
        client.get(
            api_path("nodes", guest.node, "tasks"), {"source": "active", "vmid": guest.vmid}
        )
    )
    return tuple(
        ActiveTask(
            text_of(row, "upid"),
            text_of(row, "type"),
            text_of(row, "id"),
            text_of(row, "user"),
            int_of(row, "starttime"),
        )
        for row in rows
        if not row.get("endtime") and text_of(row, "status", "RUNNING") == "RUNNING"
    )
