"""From a call to the cluster and to what is kept on this machine, each part made when it is used.

A command that only reads opens neither the store nor the policy nor the audit log.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple

from pveops.config.paths import Paths, find_paths
from pveops.config.profiles import ConsentConfig, MonitorConfig

if TYPE_CHECKING:
    from pathlib import Path

    from pveops.api.client import Client
    from pveops.api.port import Request, Response, Transport
    from pveops.cli.call import Call
    from pveops.config.policy import Grant, Policy
    from pveops.config.profiles import ActorDefault
    from pveops.context import Actor
    from pveops.engine.audit import AuditLog
    from pveops.engine.session import Session
    from pveops.engine.store import Store
    from pveops.schema import Facts


class Connection(NamedTuple):
    """One cluster, reached and proved to.

    transport: authenticated, over whichever endpoint answers. documents: what a node serves beside
    its API, asked without credentials. cluster: the endpoints and trust as
    a short fingerprint. auth_id: how our tasks are signed. consent: how a message reaches a
    person.
    """

    profile: str
    cluster: str
    auth_id: str
    transport: Transport
    consent: ConsentConfig = ConsentConfig()
    documents: Transport | None = None
    endpoints: tuple[tuple[str, Transport], ...] = ()
    """Each of the profile's endpoints by itself, authenticated."""
    actor: ActorDefault = "auto"
    """What every caller of the profile counts as, unless it is `auto`."""
    open_writer: Callable[[int], tuple[str, Transport]] | None = None
    """(how tasks are signed, authenticated transport) with the token for changes of a tier;
    None: one token does everything."""
    writer_tiers: tuple[int, ...] = (1, 2, 3)
    """The tiers that `open_writer` has tokens for."""
    monitor: MonitorConfig = MonitorConfig()
    """From when on the monitor tells something."""
    broker: str = ""
    """The socket of the broker that changes things, and keeps the records of that; empty: none."""
    tells_runs: bool = True
    """Whether a person is told of the end of a run that outlived its caller."""


Connect = Callable[["Call", "Wiring"], Connection]


