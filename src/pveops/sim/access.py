"""Users, groups, roles, tokens, realms and access control entries: user.cfg and domains.cfg."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

from pveops.sim.refusal import die
from pveops.sim.roles import all_privileges, builtin_roles
from pveops.sim.second_factor import SecondFactors

if TYPE_CHECKING:
    from pveops.sim.model import Cluster

Find = Callable[[str], dict[str, bool]]
Rank = Callable[["Entry"], int]

_EMPTY_DIGEST = "da39a3ee5e6b4b0d3255bfef95601890afd80709"
_ACL_PATH = re.compile(
    r"/|/access(/groups(/[^/]+)?|/realm(/[^/]+)?)?|/nodes(/[^/]+)?|/pool(/.+)?|/storage(/[^/]+)?"
    r"|/vms(/[1-9][0-9]{2,})?"
    r"|/sdn(/(zones|dns|ipams|controllers|fabrics)(/[^/]+){0,3})?"
    r"|/mapping(/(dir|pci|usb|notifications)(/[^/]+)?|/notifications)?"
)


@dataclass(slots=True)
class Token:
    """An API token of a user."""

    secret: str
    comment: str = ""
    expire: int = 0
    has_privsep: bool = True


@dataclass(slots=True)
class User:
    """An account. `details` holds comment, email, firstname, lastname, keys where they are set."""

    userid: str
    is_enabled: bool = True
    expire: int = 0
    password: str | None = None
    details: dict[str, str] = field(default_factory=dict)
    tokens: dict[str, Token] = field(default_factory=dict)


@dataclass(slots=True)
class Group:
    """A named set of users."""

    comment: str = ""
    members: set[str] = field(default_factory=set)


class Entry(NamedTuple):
    """Who an access control entry is for: kind is `user`, `group` or `token`."""

    path: str
    kind: str
    ugid: str
    role: str


@dataclass(slots=True)
class Access:
    """The whole of it."""

    users: dict[str, User] = field(default_factory=dict)
    groups: dict[str, Group] = field(default_factory=dict)
    roles: dict[str, frozenset[str]] = field(default_factory=dict)
    """Those that are not built in."""
    acl: dict[Entry, bool] = field(default_factory=dict)
    """Entry -> whether it propagates."""
    domains: dict[str, dict[str, Any]] = field(default_factory=dict)
    domains_digest: str = _EMPTY_DIGEST
    factors: SecondFactors = field(default_factory=SecondFactors)
    revoked: set[str] = field(default_factory=set)
    """Authentication ids that a fault has revoked."""

    def user(self, userid: str) -> User:
        """The user; dies as PVE does."""
        user = self.users.get(userid)
        if user is None:
            raise die(f"no such user ('{userid}')")
        return user

    def is_live(self, user: User, now: float) -> bool:
        """Enabled and not expired."""
        return user.is_enabled and (user.expire == 0 or user.expire > now)

    def groups_of(self, userid: str) -> frozenset[str]:
        """The groups that the user is a member of."""
        return frozenset(name for name, group in self.groups.items() if userid in group.members)

    def set_groups(self, userid: str, names: list[str], *, append: bool) -> None:
        """Make the user a member of these groups, and of no other unless `append`."""
        for name in names:
            if name not in self.groups:
                raise die(f"no such group '{name}'")
        for name, group in self.groups.items():
            if name in names:
                group.members.add(userid)
            elif not append:
                group.members.discard(userid)

    def drop_user(self, userid: str) -> None:
        """Remove what is left of a user: entries, memberships, tokens, factors."""
        self.users.pop(userid, None)
        for group in self.groups.values():
            group.members.discard(userid)
        self.drop_entries("user", userid)
        for entry in [
            e for e in self.acl if e.kind == "token" and e.ugid.startswith(f"{userid}!")
        ]:
            del self.acl[entry]
        self.factors.drop_user(userid)

    def drop_entries(self, kind: str, ugid: str) -> None:
        """Remove the entries of one subject."""
        for entry in [e for e in self.acl if e.kind == kind and e.ugid == ugid]:
            del self.acl[entry]


def role_privileges(cluster: Cluster, role: str) -> frozenset[str] | None:
    """The privileges of a role, or None when there is no such role."""
    builtin = builtin_roles(cluster.version)
    return builtin.get(role, cluster.access.roles.get(role))


def is_acl_path(path: str) -> bool:
    """Whether entries may be put there (AccessControl.pm check_path)."""
    return _ACL_PATH.fullmatch(path) is not None


def normalize_path(path: str) -> str | None:
    """The path without trailing and double slashes; None when it is malformed."""
    flat = re.sub(r"/+", "/", path)
    if not flat.startswith("/"):
        return None
    if flat != "/":
        flat = flat.rstrip("/")
    return flat if re.fullmatch(r"/?[A-Za-z0-9./_\-]*", flat) else None


def privileges_of_user(cluster: Cluster, userid: str, path: str) -> dict[str, bool]:
    """Privilege -> propagates, for a user on a path."""
    if userid == "root@pam":
        return dict.fromkeys(all_privileges(cluster.version), True)
    access = cluster.access
    user = access.users.get(userid)
    if user is None or not access.is_live(user, cluster.timeline.now()):
        return {}
    groups = access.groups_of(userid)

    def subjects(entry: Entry) -> int:
        """2: the user itself, 1: one of its groups, 0: somebody else."""
        if entry.kind == "user" and entry.ugid == userid:
            return 2
        return 1 if entry.kind == "group" and entry.ugid in groups else 0

    return _with_pool(cluster, path, lambda p: _privileges(cluster, p, subjects))


def privileges_of_token(
    cluster: Cluster, userid: str, token_id: str, path: str
) -> dict[str, bool]:
    """Privilege -> propagates, for a token on a path: never more than its user has."""
    user = cluster.access.users.get(userid)
    token = user.tokens.get(token_id) if user else None
    if token is None:
        return {}
    of_user = privileges_of_user(cluster, userid, path)
    if not token.has_privsep:
        return of_user
    full = f"{userid}!{token_id}"

    def subjects(entry: Entry) -> int:
        return 2 if entry.kind == "token" and entry.ugid == full else 0

    of_token = _with_pool(cluster, path, lambda p: _privileges(cluster, p, subjects))
    return {
        name: propagates and of_user[name]
        for name, propagates in of_token.items()
        if name in of_user
    }


def _with_pool(cluster: Cluster, path: str, find: Find) -> dict[str, bool]:
    """What holds on the path, and on the pools that its guest or storage is in."""
    found = dict(find(path))
    for pool in _pools_of(cluster, path):
        for name, propagates in find(f"/pool/{pool}").items():
            found[name] = found.get(name, False) or propagates
    return found


def _pools_of(cluster: Cluster, path: str) -> list[str]:
    name = path.rpartition("/")[2]
    if path.startswith("/vms/") and name.isdecimal():
        pool = cluster.pools.pool_of_guest(int(name))
        return [pool] if pool else []
    return cluster.pools.pools_of_storage(name) if path.startswith("/storage/") else []


def _privileges(cluster: Cluster, path: str, subjects: Rank) -> dict[str, bool]:
    roles: dict[str, bool] = {}
    prefixes = ["/"]
    for part in (p for p in path.split("/") if p):
        prefixes.append(f"{prefixes[-1].rstrip('/')}/{part}")
    for prefix in prefixes:
        is_final = prefix == prefixes[-1]
        here: dict[int, dict[str, bool]] = {}
        for entry, propagates in cluster.access.acl.items():
            rank = subjects(entry) if entry.path == prefix else 0
            if rank and (is_final or propagates):
                here.setdefault(rank, {})[entry.role] = propagates
        if here:
            # An entry nearer to the object takes the place of all above; a user's, of its groups'.
            roles = here[max(here)]
    if "NoAccess" in roles:
        return {}
    found: dict[str, bool] = {}
    for role, propagates in roles.items():
        for name in role_privileges(cluster, role) or ():
            found[name] = found.get(name, False) or propagates
    return found
