"""What a token holds and no agent's should, and the commands that take it away. Pure."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Set
from typing import Literal, NamedTuple

from pveops.domain.access import AccessTree, AclEntry, Permissions
from pveops.operations.grade import is_reading

CRITICAL = frozenset(
    {
        "Permissions.Modify",
        "Realm.Allocate",
        "Sys.AccessNetwork",
        "Sys.Console",
        "Sys.Modify",
        "Sys.PowerMgmt",
        "User.Modify",
        "VM.GuestAgent.Unrestricted",
        "VM.Monitor",
    }
)
"""Accounts, nodes and the inside of guests: who has these can get all the rest, or break it."""
DESTRUCTIVE = frozenset(
    {"VM.Allocate", "VM.Config.Disk", "VM.Config.Options", "Datastore.Allocate"}
)
"""With these a guest or a storage can be destroyed, or its protection taken away."""
_WIDE = ("/", "/vms", "/storage")

Level = Literal["critical", "high", "medium"]


class Excess(NamedTuple):
    """Privileges that are more than they should be."""

    level: Level
    privileges: tuple[str, ...]
    paths: tuple[str, ...]


def find_excess(permissions: Permissions, *, may_change: bool = True) -> tuple[Excess, ...]:
    """By rule: critical anywhere, destructive on everything, and any change for who only reads.

    may_change: whether the policy lets anybody change anything.
    """
    found = []
    held: set[str] = set().union(*permissions.by_path.values())
    critical = tuple(sorted(held & CRITICAL))
    if critical:
        found.append(Excess("critical", critical, _paths(permissions, critical)))
    seen: set[str] = set()
    for path in _WIDE:
        wide = tuple(sorted((permissions.propagating.get(path, frozenset()) & DESTRUCTIVE) - seen))
        if wide:
            found.append(Excess("high", wide, (path,)))
            seen |= set(wide)
    changing = tuple(sorted(name for name in held if not is_reading(name)))
    if changing and not may_change:
        found.append(Excess("medium", changing, _paths(permissions, changing)))
    return tuple(found)


def _paths(permissions: Permissions, names: Iterable[str]) -> tuple[str, ...]:
    return tuple(sorted({path for name in names for path in permissions.topmost(name)}))


def shrink_commands(
    auth_id: str, permissions: Permissions, tree: AccessTree, drop: Set[str]
) -> tuple[str, ...]:
    """The `pveum` commands, for root on a node, that take privileges from a token or user.

    Where PVE shows the entries, each role that holds one of them is changed, or replaced when
    others have it, too, or PVE made it. Where it does not, the token gets entries with what it
    should keep, and a person takes away the old ones.
    """
    kind = "token" if "!" in auth_id else "user"
    mine = [each for each in tree.entries if each.subject == auth_id and each.kind == kind]
    concerned = [each for each in mine if tree.roles.get(each.role, frozenset()) & drop]
    if not concerned:
        return _shrink_unseen(auth_id, permissions, tree, drop)
    commands: list[str] = []
    for role in dict.fromkeys(each.role for each in concerned):
        kept = sorted(tree.roles[role] - drop)
        entries = [each for each in mine if each.role == role]
        is_shared = any(
            each.role == role and _owner(each) != _owner(entries[0]) for each in tree.entries
        )
        if role not in tree.builtin and not is_shared and kept:
            commands.append(f"pveum role modify {role} --privs {','.join(kept)}")
        else:
            commands += _replace(f"Less{role}", role, kept, entries)
    return tuple(commands)


def _owner(entry: AclEntry) -> str:
    """The account: a role that a token shares with its own user is not shared."""
    return entry.subject.partition("!")[0]


def _replace(name: str, role: str, kept: list[str], entries: list[AclEntry]) -> list[str]:
    commands = [f"pveum role add {name} --privs {','.join(kept)}"] if kept else []
    for entry in entries:
        whose = f"--{entry.kind}s {shlex.quote(entry.subject)}"
        if kept:
            commands.append(
                f"pveum acl modify {entry.path} {whose} --roles {name} "
                f"--propagate {int(entry.propagates)}"
            )
        commands.append(f"pveum acl delete {entry.path} {whose} --roles {role}")
    return commands


def _shrink_unseen(
    auth_id: str, permissions: Permissions, tree: AccessTree, drop: Set[str]
) -> tuple[str, ...]:
    """For a token that is not shown its entries; roles are shown to everybody.

    A role that holds what is to go and nothing that the token lacks on that path must be its
    role there, if there is but one.
    """
    kind = "token" if "!" in auth_id else "user"
    commands: list[str] = []
    for number, path in enumerate(_paths(permissions, drop), 1):
        held = permissions.by_path.get(path, frozenset())
        fitting = [
            role for role, names in sorted(tree.roles.items()) if names & drop and names <= held
        ]
        role = fitting[0] if len(fitting) == 1 else ""
        kept = sorted((tree.roles[role] if role else held) - drop)
        if role and role not in tree.builtin and kept:
            commands.append(f"pveum role modify {role} --privs {','.join(kept)}")
            continue
        propagates = bool(permissions.propagating.get(path))
        old = role or "ITS_OLD_ROLE"
        entry = AclEntry(path, kind, auth_id, old, propagates)
        commands += _replace(f"Less{role or f'Ops{number}'}", old, kept, [entry])
    return ("pveum acl list   # look who else has the role", *commands)