class Wiring:
    """What one call works with."""

    def __init__(self, call: Call, connect: Connect | None = None) -> None:
        self._call = call
        self._connect = connect
        self._counted: _Counted | None = None
        self._writers: dict[int, tuple[str, Transport]] = {}

    @cached_property
    def paths(self) -> Paths:
        """Where things lie."""
        return find_paths(self._call.environ)

    @cached_property
    def connection(self) -> Connection:
        """The profile's cluster. Nothing is sent yet. Raises ConfigError and its kin."""
        if self._connect is None:
            from pveops.cli.connection import connect_profile

            self._connect = connect_profile
        return self._connect(self._call, self)

    def follow(self, profile: str) -> None:
        """Reach the cluster that a plan was made for, unless the caller names a profile."""
        self._call.options.profile = self._call.options.profile or profile

    @cached_property
    def reader(self) -> Client:
        """A client that refuses to write."""
        from pveops.api.client import Client
        from pveops.api.decorators import ReadOnly

        return Client(ReadOnly(self._transport), self._call.clock)

    @cached_property
    def _transport(self) -> Transport:
        from pveops.api.decorators import RetryReads

        self._counted = _Counted(self.connection.transport)
        return RetryReads(self._counted, self._call.clock, _jitter)

    def _make_writer(self, tier: int = 3) -> Client:
        from pveops.api.client import Client

        return Client(self._writer(tier)[1], self._call.clock)

    def _writer_id(self, tier: int) -> str:
        return self._writer(tier)[0]

    def _writer(self, tier: int) -> tuple[str, Transport]:
        """The identity that changes of this tier are made with; its token is opened here."""
        if self.connection.open_writer is None:
            return self.connection.auth_id, self._transport
        if tier not in self._writers:
            from pveops.api.decorators import RetryReads

            auth_id, transport = self.connection.open_writer(tier)
            self._writers[tier] = auth_id, RetryReads(transport, self._call.clock, _jitter)
        return self._writers[tier]

    @cached_property
    def store(self) -> Store:
        """Plans, consents, runs. Raises StoreError."""
        from pveops.engine.store import Store

        return Store(self.paths.store_file)

    @cached_property
    def audit(self) -> AuditLog:
        """The audit log."""
        from pveops.config.policy import AuditRules
        from pveops.engine.audit import AuditLog
        from pveops.errors import ConfigError

        try:
            rules = self.policy.audit
        except ConfigError:
            # Nothing is changed under a broken policy; the log can be read all the same.
            rules = AuditRules()
        anchor = None
        if rules.anchor:
            from pveops.engine.audit_anchor import Anchor

            anchor = Anchor(rules.anchor, is_required=rules.required)
        return AuditLog(
            self.paths.audit_file,
            self._call.clock,
            max_bytes=rules.max_mib << 20,
            anchor=anchor,
        )

    @cached_property
    def policy(self) -> Policy:
        """The policy in force. Raises ConfigError."""
        from pveops.config.policy import load_policy
        from pveops.operations.catalog import list_changes

        known = frozenset(operation.id for operation in list_changes())
        return load_policy(self.paths.policy_file, known)

    def session(self) -> Session:
        """Everything that a change needs."""
        from pveops.engine.senders import make_sender
        from pveops.engine.session import Session

        connection = self.connection
        session = Session(
            profile=connection.profile,
            cluster=connection.cluster,
            auth_id=connection.auth_id,
            actor=self._actor(),
            policy=self.policy,
            clock=self._call.clock,
            store=self.store,
            audit=self.audit,
            reader=self.reader,
            make_writer=self._make_writer,
            writer_id=self._writer_id,
            freeze_file=self.paths.freeze_file,
            templates_dir=self.paths.templates_dir,
            sender=make_sender(connection.consent),
            grants=self._grants(),
            receipt_key=self._receipt_key(),
        )
        watched = self._call.on_progress
        return session if watched is None else session._replace(on_progress=watched)

    def _grants(self) -> tuple[Grant, ...]:
        if not self.policy.grants:
            return ()
        from pveops.engine.grants import usable_grants

        return usable_grants(self.policy, self.paths.policy_file)[0]

    def _receipt_key(self) -> bytes | None:
        """The key that a plugin shares with us; only when there is one, and it counts."""
        file = self.paths.approval_key_file
        if not self.policy.consent.receipts or not file.exists():
            return None
        from pveops.config.private_files import read_private_file

        again = f"delete {file}, and make it again: pve plan approval-key"
        key = read_private_file(file, "the approval key", again).strip()
        from pveops.engine.consent_receipt import is_key
        from pveops.errors import ConfigError

        if not is_key(key):
            raise ConfigError(f"the approval key {file} is no key of 64 hex digits", hint=again)
        return key

    @property
    def own_schema(self) -> Path:
        """Where the cluster's own copy of the schema is kept, once it was taken."""
        return self.paths.schema_dir / f"{self.connection.profile}.json.z"

    def _actor(self) -> Actor:
        """Who asks. A profile can take the person away from a caller, and never gives it."""
        from pveops.cli.taint import tell_free_text

        actor, default = self._call.actor, self.connection.actor
        told = tell_free_text(self._call)
        has_read = actor.has_read_free_text or bool(told)
        actor = actor._replace(has_read_free_text=has_read, free_text=told)
        if default == "auto" or actor.kind == "unattended":
            return actor
        return actor._replace(kind=default)

    def api_facts(self) -> Facts:
        """What the cluster's API offers: the cluster's own copy, or that of its release.

        One request, unless the cluster's own copy is kept here.
        """
        from pveops.schema import Facts

        if self.own_schema.exists():
            return Facts.load(self.own_schema)
        return Facts.open(self.reader.version().text)

    def meta(self) -> dict[str, Any]:
        """The call's figures for the envelope."""
        if self._counted is None:
            return {}
        return {"profile": self.connection.profile, "requests": self._counted.count}

    def close(self) -> None:
        """Let go of connections and files."""
        if "connection" in self.__dict__:
            self.connection.transport.close()
            if self.connection.documents is not None:
                self.connection.documents.close()
        if "store" in self.__dict__:
            self.store.close()


class _Counted:
    """Counts what is sent."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport
        self.count = 0

    def send(self, request: Request) -> Response:
        self.count += 1
        return self._transport.send(request)

    def close(self) -> None:
        self._transport.close()


def _jitter() -> float:
    """From 0 up to 1; the module `random` takes longer to import than a request takes."""
    return int.from_bytes(os.urandom(4), "big") / 2**32
