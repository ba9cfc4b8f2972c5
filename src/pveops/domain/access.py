"""What the token may do and see, from its own /access/permissions.

PVE filters lists silently: a guest, storage or task that the token may not see is simply
missing. So an answer is only as good as the view behind it, and the gaps are named.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from pveops.domain.rows import object_of
from pveops.errors import PveopsError

if TYPE_CHECKING:
    from pveops.api.client import Client


class Permissions(NamedTuple):
    """Privileges by path, as the token holds them (privilege separation already applied)."""

    by_path: dict[str, frozenset[str]]
    propagating: dict[str, frozenset[str]]
    """Those that hold for everything below the path, too."""

    @property
    def is_empty(self) -> bool:
        """Nothing at all: the classic token without rights of its own (privsep=1, no ACL)."""
        return not any(self.by_path.values())

    def allows(self, path: str, privilege: str) -> bool:
        """Whether the privilege holds on `path`, by itself or from above."""
        if path in self.by_path:
            return privilege in self.by_path[path]
        while path != "/":
            path = path.rpartition("/")[0] or "/"
            if path in self.propagating:
                return privilege in self.propagating[path]
        return False

    def anywhere(self, privilege: str) -> bool:
        """Whether the privilege holds on any path."""
        return any(privilege in held for held in self.by_path.values())


def read_permissions(client: Client) -> Permissions:
    """One request; any token may ask this of itself."""
    return permissions_of(object_of(client.get("/access/permissions")))


def read_permissions_or_none(client: Client) -> Permissions | None:
    """As `read_permissions`; None when they cannot be read: nobody knows what is hidden."""
    try:
        return read_permissions(client)
    except PveopsError:
        return None


def permissions_of(data: object) -> Permissions:
    """The answer of /access/permissions: path -> privilege -> whether it propagates."""
    by_path: dict[str, frozenset[str]] = {}
    propagating: dict[str, frozenset[str]] = {}
    for path, held in object_of(data).items():
        privileges = object_of(held)
        by_path[path] = frozenset(privileges)
        propagating[path] = frozenset(name for name, flag in privileges.items() if flag)
    return Permissions(by_path, propagating)


class BlindSpot(NamedTuple):
    """Something that this token cannot see, and the privilege that would show it."""

    what: str
    path: str
    privilege: str


_SIGHTS = (
    ("guests", "/vms", "VM.Audit"),
    ("figures of nodes, quorum and other people's tasks", "/nodes", "Sys.Audit"),
    ("cluster membership and quorum", "/", "Sys.Audit"),
    ("storages", "/storage", "Datastore.Audit"),
    ("pools", "/pool", "Pool.Audit"),
)


def list_blind_spots(permissions: Permissions) -> tuple[BlindSpot, ...]:
    """What may be missing from every list that this token is given."""
    return tuple(
        BlindSpot(what if not permissions.anywhere(privilege) else f"some {what}", path, privilege)
        for what, path, privilege in _SIGHTS
        if not permissions.allows(path, privilege)
    )
