"""Everything that a face needs to ask, plan and apply, put together once a process."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from pveops.engine.audit import AuditLog
from pveops.engine.senders import Sender
from pveops.engine.store import Store
from pveops.engine.tools import Progress, Tools

if TYPE_CHECKING:
    from pveops.api.client import Client
    from pveops.clock import Clock
    from pveops.config.policy import Grant, Policy
    from pveops.context import Actor


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
    make_writer: Callable[[], Client]
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

    def is_frozen(self) -> bool:
        """Whether `pve policy freeze` is in force."""
        return self.freeze_file.exists()

    def tools(self) -> Tools:
        """What a run works with."""
        return Tools(
            reader=self.reader,
            writer=self.make_writer(),
            store=self.store,
            audit=self.audit,
            clock=self.clock,
            auth_id=self.auth_id,
            is_frozen=self.is_frozen,
            on_progress=self.on_progress,
        )
