"""Ceph: its status and its flags, where it is installed (pve-manager API2/Ceph.pm)."""

from __future__ import annotations

from typing import Any

from pveops.sim.call import Call
from pveops.sim.ceph import FLAGS, Ceph, status_of
from pveops.sim.refusal import ApiError, die
from pveops.sim.router import Routes

routes = Routes()
_FLAG = "/cluster/ceph/flags/{flag}"


def _ceph(call: Call) -> Ceph:
    if call.cluster.ceph is None:
        is_log = call.template.endswith("/log")
        raise die(f"binary not installed: /usr/bin/{'ceph' if is_log else 'ceph-mon'}")
    return call.cluster.ceph


@routes.get("/cluster/ceph/status", "/nodes/{node}/ceph/status")
def get_status(call: Call) -> dict[str, Any]:
    """Health, monitors, OSDs and space."""
    return status_of(call.cluster, _ceph(call), call.receiver)


@routes.get("/cluster/ceph/flags")
def list_flags(call: Call) -> list[dict[str, Any]]:
    """Each flag, and whether it is set."""
    ceph = _ceph(call)
    return [{"name": name, "value": int(name in ceph.flags)} for name in FLAGS]


@routes.get(_FLAG)
def get_flag(call: Call) -> int:
    """Whether one flag is set."""
    return int(str(call.params["flag"]) in _ceph(call).flags)


@routes.put(_FLAG)
def set_flag(call: Call) -> None:
    """Set or unset one flag."""
    flags, name = _ceph(call).flags, str(call.params["flag"])
    if str(call.params["value"]) in {"1", "True"}:
        flags.add(name)
    else:
        flags.discard(name)


@routes.get(
    "/cluster/ceph/metadata",
    "/nodes/{node}/ceph",
    "/nodes/{node}/ceph/osd",
    "/nodes/{node}/ceph/mon",
    "/nodes/{node}/ceph/mgr",
    "/nodes/{node}/ceph/mds",
    "/nodes/{node}/ceph/fs",
    "/nodes/{node}/ceph/pool",
    "/nodes/{node}/ceph/rules",
    "/nodes/{node}/ceph/crush",
    "/nodes/{node}/ceph/log",
    "/nodes/{node}/ceph/cmd-safety",
    "/nodes/{node}/ceph/cfg/db",
    "/nodes/{node}/ceph/cfg/raw",
)
def refuse(call: Call) -> None:
    """Without Ceph as PVE says it; with it, what is not modelled is said to be so."""
    _ceph(call)
    raise ApiError(501, f"Method 'GET {call.template}' not implemented")
