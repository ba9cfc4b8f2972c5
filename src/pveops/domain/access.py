"""What the token may do and see, from its own /access/permissions.

PVE filters lists silently: a guest, storage or task that the token may not see is simply
missing. So an answer is only as good as the view behind it, and the gaps are named.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING, NamedTuple

from pveops.domain.rows import Row, flag_of, int_of, object_of, rows_of, text_of
from pveops.errors import PveopsError

if TYPE_CHECKING:
    from pveops.api.client import Client


_IN_POOLS = frozenset({"/vms", "/storage"})


def is_below(path: str, above: str) -> bool:
    """Whether a path of the access tree lies below another one."""
    return path != above and (above == "/" or path.startswith(f"{above}/"))


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

    def allows_below(self, top: str, privilege: str) -> tuple[str, ...]:
        """Where below `top` the privilege holds: `top` alone when it holds for all of that.

        Entries on pools count for guests and storages, since they hold for their members.
        """
        if privilege in self.propagating.get(top, frozenset()) or (
            top not in self.by_path and self.allows(top, privilege)
        ):
            return (top,)
        tops = (top, "/pool") if top in _IN_POOLS else (top,)
        return tuple(
            path
            for path, held in sorted(self.by_path.items())
            if privilege in held and any(path.startswith(f"{each}/") for each in tops)
        )

    def topmost(self, privilege: str) -> tuple[str, ...]:
        """The paths on which the privilege holds, without those that get it from above."""
        held = sorted(path for path, names in self.by_path.items() if privilege in names)
        found: list[str] = []
        for path in held:
            if not any(
                privilege in self.propagating.get(above, frozenset()) and is_below(path, above)
                for above in found
            ):
                found.append(path)
        return tuple(found)

    def anywhere(self, privilege: str) -> bool:
        """Whether the privilege holds on any path."""
        return any(privilege in held for held in self.by_path.values())


def read_permissions(client: Client, paths: Sequence[str] = ()) -> Permissions:
    """One request, and one for each of `paths`; any token may ask this of itself.

    The answer for all paths leaves out those on which nothing holds, NoAccess included
    (RPCEnvironment.pm, get_effective_permissions), so it takes asking to know that of one.
    """
    found = dict(object_of(client.get("/access/permissions")))
    for path in paths:
        found[path] = object_of(client.get("/access/permissions", {"path": path})).get(path)
    return permissions_of(found)


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


class AclEntry(NamedTuple):
    """Who holds which role on a path. kind: `user`, `group` or `token`."""

    path: str
    kind: str
    subject: str
    role: str
    propagates: bool


class AccessTree(NamedTuple):
    """The entries and roles of a cluster, as far as this token is shown them."""

    entries: tuple[AclEntry, ...] = ()
    """Empty: PVE shows entries only with Sys.Audit on /access, or where they may be changed."""
    roles: Mapping[str, frozenset[str]] = MappingProxyType({})
    builtin: frozenset[str] = frozenset()
    """The names of the roles that PVE makes itself, and that nobody can change."""


def read_access_tree(client: Client) -> AccessTree:
    """Two requests. What PVE refuses to show is empty."""
    entries = tuple(
        AclEntry(
            text_of(row, "path"),
            text_of(row, "type"),
            text_of(row, "ugid"),
            text_of(row, "roleid"),
            flag_of(row, "propagate"),
        )
        for row in _list_or_none(client, "/access/acl")
    )
    rows = _list_or_none(client, "/access/roles")
    return AccessTree(
        entries,
        {text_of(row, "roleid"): _names(row.get("privs")) for row in rows},
        frozenset(text_of(row, "roleid") for row in rows if flag_of(row, "special")),
    )


def _list_or_none(client: Client, path: str) -> list[Row]:
    try:
        return rows_of(client.get(path))
    except PveopsError:
        return []


def _names(text: object) -> frozenset[str]:
    return frozenset(name for name in str(text or "").replace(";", ",").split(",") if name)


class Account(NamedTuple):
    """What PVE tells of a token and its user; expiries in seconds since the epoch, 0: never."""

    user_expires: int
    is_user_enabled: bool
    token_expires: int
    has_privsep: bool


def read_account(client: Client, auth_id: str) -> Account | None:
    """None where PVE does not tell: it takes Sys.Audit or User.Modify on the user's groups.

    A token is no `self` of its user (pve-access-control RPCEnvironment.pm, userid-param), so
    without those it learns nothing about itself.
    """
    user, _, name = auth_id.partition("!")
    try:
        row = object_of(client.get(f"/access/users/{user}"))
    except PveopsError:
        return None
    token = object_of(object_of(row.get("tokens")).get(name))
    return Account(
        user_expires=int_of(row, "expire"),
        is_user_enabled=int_of(row, "enable", 1) == 1,
        token_expires=int_of(token, "expire"),
        has_privsep=int_of(token, "privsep", 1) == 1,
    )


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
