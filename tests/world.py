"""A simulated cluster and a session of the product on it, in one process, on one virtual clock."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pveops.api.auth import Authenticated, Secret, TokenAuth
from pveops.api.client import Client
from pveops.api.decorators import ReadOnly, Recording
from pveops.api.port import Request, Response
from pveops.config.policy import Policy
from pveops.context import Actor, ActorKind
from pveops.engine.audit import AuditLog
from pveops.engine.session import Session
from pveops.engine.store import Store
from pveops.errors import OutcomeUnknownError, UnreachableError
from pveops.sim.inprocess import InProcess
from pveops.sim.message import ConnectionLostError
from pveops.sim.model import Cluster
from pveops.sim.seeds import Seed, build
from pveops.sim.timeline import Timeline
from pveops.sim.version import VERSIONS
from tests.secrets_scan import note_secret

START = 1_795_451_294.0


class SimTransport:
    """The simulator's in-process face behind the product's transport port."""

    def __init__(self, inner: InProcess, node: str) -> None:
        self._inner = inner
        self._node = node

    def send(self, request: Request) -> Response:
        """As the port says what each failure means."""
        try:
            reply = self._inner.send(request)
        except ConnectionLostError as error:
            if not error.sent or request.is_read:
                text = f"{self._node} does not answer"
                raise UnreachableError(text, details={"sent": error.sent}) from error
            raise OutcomeUnknownError(f"{self._node} gave no answer") from error
        return Response(reply.status, reply.reason, reply.headers, reply.body, reply.endpoint)

    def close(self) -> None:
        """Nothing to let go of."""


@dataclass
class World:
    """Everything that a test needs to ask, break and look."""

    seed: Seed
    session: Session
    requests: Recording
    messages: list[str] = field(default_factory=list)
    """What the person was sent."""

    @property
    def cluster(self) -> Cluster:
        """The simulated cluster."""
        return self.seed.cluster

    @property
    def code(self) -> str:
        """The consent code in the newest message."""
        return self.messages[-1].partition("code: ")[2].split()[0]

    def effects(self) -> list[dict[str, Any]]:
        """The writes that the simulated cluster carried out."""
        return [entry for entry in self.cluster.journal if entry.get("is_effective")]

    def writes(self) -> list[dict[str, Any]]:
        """The writes that reached the simulated cluster, carried out or not."""
        return [e for e in self.cluster.journal if e["method"] != "GET"]


def make_world(
    folder: Path,
    *,
    seed: str = "homelab",
    version: str = "9.2",
    actor: ActorKind = "agent",
    policy: Policy | None = None,
    node: str = "pve1",
) -> World:
    """A fresh cluster with time standing still, and a session of an actor on it."""
    built = build(seed, Timeline(START), VERSIONS[version])
    built.cluster.auth_delay_s = 0.0
    return join_world(folder, built, actor=actor, policy=policy, node=node)


def join_world(
    folder: Path,
    built: Seed,
    *,
    actor: ActorKind = "agent",
    policy: Policy | None = None,
    node: str = "pve1",
) -> World:
    """Another session on a cluster that exists; with the same folder, the same store and log."""
    clock = built.cluster.timeline
    note_secret(built.token_secret, built.root_password)
    transport = SimTransport(InProcess(built.cluster, node), node)
    recording = Recording(
        Authenticated(transport, TokenAuth(built.token_id, Secret(built.token_secret)))
    )
    messages: list[str] = []

    def deliver(message: str) -> None:
        messages.append(message)
        note_secret(message.partition("code: ")[2].partition(" ")[0])

    session = Session(
        profile="sim",
        cluster="sim",
        auth_id=built.token_id,
        actor=Actor(actor, "tester", {}),
        policy=policy or Policy(),
        clock=clock,
        store=Store(folder / "store.sqlite3"),
        audit=AuditLog(folder / "audit.jsonl", clock),
        reader=Client(ReadOnly(recording), clock),
        make_writer=lambda tier=3: Client(recording, clock),
        freeze_file=folder / "freeze",
        sender=deliver,
    )
    return World(built, session, recording, messages)
