"""The simulated cluster as a world: in process and over HTTPS, trusted by CA and by pin."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pveops.api.auth import Auth, Authenticated, Secret, TicketAuth, TokenAuth
from pveops.api.client import Client
from pveops.api.endpoint import Endpoint, Trust, parse_address, trust_authority, trust_pin
from pveops.api.https import HttpsTransport
from pveops.api.port import Transport
from pveops.api.tls import fetch_certificate
from pveops.clock import Clock, SystemClock
from pveops.sim.access import User
from pveops.sim.inprocess import InProcess
from pveops.sim.model import Cluster
from pveops.sim.seeds import build
from pveops.sim.seeds.accounts import add_agent
from pveops.sim.seeds.furniture import add_past_task, add_vm
from pveops.sim.serve import running
from pveops.sim.timeline import Timeline
from pveops.sim.version import VERSIONS
from tests.world import START, SimTransport

from .world import World

FORGOTTEN = "UPID:pve1:0000ABCD:0001C525:6B046900:qmstart:100:root@pam:"
_BOBS = "bob's own password"


def release_of(version: str) -> str:
    """What `GET /version` tells of a simulated release."""
    return VERSIONS[version].version


def furnish(cluster: Cluster) -> tuple[str, str]:
    """What the suite wants to find; gives the UPIDs of a good and of a failed task."""
    add_vm(cluster, "pve1", 100, "vm-a", storage="local", up_days=None)
    cluster.access.users["bob@pve"] = User("bob@pve", password=_BOBS)
    node = cluster.nodes["pve1"]
    good = add_past_task(node, "qmstart", 100, hours_ago=1, lasted_s=2)
    bad = add_past_task(node, "qmstop", 100, hours_ago=1, lasted_s=2, error="got timeout")
    return str(good.upid), str(bad.upid)


def make_world(
    cluster: Cluster, transport: Transport, clock: Clock, root_password: str, version: str
) -> World:
    """The three callers of the suite on one transport."""
    finished, failed = furnish(cluster)

    def client(auth: Auth) -> Client:
        return Client(Authenticated(transport, auth), clock)

    token_id, secret = add_agent(cluster)
    wrong = secret.replace(secret[0], "0" if secret[0] != "0" else "1")
    return World(
        root=client(TicketAuth("root@pam", Secret(root_password), clock)),
        bob=client(TicketAuth("bob@pve", Secret(_BOBS), clock)),
        refused=client(TokenAuth(token_id, Secret(wrong))),
        clock=clock,
        version=version,
        finished=finished,
        failed=failed,
        forgotten=FORGOTTEN,
    )


@contextmanager
def in_process(version: str) -> Iterator[World]:
    """The pipeline behind a function call, on virtual time."""
    seed = build("recorded", Timeline(START), VERSIONS[version])
    seed.cluster.auth_delay_s = 0.0
    transport = SimTransport(InProcess(seed.cluster, "pve1"), "pve1")
    yield make_world(
        seed.cluster, transport, seed.cluster.timeline, seed.root_password, release_of(version)
    )


@contextmanager
def over_https(version: str, *, is_pinned: bool) -> Iterator[World]:
    """Real sockets, real TLS; the trust is the cluster's CA, or the leaf's fingerprint."""
    with running("recorded", version, auth_delay_s=0.0) as served:
        host, port = parse_address(served.endpoints[0].removeprefix("https://"))
        trust: Trust = trust_authority(Path(served.ca_file).read_text())
        name = ""
        if is_pinned:
            found = fetch_certificate(host, port)
            trust, name = trust_pin(found.facts.fingerprint, found.pem), "pve1"
        clock = SystemClock()
        transport = HttpsTransport(Endpoint(host, port, trust, name), clock=clock)
        try:
            yield make_world(
                served.cluster, transport, clock, served.root_password, release_of(version)
            )
        finally:
            transport.close()
