"""Four grades of operations, each with those below it, and what each asks of PVE.

A grade is what a token is made for. It follows the tiers, but for two things: cutting power is
everyday work and making guests is not; and what reaches beyond guests (`BEYOND`) is in no grade,
since who holds one of these privileges is not held by any other.
"""

from __future__ import annotations

from enum import StrEnum

from pveops.operations.catalog import OPERATIONS
from pveops.operations.operation import Operation, Privilege, Tier
from pveops.operations.rows import power
from pveops.schema.privileges import privilege_in

BEYOND = frozenset(
    {
        "Datastore.Allocate",
        "Group.Allocate",
        "Mapping.Modify",
        "Permissions.Modify",
        "Realm.Allocate",
        "Realm.AllocateUser",
        "Sys.AccessNetwork",
        "Sys.Console",
        "Sys.Incoming",
        "Sys.Modify",
        "Sys.PowerMgmt",
        "User.Modify",
        "VM.GuestAgent.FileRead",
        "VM.GuestAgent.FileWrite",
        "VM.GuestAgent.Unrestricted",
        "VM.Monitor",
    }
)
"""Nodes, accounts, whole storages, and the inside of guests: no token gets them by its grade."""

_MAKING = frozenset({"VM.Allocate", "Pool.Allocate", "Datastore.AllocateTemplate"})
"""What makes guests, pools and files, which is no everyday work."""
_POWER = frozenset(row.id for row in power.ROWS)


class Grade(StrEnum):
    """What a token is for."""

    READ = "read"
    """Looks; holds no privilege that could change anything."""
    OPERATE = "operate"
    """Power, snapshots, backups, tags and notes."""
    BUILD = "build"
    """Makes, clones, configures, moves and restores guests, and puts them into the trash."""
    DANGER = "danger"
    """Destroys, rolls back, deletes backups and snapshots."""


_ORDER = tuple(Grade)


def grade_of(operation: Operation) -> Grade:
    """The lowest grade that has the operation."""
    if not operation.is_change:
        return Grade.READ
    if operation.tier >= Tier.IRREVERSIBLE:
        return Grade.DANGER
    makes = any(need.name in _MAKING for need in operation.privileges)
    is_everyday = operation.tier <= Tier.REVERSIBLE and not makes
    return Grade.OPERATE if is_everyday or operation.id in _POWER else Grade.BUILD


def is_higher(one: Grade, other: Grade) -> bool:
    """Whether a grade has what another has, and more."""
    return _ORDER.index(one) > _ORDER.index(other)


def operations_up_to(grade: Grade) -> tuple[Operation, ...]:
    """The operations of a grade and of those below it."""
    allowed = _ORDER[: _ORDER.index(grade) + 1]
    return tuple(row for row in OPERATIONS if grade_of(row) in allowed)


def needs_of(operation: Operation, release: str) -> tuple[Privilege, ...]:
    """What an operation asks for, by the paths and names of a release of PVE."""
    return tuple(_in_release(each, release) for each in operation.privileges)


def _in_release(need: Privilege, release: str) -> Privilege:
    path, name = privilege_in(need.path, need.name, release)
    instead = tuple(privilege_in(need.path, other, release)[1] for other in need.instead)
    return need._replace(path=path, name=name, instead=instead)


def is_reading(name: str) -> bool:
    """Whether a privilege lets its holder look, and nothing else."""
    return name.endswith(".Audit")
