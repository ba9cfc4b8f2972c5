"""The cluster's own certificate authority: what tells it from every other, for ten years."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pveops.domain.rows import rows_of, text_of

if TYPE_CHECKING:
    from pveops.api.client import Client

_FILE = "pve-root-ca.pem"


def read_authority(client: Client) -> str:
    """The SHA-256 fingerprint of the CA, `AB:CD:...`; empty when the node tells none.

    One request, of whichever node answers; any token may ask it (API2/Certificates.pm, info).
    """
    rows = rows_of(client.get("/nodes/localhost/certificates/info"))
    return next(
        (text_of(row, "fingerprint") for row in rows if text_of(row, "filename") == _FILE), ""
    )
