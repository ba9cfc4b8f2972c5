"""What a token lacks for operations. Pure: permissions in, what is missing out."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from pveops.domain.access import Permissions
from pveops.operations.grade import needs_of
from pveops.operations.operation import Operation, Privilege

_VARIABLE = re.compile(r"\{(\w+)\}")

Places = Mapping[str, tuple[str, ...]]
"""What the variables of path templates stand for: `{"vmid": ("101",)}`. What is not named may be
anywhere."""


class Missing(NamedTuple):
    """One privilege that an operation lacks on one path."""

    operation: str
    path: str
    privileges: tuple[str, ...]
    """One of them is needed."""
    when: str
    """The part of the operation that it is needed for; empty: all of it."""

    def __str__(self) -> str:
        part = f" (for {self.when})" if self.when else ""
        return f"{' or '.join(self.privileges)} on {self.path}{part}"


class Access(NamedTuple):
    """What a token may do of one operation."""

    operation: Operation
    missing: tuple[Missing, ...]
    only: tuple[str, ...]
    """Where it holds, when it does not hold everywhere and nothing was named."""

    @property
    def is_refused(self) -> bool:
        """Whether PVE refuses all of it."""
        return any(not each.when for each in self.missing)


def check_operation(
    operation: Operation, release: str, permissions: Permissions, places: Places
) -> Access:
    """What an operation lacks at the places that are named, or anywhere."""
    missing: list[Missing] = []
    only: list[str] = []
    for need in needs_of(operation, release):
        for path in _fill(need.path, places):
            lacking, found = _look(need, path, permissions)
            if lacking:
                missing.append(Missing(operation.id, path, need.names, need.when))
            only += [each for each in found if each not in only]
    return Access(operation, tuple(dict.fromkeys(missing)), tuple(only))


def _look(need: Privilege, path: str, permissions: Permissions) -> tuple[bool, tuple[str, ...]]:
    """Whether it is lacking on the path; and where below it holds, when only somewhere."""
    if "{" not in path:
        return not any(permissions.allows(path, name) for name in need.names), ()
    top = path.partition("/{")[0]
    for name in need.names:
        found = permissions.allows_below(top, name)
        if found:
            return False, () if found == (top,) else found
    return True, ()


def _fill(template: str, places: Places) -> tuple[str, ...]:
    """The paths that a template stands for."""
    match = _VARIABLE.search(template)
    if match is None or match[1] not in places:
        return (template,)
    return tuple(
        path
        for value in places[match[1]]
        for path in _fill(template.replace(match[0], value, 1), places)
    )


def find_unneeded(
    operations: Iterable[Operation],
    release: str,
    permissions: Permissions,
    given: frozenset[str] | None = None,
) -> dict[str, tuple[str, ...]]:
    """Privileges that are held and that none of the operations needs, with their paths.

    given: what a token for them is given (`operations.grant`); what is needed beside that, it is
    meant to do without.
    """
    held = set().union(*permissions.by_path.values())
    needed = {
        name
        for operation in operations
        for need in needs_of(operation, release)
        if given is None or need.name in given
        # What does as well is not needed beside it.
        for name in (need.names if given is None or need.name not in held else (need.name,))
    }
    return {name: permissions.topmost(name) for name in sorted(held - needed)}
