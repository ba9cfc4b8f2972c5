"""Which kernel a node runs, and which one its next boot takes."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

from pveops.api.port import api_path
from pveops.domain.rows import object_of, rows_of, text_of
from pveops.errors import PveopsError

if TYPE_CHECKING:
    from pveops.api.client import Client

_PACKAGE = re.compile(r"(?:proxmox|pve)-kernel-(\d[\w.-]*-pve)(?:-signed)?")
_NUMBERS = re.compile(r"\d+")


class Kernels(NamedTuple):
    """Of one node; both are empty where the token may not see them.

    running: the release, such as `6.17.4-2-pve`. newest: the newest that is installed.
    """

    running: str
    newest: str

    @property
    def is_reboot_due(self) -> bool | None:
        """Whether a newer one waits; None: not known."""
        if not self.running or not self.newest:
            return None
        return release_key(self.newest) > release_key(self.running)


def release_key(release: str) -> tuple[int, ...]:
    """Releases in their order."""
    return tuple(int(number) for number in _NUMBERS.findall(release))


def read_kernels(client: Client, node: str) -> Kernels:
    """Two requests to the node. A kernel that is pinned (proxmox-boot-tool) is not known of."""
    return Kernels(_read_running(client, node), _read_newest(client, node))


def _read_running(client: Client, node: str) -> str:
    try:
        status = object_of(client.get(api_path("nodes", node, "status")))
    except PveopsError:
        return ""
    release = text_of(object_of(status.get("current-kernel")), "release")
    # Before 8.1 there is the whole line alone: Linux 6.2.16-3-pve #1 SMP ...
    return release or next(iter(text_of(status, "kversion").split()[1:2]), "")


def _read_newest(client: Client, node: str) -> str:
    try:
        rows = rows_of(client.get(api_path("nodes", node, "apt", "versions")))
    except PveopsError:
        return ""
    found = [
        match[1]
        for row in rows
        if text_of(row, "CurrentState", "Installed") == "Installed"
        and (match := _PACKAGE.fullmatch(text_of(row, "Package")))
    ]
    return max(found, key=release_key, default="")
