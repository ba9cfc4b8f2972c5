"""What PVE would have asked for, when its 403 does not say so.

A method whose expression has alternatives ends in a bare `Permission check failed`
(pve-access-control RPCEnvironment.pm, exec_api2_perm_check); the facts of the API have the
expression.
"""

from __future__ import annotations

from pveops.api.port import Request


def describe_need(request: Request) -> str:
    """What the newest known release asks for such a call; empty: nothing that can be told."""
    from pveops.schema import Facts, Kind, required_privileges, versions

    match = Facts.open(versions()[-1]).resolve(request.method, request.path)
    if match is None:
        return ""
    params = {**dict(request.params), **match.path_params}
    need = required_privileges(match.method, params)
    is_vague = need.kind in {Kind.WORLD, Kind.EVERYONE, Kind.UNKNOWN, Kind.NEVER}
    return "" if is_vague else str(need)
