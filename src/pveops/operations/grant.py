"""What a token of a grade is given, path by path, and the commands that give it. Pure.

PVE's rules that shape it (pve-access-control AccessControl.pm, roles and permissions): a token
with privilege separation holds what both its user and it have, so each entry is made for both;
an entry nearer to an object takes the place of those above it, so every path gets all that is
needed there; entries on a pool add to what the pool's guests and storages have.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterable
from typing import NamedTuple

from pveops.operations.grade import (
    BEYOND,
    Grade,
    grade_of,
    is_higher,
    is_reading,
    needs_of,
    operations_up_to,
)
from pveops.operations.operation import Operation, Privilege
from pveops.units import format_utc

_ROLE_PREFIX = "Ops"
"""PVE keeps names that begin with PVE, in any case, for itself."""
_MAKE_ROLE = (
    'role() { pveum role add "$1" --privs "$2" 2>/dev/null || '
    'pveum role modify "$1" --privs "$2"; }'
)
_KINDS = {
    "": "Cluster",
    "nodes": "Nodes",
    "pool": "Pools",
    "sdn": "Networks",
    "storage": "Storages",
    "vms": "Guests",
}


class Scope(NamedTuple):
    """What a token is for; empty: all of that kind."""

    pools: tuple[str, ...] = ()
    storages: tuple[str, ...] = ()
    bridges: tuple[str, ...] = ()
    """Bridges of nodes, or `zone/vnet`."""


_EVERYTHING = Scope()


class Subject(NamedTuple):
    """Whose token it is to be."""

    user: str
    token: str
    expires: int
    """Seconds since the epoch."""

    @property
    def token_id(self) -> str:
        """As PVE signs its tasks."""
        return f"{self.user}!{self.token}"


class Entry(NamedTuple):
    """One path of the access tree, and what is given there."""

    path: str
    role: str
    privileges: tuple[str, ...]
    propagates: bool


class LeftOut(NamedTuple):
    """An operation of a grade that its token cannot do, and the privileges that keep it out."""

    operation: Operation
    privileges: tuple[str, ...]


class Grant(NamedTuple):
    """Everything that a token of a grade is given."""

    grade: Grade
    release: str
    entries: tuple[Entry, ...]
    operations: tuple[Operation, ...]
    """What it can do then."""
    left_out: tuple[LeftOut, ...]
    """What belongs to the grade, and needs a privilege that no token gets unasked."""
    parts: tuple[tuple[Operation, Privilege], ...]
    """Parts of operations that it cannot do."""
    beyond: tuple[Operation, ...]
    """Operations of higher grades that PVE lets it do all the same."""


def decide_grant(
    grade: Grade, release: str, scope: Scope = _EVERYTHING, include: tuple[Operation, ...] = ()
) -> Grant:
    """What the operations of a grade need, and those that are asked for beside it.

    A grade gives what its changes need, but for `BEYOND`. What only looks gets more than the
    right to look by no grade: PVE shows backups to those alone who may delete them.
    """
    candidates = operations_up_to(grade)
    grantable = _grantable(candidates, include, release)
    operations, left_out, parts = [*include], [], []
    by_path: dict[str, set[str]] = {}
    for operation in candidates:
        if operation in include:
            continue
        needs = needs_of(operation, release)
        lacking = [need for need in needs if need.name not in grantable]
        if any(not need.when for need in lacking):
            names = tuple(need.name for need in lacking if not need.when)
            left_out.append(LeftOut(operation, names))
            continue
        operations.append(operation)
        parts += [(operation, need) for need in lacking]
    for operation in operations:
        for need in needs_of(operation, release):
            for path in acl_paths(need.path, scope) if need.name in grantable else ():
                by_path.setdefault(path, set()).add(need.name)
    return Grant(
        grade=grade,
        release=release,
        entries=tuple(_entry(grade, path, by_path[path]) for path in sorted(by_path)),
        operations=tuple(operations),
        left_out=tuple(left_out),
        parts=tuple(parts),
        beyond=_find_beyond(grade, release, operations, set().union(*by_path.values())),
    )


def _grantable(
    candidates: Iterable[Operation], include: Iterable[Operation], release: str
) -> set[str]:
    """The privileges that are given for what they are needed for, or beside it."""
    asked = {need.name for operation in include for need in needs_of(operation, release)}
    needed = [
        (operation, need.name) for operation in candidates for need in needs_of(operation, release)
    ]
    return asked | {
        name
        for operation, name in needed
        if is_reading(name) or (operation.is_change and name not in BEYOND)
    }


def acl_paths(template: str, scope: Scope) -> tuple[str, ...]:
    """Where a privilege on a path template is given."""
    top = template.split("/")[1]
    if top in {"vms", "pool"} and scope.pools:
        return tuple(f"/pool/{pool}" for pool in scope.pools)
    if top == "storage" and scope.storages:
        return tuple(f"/storage/{name}" for name in scope.storages)
    if top == "sdn":
        return tuple(
            f"/sdn/zones/{name if '/' in name else f'localnetwork/{name}'}"
            for name in scope.bridges
        ) or ("/sdn/zones",)
    return (f"/{top}",)


def _entry(grade: Grade, path: str, names: Iterable[str]) -> Entry:
    kind = _KINDS[path.split("/")[1]]
    # On / itself and not below: else it would hold for accounts, nodes and guests, too.
    return Entry(path, f"{_ROLE_PREFIX}{grade.title()}{kind}", tuple(sorted(names)), path != "/")


def _find_beyond(
    grade: Grade, release: str, operations: Iterable[Operation], names: set[str]
) -> tuple[Operation, ...]:
    mine = {operation.id for operation in operations}
    return tuple(
        row
        for row in operations_up_to(Grade.DANGER)
        if row.id not in mine
        and is_higher(grade_of(row), grade)
        and all(need.when or names.intersection(need.names) for need in needs_of(row, release))
    )


def write_script(grant: Grant, subject: Subject) -> tuple[str, ...]:
    """The commands for root on a node, with comments; nothing secret is in them."""
    user, token = shlex.quote(subject.user), shlex.quote(subject.token_id)
    expiry = format_utc(subject.expires, "%Y-%m-%d %H:%M UTC")
    lines = [
        f"# A token of tier {grant.grade} for pveops, for PVE {grant.release}. Read it, then run "
        "it as root on one node.",
        *(f"# {remark}" for remark in list_remarks(grant)),
        "",
        "# Roles: exactly what the operations of the tier need.",
        _MAKE_ROLE,
    ]
    for role, privileges in _roles(grant).items():
        lines.append(f"role {role} {','.join(privileges)}")
    lines += [
        "",
        "# The user, who cannot log in without a password (never mind if it exists already),",
        f"# and its token, which expires on {expiry}.",
        f'pveum user add {user} --comment "for pveops"',
        f"pveum user token add {user} {subject.token} --privsep 1 --expire {subject.expires} "
        f'--comment "{grant.grade}"',
        "",
        "# What both may do: PVE gives the token what the user has, too, and nothing else.",
    ]
    for entry in grant.entries:
        lines.append(
            f"pveum acl modify {entry.path} --users {user} --tokens {token} "
            f"--roles {entry.role} --propagate {int(entry.propagates)}"
        )
    return (*lines, "", *_ending(subject))


def _ending(subject: Subject) -> tuple[str, ...]:
    day = format_utc(subject.expires, "%Y-%m-%d")
    return (
        "# The secret was shown once, by `user token add`. On the machine of pveops, this asks "
        "for it",
        "# without showing it; it belongs on no command line and in no conversation:",
        f"#   pve secrets add {shlex.quote(subject.token_id)} --expires {day}",
        "#   pve doctor",
    )


def _roles(grant: Grant) -> dict[str, tuple[str, ...]]:
    return {entry.role: entry.privileges for entry in grant.entries}


def list_remarks(grant: Grant) -> tuple[str, ...]:
    """What a person should know before running it."""
    remarks = []
    if grant.left_out:
        names = ", ".join(
            f"{each.operation.id} ({', '.join(each.privileges)})" for each in grant.left_out
        )
        remarks.append(f"Left out, add with --include: {names}")
    if grant.parts:
        names = ", ".join(f"{row.id}: {need.when} ({need.name})" for row, need in grant.parts)
        remarks.append(f"Done in part only, whole with --include: {names}")
    if grant.beyond:
        names = ", ".join(row.id for row in grant.beyond)
        remarks.append(f"PVE cannot keep apart, so that the policy alone holds them back: {names}")
    return tuple(remarks)
