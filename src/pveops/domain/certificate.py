"""The certificates that a node serves with."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from pveops.api.port import api_path
from pveops.domain.rows import int_of, rows_of, text_of

if TYPE_CHECKING:
    from pveops.api.client import Client


class Certificate(NamedTuple):
    """One file.

    filename: `pve-root-ca.pem`, `pve-ssl.pem`, `pveproxy-ssl.pem`. ends: seconds since the epoch.
    """

    filename: str
    ends: int


def read_certificates(client: Client, node: str) -> tuple[Certificate, ...]:
    """One request; every token may ask. Files without an end are left out."""
    rows = rows_of(client.get(api_path("nodes", node, "certificates", "info")))
    return tuple(
        Certificate(text_of(row, "filename"), int_of(row, "notafter"))
        for row in rows
        if int_of(row, "notafter")
    )
