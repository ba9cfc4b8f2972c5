"""Everything that a face needs to ask, plan and apply, put together once a process."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, Protocol

from pveops.engine.audit import AuditLog
from pveops.engine.senders import Sender
from pveops.engine.store import Store
from pveops.engine.tools import Progress, Tools
from pveops.operations.operation import Tier

if TYPE_CHECKING:
    from pveops.api.client import Client
    from pveops.clock import Clock
    from pveops.config.policy import Grant, Policy
    from pveops.context import Actor


class MakeWriter(Protocol):
    """Opens the client that may write."""

    def __call__(self, tier: int = Tier.IRREVERSIBLE) -> Client:
        """With the token for plans of this tier. Raises ConfigError where there is none."""


class Session(NamedTuple):
    """One caller at one cluster.

    reader refuses to write. `make_writer` gives the client that may; only `engine` calls it.
    """

    profile: str
    cluster: str
    """The profile's endpoints and trust as a short fingerprint; part of every plan."""
    auth_id: str
    actor: Actor
    policy: Policy
    clock: Clock
    store: Store
    audit: AuditLog
    reader: Client
    make_writer: MakeWriter
    freeze_file: Path
    sender: Sender | None
    """How a consent code reaches a person; None: no way is configured."""
    templates_dir: Path | None = None
    """Where the user's own templates for guests lie; None: only ours are known."""
    grants: tuple[Grant, ...] = ()
    """What a person agreed to ahead of time, as far as that counts."""
    receipt_key: bytes | None = None
    """With what the plugin of an agent's own prompt signs approvals; None: those do not count."""
    on_progress: Progress | None = None
    """Who watches; None: nobody."""
    writer_id: Callable[[int], str] | None = None
    """How tasks of a plan of this tier are signed; None: as `auth_id` says."""

    def is_frozen(self) -> bool:
        """Whether `pve policy freeze` is in force."""
        return self.freeze_file.exists()

    def tools(self, tier: int) -> Tools:
        """What a run of a plan of this tier works with."""
        return Tools(
            reader=self.reader,
            writer=self.make_writer(tier),
            store=self.store,
            audit=self.audit,
            clock=self.clock,
            auth_id=self.writer_id(tier) if self.writer_id else self.auth_id,
            is_frozen=self.is_frozen,
            on_progress=self.on_progress,
        )
