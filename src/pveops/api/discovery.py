"""The other nodes of a cluster as endpoints, learnt from one that is trusted.

Every node answers for the whole cluster and takes the same tokens and tickets, so knowing them
all means that one node may be down. Nothing is taken on faith: each learnt endpoint has to prove
itself by the cluster's CA, or by the fingerprint that the trusted node tells for it.
"""

from __future__ import annotations

from collections.abc import Mapping

from pveops.api.client import Client
from pveops.api.endpoint import Endpoint, TrustMode, trust_pin
from pveops.errors import UsageError
from pveops.sanitize import JsonValue


def learn_endpoints(client: Client, known: Endpoint) -> tuple[Endpoint, ...]:
    """The cluster's nodes by their addresses, `known` first; at least `known` itself.

    Takes one request (CA) or two (pin). With the system's store the names in the nodes'
    certificates are not known, so nothing is learnt.
    """
    if known.trust.mode is TrustMode.SYSTEM:
        return (known,)
    addresses = {
        str(row["name"]): str(row["ip"])
        for row in _rows(client.get("/cluster/status"))
        if row.get("type") == "node" and row.get("name") and row.get("ip")
    }
    if known.trust.mode is TrustMode.PIN:
        learnt = _by_pin(client, known, addresses)
    else:
        learnt = [
            Endpoint(address, known.port, known.trust, name) for name, address in addresses.items()
        ]
    return (known, *(each for each in learnt if each.host != known.host))


def _by_pin(client: Client, known: Endpoint, addresses: Mapping[str, str]) -> list[Endpoint]:
    """`/nodes` tells the fingerprint of the certificate that each node's pveproxy shows."""
    learnt = []
    for row in _rows(client.get("/nodes")):
        name = str(row.get("node", ""))
        try:
            trust = trust_pin(str(row.get("ssl_fingerprint", "")))
        except UsageError:
            continue
        if name in addresses and trust.fingerprint != known.trust.fingerprint:
            learnt.append(Endpoint(addresses[name], known.port, trust))
    return learnt


def _rows(data: JsonValue) -> list[dict[str, JsonValue]]:
    return [row for row in data if isinstance(row, dict)] if isinstance(data, list) else []
