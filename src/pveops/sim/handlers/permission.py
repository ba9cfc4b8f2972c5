"""Checks that handlers make themselves, where the schema's expression does not say it all."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pveops.sim.access import privileges_of_token, privileges_of_user
from pveops.sim.refusal import permission_error

if TYPE_CHECKING:
    from pveops.sim.call import Call, Identity
    from pveops.sim.model import Cluster


def held(cluster: Cluster, identity: Identity, path: str) -> dict[str, bool]:
    """Privilege -> propagates, for whoever asks, on a path."""
    if identity.token is not None:
        return privileges_of_token(cluster, identity.user, identity.token, path)
    return privileges_of_user(cluster, identity.user, path)


def may(call: Call, path: str, *privileges: str) -> bool:
    """Whether the caller holds any of the privileges on the path."""
    found = held(call.cluster, call.identity, path)
    return any(name in found for name in privileges)


def check(call: Call, path: str, *privileges: str) -> None:
    """Refuse with 403 unless the caller holds any of the privileges."""
    if not may(call, path, *privileges):
        raise permission_error(path, "|".join(privileges))


def check_modify(call: Call, path: str) -> None:
    """Refuse with 403 unless the caller may change who may do what on the path.

    Permissions.Modify, or the privilege that allocates what lies there (check_perm_modify).
    """
    allocates = {
        "/storage": ("Datastore.Allocate",),
        "/vms": ("VM.Allocate",),
        "/pool": ("Pool.Allocate",),
    }
    top = "/" + path.strip("/").partition("/")[0]
    needed = ("Permissions.Modify", *allocates.get(top, ()))
    if not may(call, path, *needed):
        raise permission_error(path, "|".join(needed) if len(needed) > 1 else needed[0])
