"""Locks of the files in /etc/pve: who wants to write one needs a majority of the nodes."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from pveops.sim.refusal import die

if TYPE_CHECKING:
    from pveops.sim.model import Node
    from pveops.sim.router import Waiting

_PATIENCE_S = 10


def lock_file(node: Node, name: str, prefix: str = "") -> Waiting:
    """Take the lock of a file, as a generator that waits while there is no quorum.

    name: below /etc/pve. prefix: what precedes the text of a refusal. PVE tries for about ten
    seconds before it gives up (pve-cluster, cfs_lock).
    """
    for _ in range(_PATIENCE_S):
        if node.cluster.has_quorum(node):
            return
        yield 1.0
    if not node.cluster.has_quorum(node):
        text = f"cfs-lock 'file-{re.sub('[./]', '_', name)}' error: no quorum!"
        raise die(f"{prefix}: {text}" if prefix else text)
