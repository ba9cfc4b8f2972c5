"""The certificates of a node, and the authority of the cluster that signs them."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from pveops.api.port import api_path
from pveops.domain.rows import int_of, rows_of, text_of

if TYPE_CHECKING:
    from pveops.api.client import Client

_AUTHORITY = "pve-root-ca.pem"


class Certificate(NamedTuple):
    """One file.

    filename: `pve-root-ca.pem`, `pve-ssl.pem`, `pveproxy-ssl.pem`. ends: seconds since the epoch,
    0 when it is not told. fingerprint: SHA-256, `AB:CD:...`.
    """

    filename: str
    ends: int
    fingerprint: str


def read_certificates(client: Client, node: str) -> tuple[Certificate, ...]:
    """One request; any token may ask it (API2/Certificates.pm, info)."""
    rows = rows_of(client.get(api_path("nodes", node, "certificates", "info")))
    return tuple(
        Certificate(text_of(row, "filename"), int_of(row, "notafter"), text_of(row, "fingerprint"))
        for row in rows
    )


def read_authority(client: Client) -> str:
    """The fingerprint of the cluster's own authority; empty when the node tells none.

    It tells the cluster from every other, for ten years. Whichever node answers is asked.
    """
    found = read_certificates(client, "localhost")
    return next((each.fingerprint for each in found if each.filename == _AUTHORITY), "")
