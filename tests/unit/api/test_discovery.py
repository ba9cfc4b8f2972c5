"""Learning a cluster's nodes from one of them. The rows are as PVE's API sends them."""

from __future__ import annotations

import json
from typing import Any, ClassVar

from pveops.api.client import Client
from pveops.api.discovery import learn_endpoints
from pveops.api.endpoint import Endpoint, trust_authority, trust_pin, trust_system
from pveops.api.port import Request, Response
from pveops.clock import VirtualClock

FIRST, SECOND = ":".join(["A1"] * 32), ":".join(["B2"] * 32)
CA = trust_authority("the cluster's CA")


class Cluster:
    """Two nodes, one of them without an address. Implements the transport port."""

    answers: ClassVar[dict[str, Any]] = {
        "/cluster/status": [
            {"type": "cluster", "name": "home", "quorate": 1},
            {"type": "node", "name": "pve1", "ip": "192.0.2.1", "online": 1},
            {"type": "node", "name": "pve2", "ip": "192.0.2.2", "online": 0},
            {"type": "node", "name": "pve3"},
        ],
        "/nodes": [
            {"node": "pve1", "ssl_fingerprint": FIRST},
            {"node": "pve2", "ssl_fingerprint": SECOND},
            {"node": "pve3", "ssl_fingerprint": SECOND},
            {"node": "pve4"},
        ],
    }

    def send(self, request: Request) -> Response:
        return Response(200, "OK", {}, json.dumps({"data": self.answers[request.path]}).encode())

    def close(self) -> None:
        pass


def learn(known: Endpoint) -> tuple[Endpoint, ...]:
    return learn_endpoints(Client(Cluster(), VirtualClock()), known)


def test_the_ca_vouches_for_each_node_by_its_name() -> None:
    known = Endpoint("192.0.2.1", 8006, CA)
    assert learn(known) == (known, Endpoint("192.0.2.2", 8006, CA, "pve2"))


def test_a_pinned_node_tells_the_pins_of_the_others() -> None:
    known = Endpoint("pve1.lan", 8006, trust_pin(FIRST))
    assert learn(known) == (known, Endpoint("192.0.2.2", 8006, trust_pin(SECOND)))


def test_nothing_is_learnt_where_nothing_could_vouch() -> None:
    known = Endpoint("pve.example.com", 443, trust_system())
    assert learn(known) == (known,)
