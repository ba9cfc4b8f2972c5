"""GET /version."""

from __future__ import annotations

from typing import Any

from pveops.sim.call import Call
from pveops.sim.router import Routes

routes = Routes()


@routes.get("/version")
def get_version(call: Call) -> dict[str, str]:
    """The version of the node that was asked."""
    return _version(call.receiver.version)


@routes.get("/nodes/{node}/version")
def get_node_version(call: Call) -> dict[str, str]:
    """The version of the named node; it may differ during an upgrade."""
    return _version(call.node.version)


def _version(version: Any) -> dict[str, str]:
    return {
        "release": version.release,
        "version": version.version,
        "repoid": version.repoid,
    }
