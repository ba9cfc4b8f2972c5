"""Packages of a node that wait for an update."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from pveops.api.port import api_path
from pveops.domain.rows import rows_of, text_of

if TYPE_CHECKING:
    from pveops.api.client import Client


class Updates(NamedTuple):
    """How many packages wait, and how many of them are kernels.

    PVE tells the origin of a package, but not whether it is a security update.
    """

    packages: int
    kernels: int


def read_updates(client: Client, node: str) -> Updates:
    """One request, about what the node knew at its last `apt update`.

    Takes Sys.Modify on the node (pve-manager API2/APT.pm), which a token that only reads lacks.
    """
    rows = rows_of(client.get(api_path("nodes", node, "apt", "update")))
    kernels = [row for row in rows if "-kernel-" in f"-{text_of(row, 'Package')}"]
    return Updates(len(rows), len(kernels))
