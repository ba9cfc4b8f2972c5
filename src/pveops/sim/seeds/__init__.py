"""Start states of the simulated cluster, each with a story to find.

`recorded`: a freshly installed standalone node. `homelab`: three nodes and about thirty guests.
`scale-N`: N guests on up to ten nodes.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

from pveops.errors import UsageError

if TYPE_CHECKING:
    from pveops.sim.model import Cluster
    from pveops.sim.timeline import Timeline
    from pveops.sim.version import Version

NAMES = ("homelab", "recorded", "scale-N")


class Seed(NamedTuple):
    """A cluster, and how to get in."""

    cluster: Cluster
    root_password: str
    token_id: str
    """`user@realm!name`; empty: the seed has no token."""
    token_secret: str


def build(name: str, timeline: Timeline, version: Version) -> Seed:
    """The named start state. Raises UsageError for a name that is none."""
    if name == "recorded":
        from pveops.sim.seeds.recorded import build as build_recorded

        return build_recorded(timeline, version)
    if name == "homelab":
        from pveops.sim.seeds.homelab import build as build_homelab

        return build_homelab(timeline, version)
    match = re.fullmatch(r"scale-([1-9][0-9]{0,5})", name)
    if match:
        from pveops.sim.seeds.scale import build as build_scale

        return build_scale(timeline, version, int(match[1]))
    raise UsageError(f"there is no seed {name!r}", hint=f"known seeds: {', '.join(NAMES)}")
