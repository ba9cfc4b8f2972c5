"""Start states of the simulated cluster, each with a story to find.

`recorded`: a freshly installed standalone node. `homelab`: three nodes and about thirty guests.
`three-node-ceph`: disks on Ceph, so that guests move freely. `two-node`: a quorum that the loss of
one node takes away. `mixed-versions`: half-way through an upgrade. `scale-N`: N guests on up to
ten nodes.
"""

from __future__ import annotations

import re
from importlib import import_module
from typing import TYPE_CHECKING, NamedTuple

from pveops.errors import UsageError

if TYPE_CHECKING:
    from pveops.sim.model import Cluster
    from pveops.sim.timeline import Timeline
    from pveops.sim.version import Version

_MODULES = {
    "homelab": "homelab",
    "three-node-ceph": "three_node_ceph",
    "two-node": "two_node",
    "mixed-versions": "mixed_versions",
    "recorded": "recorded",
}
NAMES = (*_MODULES, "scale-N")


class Seed(NamedTuple):
    """A cluster, and how to get in."""

    cluster: Cluster
    root_password: str
    token_id: str
    """`user@realm!name`; empty: the seed has no token."""
    token_secret: str


def build(name: str, timeline: Timeline, version: Version) -> Seed:
    """The named start state. Raises UsageError for a name that is none."""
    if name in _MODULES:
        module = import_module(f"{__name__}.{_MODULES[name]}")
        seed: Seed = module.build(timeline, version)
        return seed
    match = re.fullmatch(r"scale-([1-9][0-9]{0,5})", name)
    if match:
        from pveops.sim.seeds.scale import build as build_scale

        return build_scale(timeline, version, int(match[1]))
    raise UsageError(f"there is no seed {name!r}", hint=f"known seeds: {', '.join(NAMES)}")
