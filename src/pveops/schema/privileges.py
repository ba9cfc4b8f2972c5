"""Which privileges a call needs, as a structure with the call's own paths in it.

The schema has them as an expression with templates (`["perm", "/vms/{vmid}", ["VM.Audit"]]`). How
PVE reads it is in pve-access-control RPCEnvironment.pm: check_api2_permissions and
exec_api2_perm_check.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from enum import StrEnum
from typing import Any, NamedTuple

from pveops.schema.facts import Method, version_key


class Kind(StrEnum):
    """What sort of requirement it is."""

    WORLD = "world"
    """Nobody has to log in."""
    EVERYONE = "everyone"
    """Any user who is logged in. The handler may look closer (`is_custom`), or filter."""
    ROOT = "root"
    """root@pam with a ticket; no privilege suffices."""
    PRIVILEGES = "privileges"
    """`privileges` on `path`: all, or one of them where `is_any`."""
    ALL = "all"
    """Every one of `parts`."""
    ANY = "any"
    """One of `parts`."""
    SELF = "self"
    """The caller is the user that the call is about."""
    GROUP = "group"
    """One of `privileges` on `path` (all groups), or on groups of the user that it is about."""
    MODIFY = "modify"
    """May change permissions on `path`: Permissions.Modify, or what the kind of path adds."""
    NEVER = "never"
    """Not for this call: it speaks of a parameter that was not given."""
    UNKNOWN = "unknown"
    """An expression that is not known here, or is broken (8.3 has some); the server judges."""


class Requirement(NamedTuple):
    """What a caller needs for a call; root@pam needs nothing."""

    kind: Kind
    path: str = ""
    """The ACL path, filled in from the parameters; `{name}` where one was not given."""
    privileges: tuple[str, ...] = ()
    is_any: bool = False
    parts: tuple[Requirement, ...] = ()
    is_custom: bool = False
    """The handler checks more than the expression says."""

    def __str__(self) -> str:
        names = ("|" if self.is_any else ", ").join(self.privileges)
        if self.kind is Kind.PRIVILEGES:
            return f"{self.path}: {names}"
        if self.kind is Kind.GROUP:
            return f"a group of the user's: {names}"
        if self.kind in {Kind.ALL, Kind.ANY}:
            joined = " and " if self.kind is Kind.ALL else " or "
            return joined.join(f"({part})" if part.parts else str(part) for part in self.parts)
        return _WORDS[self.kind] + (f" {self.path}" if self.path else "")


_WORDS = {
    Kind.WORLD: "no login",
    Kind.EVERYONE: "any user",
    Kind.ROOT: "root@pam",
    Kind.SELF: "the user itself",
    Kind.MODIFY: "may change permissions on",
    Kind.NEVER: "nobody but root@pam",
    Kind.UNKNOWN: "what the server wants",
}

_AGENT = "VM.GuestAgent."
_SPLIT_IN = (9, 0)
_BEFORE = {"VM.Replicate": ("/storage", "Datastore.Allocate")}

Params = Mapping[str, Any]


def privilege_in(path: str, name: str, release: str) -> tuple[str, str]:
    """The path and name of a privilege of PVE 9 in another release; the nearest that holds it.

    pve-access-control 9.0 took VM.Monitor, one privilege for a VM's monitor and all of its guest
    agent, apart into VM.GuestAgent.*, and made VM.Replicate, for what had taken
    Datastore.Allocate on all storages (AccessControl.pm, $valid_privs; API2/Replication.pm).
    """
    if version_key(release) >= _SPLIT_IN:
        return path, name
    if name.startswith(_AGENT):
        return path, "VM.Monitor"
    return _BEFORE.get(name, (path, name))


def required_privileges(method: Method, params: Params) -> Requirement:
    """What a caller needs for a call of `method`.

    params: path and request parameters together; they fill the templates, and decide which
    alternatives count.
    """
    permissions = method.permissions
    if permissions is None:
        return Requirement(Kind.ROOT)
    is_custom = bool(permissions.get("custom"))
    if "user" in permissions:
        kind = Kind.WORLD if permissions["user"] == "world" else Kind.EVERYONE
        return Requirement(kind, is_custom=is_custom)
    if "check" not in permissions:
        return Requirement(Kind.ROOT, is_custom=is_custom)
    return _read(permissions["check"], params)._replace(is_custom=is_custom)


def _read(expression: Any, params: Params) -> Requirement:
    name = expression[0] if isinstance(expression, list) and expression else None
    read = _READERS.get(name) if isinstance(name, str) else None
    return read(expression[1:], params) if read else Requirement(Kind.UNKNOWN)


def _perm(rest: list[Any], params: Params) -> Requirement:
    template, privileges, *options = rest
    named = _options(options)
    needed = named.get("require_param")
    if needed and params.get(needed) is None:
        return Requirement(Kind.NEVER)
    path = fill_template(template, params)
    return Requirement(Kind.PRIVILEGES, path, tuple(privileges), bool(named.get("any")))


def _and(rest: list[Any], params: Params) -> Requirement:
    return Requirement(Kind.ALL, parts=tuple(_read(part, params) for part in rest))


def _or(rest: list[Any], params: Params) -> Requirement:
    parts = tuple(_read(part, params) for part in rest)
    possible = tuple(part for part in parts if part.kind is not Kind.NEVER)
    if not possible:
        return Requirement(Kind.NEVER)
    return possible[0] if len(possible) == 1 else Requirement(Kind.ANY, parts=possible)


def _userid_param(rest: list[Any], params: Params) -> Requirement:
    if rest[0] == "self":
        return Requirement(Kind.SELF)
    realm = str(params.get("userid", "")).rpartition("@")[2] or "{realm}"
    return Requirement(Kind.PRIVILEGES, f"/access/realm/{realm}", (rest[0],))


def _userid_group(rest: list[Any], params: Params) -> Requirement:
    """On all groups; or on those that are given, and on one of the user's own (no `create`)."""
    privileges, *options = rest
    path = "/access/groups"
    on_all = Requirement(Kind.PRIVILEGES, path, tuple(privileges), is_any=True)
    wanted = _options(options).get("groups_param")
    own = () if wanted == "create" else (Requirement(Kind.GROUP, path, tuple(privileges), True),)
    names = [name for name in re.split(r"[,;\s]+", str(params.get("groups") or "")) if name]
    if wanted and not names:
        return on_all
    given = tuple(on_all._replace(path=f"{path}/{name}") for name in names) if wanted else ()
    return Requirement(Kind.ANY, parts=(on_all, _all_of((*given, *own))))


def _all_of(parts: tuple[Requirement, ...]) -> Requirement:
    return parts[0] if len(parts) == 1 else Requirement(Kind.ALL, parts=parts)


def _perm_modify(rest: list[Any], params: Params) -> Requirement:
    return Requirement(Kind.MODIFY, fill_template(rest[0], params))


def _options(pairs: list[Any]) -> dict[str, Any]:
    return dict(zip(pairs[::2], pairs[1::2], strict=False))


def fill_template(template: str, params: Params) -> str:
    """`/vms/{vmid}` as `/vms/100`. What was not given stays as it is."""

    def value(match: re.Match[str]) -> str:
        found = params.get(match[1])
        return match[0] if found is None else str(found)

    filled = re.sub(r"\{([\w-]+)\}", value, template)
    return re.sub(r"/+", "/", filled).rstrip("/") or "/"


_READERS: dict[str, Callable[[list[Any], Params], Requirement]] = {
    "perm": _perm,
    "and": _and,
    "or": _or,
    "userid-param": _userid_param,
    "userid-group": _userid_group,
    "perm-modify": _perm_modify,
}
