"""Packages of a node that wait for an update."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

from pveops.api.port import api_path
from pveops.domain.rows import rows_of, text_of

if TYPE_CHECKING:
    from pveops.api.client import Client


_KERNEL = re.compile(r"(?:proxmox|pve)-kernel-\d|proxmox-default-kernel$")
"""`proxmox-kernel-6.17.9-1-pve-signed`, `proxmox-default-kernel`; not `proxmox-kernel-helper`."""


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
    return Updates(len(rows), sum(is_kernel(text_of(row, "Package")) for row in rows))


def is_kernel(package: str) -> bool:
    """Whether a package of that name brings a kernel, rather than a tool for them."""
    return _KERNEL.match(package) is not None
