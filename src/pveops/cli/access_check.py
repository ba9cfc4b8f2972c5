"""`pve access check`: what the token lacks for operations, and what it has beyond them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from pveops.cli.answer import Answer, Column, Lines, Listing
from pveops.cli.call import Call
from pveops.cli.cells import count_of
from pveops.cli.commands import Command, list_options
from pveops.errors import AccessError, PermissionDeniedError, UsageError

if TYPE_CHECKING:
    from pveops.domain.access import Permissions
    from pveops.domain.guest import Guest
    from pveops.operations.access_check import Access, Missing, Places
    from pveops.operations.operation import Operation

_GRADES = ("read", "operate", "build", "danger")
_COLUMNS = (
    Column("operation"),
    Column("verdict"),
    Column("missing", is_sparse=True),
    Column("only", label="holds only on", is_sparse=True),
)
_FIELDS = ("operation", "tier", "verdict", "missing", "only")


@click.command(
    "check",
    cls=Command,
    operation="access.check",
    examples=(
        "pve access check guest.stop web01",
        "pve access check --tier operate",
    ),
)
@click.argument("words", nargs=-1, metavar="[OPERATION...] [GUEST...]")
@click.option("--tier", "grade", type=click.Choice(_GRADES), help="All operations of the tier.")
@click.option("--storage", default="", help="On this storage.")
@click.option("--pool", default="", help="In this pool, for guests that do not exist yet.")
@list_options
@click.pass_obj
def command(
    call: Call, words: tuple[str, ...], grade: str | None, storage: str, pool: str
) -> Answer:
    """Compare what the token has with what operations need; nothing is changed.

    Names the privilege and the path that each refused operation lacks. Without operations, all
    of them are looked at, and what the token has beyond need is told, as with --tier, with the
    commands that take it away. Exit 6 when one that was named, or one of the tier, is refused.
    """
    from pveops.domain.access import read_permissions
    from pveops.operations.access_check import check_operation, find_unneeded

    reader = call.wiring.reader
    operations, names = _choose(words, grade)
    nodes = _nodes(call, operations, names)
    guests = () if nodes else _guests(call, names)
    release = reader.version().text
    permissions = read_permissions(reader, [f"/vms/{guest.vmid}" for guest in guests])
    if permissions.is_empty:
        raise AccessError(
            "the token has no privileges at all; PVE gives it empty lists, not errors",
            hint="give the token itself entries: `pve access grant-script --tier read`",
        )
    places = _places(guests, nodes, storage, pool)
    found = [check_operation(each, release, permissions, places) for each in operations]
    # Everything else that a token is for would be beyond the need of one operation.
    is_named = _has_operations(words)
    given, spared = _of_tier(grade, release)
    unneeded = {} if is_named else find_unneeded(operations, release, permissions, given)
    shrink = _shrink(call, permissions, frozenset(unneeded)) if unneeded else ()
    shows_all = is_named or call.options.is_full
    rows = [each for each in found if shows_all or each.missing]
    answer = _answer(found, rows, spared, unneeded, shrink)
    return _refuse(answer, found, spared) if grade or is_named else answer


def _of_tier(grade: str | None, release: str) -> tuple[frozenset[str] | None, frozenset[str]]:
    """What a token of the tier is given, and what it is not meant to do: both as it is made."""
    from pveops.operations.grade import Grade
    from pveops.operations.grant import decide_grant

    if grade is None:
        return None, frozenset()
    grant = decide_grant(Grade(grade), release)
    given = frozenset(name for entry in grant.entries for name in entry.privileges)
    return given, frozenset(row.operation.id for row in grant.left_out)


def _has_operations(words: tuple[str, ...]) -> bool:
    return any(_find_operation(word) is not None for word in words)


def _find_operation(word: str) -> Operation | None:
    from pveops.operations.catalog import OPERATIONS

    return next((row for row in OPERATIONS if row.id == word), None)


def _choose(
    words: tuple[str, ...], grade: str | None
) -> tuple[tuple[Operation, ...], tuple[str, ...]]:
    """The operations, and what is left: names of guests. Raises UsageError for a slip."""
    from pveops.operations.catalog import OPERATIONS, get_operation
    from pveops.operations.grade import Grade, operations_up_to

    nouns = {row.id.partition(".")[0] for row in OPERATIONS}
    found, names = [], []
    for word in words:
        row = _find_operation(word)
        if row is None and "." in word and word.partition(".")[0] in nouns:
            row = get_operation(word)
        if row is None:
            names.append(word)
        else:
            found.append(row)
    if found and grade:
        raise UsageError("name operations or a tier, not both")
    if grade:
        found = list(operations_up_to(Grade(grade)))
    return tuple(found) or OPERATIONS, tuple(names)


def _guests(call: Call, names: tuple[str, ...]) -> tuple[Guest, ...]:
    if not names:
        return ()
    from pveops.domain.inventory import read_inventory
    from pveops.domain.selection import resolve_guest

    inventory = read_inventory(call.wiring.reader)
    return tuple(resolve_guest(inventory, name) for name in names)


def _nodes(
    call: Call, operations: tuple[Operation, ...], names: tuple[str, ...]
) -> tuple[str, ...]:
    """The names, where the operations are asked of nodes."""
    from pveops.operations.operation import Targets

    if not names or any(row.targets is not Targets.NODE for row in operations):
        return ()
    from pveops.domain.inventory import read_inventory

    inventory = read_inventory(call.wiring.reader)
    return tuple(inventory.get_node(name).name for name in names)


def _places(guests: tuple[Guest, ...], nodes: tuple[str, ...], storage: str, pool: str) -> Places:
    places: dict[str, tuple[str, ...]] = {}
    if nodes:
        places["node"] = nodes
    if guests:
        places["vmid"] = tuple(str(guest.vmid) for guest in guests)
        places["node"] = tuple(sorted({guest.node for guest in guests}))
    if storage:
        places["storage"] = (storage,)
    if pool:
        places["pool"] = (pool,)
    return places


def _answer(
    found: list[Access],
    rows: list[Access],
    spared: frozenset[str],
    unneeded: dict[str, tuple[str, ...]],
    shrink: tuple[str, ...],
) -> Answer:
    refused = [each for each in found if each.is_refused and each.operation.id not in spared]
    out = [each for each in found if each.is_refused and each.operation.id in spared]
    allowed = len(found) - len(refused) - len(out)
    verdict = f"{allowed} of {count_of(len(found), 'operation')} allowed"
    in_part = sum(bool(each.missing) and not each.is_refused for each in found)
    if in_part:
        verdict += f", {in_part} of them in part"
    if out:
        verdict += f"; {len(out)} left out of the tier"
    if unneeded:
        verdict += f"; {count_of(len(unneeded), 'privilege')} beyond need"
    ordered = sorted(rows, key=lambda each: (not each.is_refused, not each.missing))
    return Answer(
        verdict,
        blocks=(
            Listing(ordered, lambda each: _item(each, spared), _FIELDS, _COLUMNS),
            *_excess_block(unneeded, shrink),
        ),
        beside={
            "operations": len(found),
            "refused": len(refused),
            "left_out": len(out),
            "unneeded": {name: list(paths) for name, paths in unneeded.items()},
            "shrink": list(shrink),
        },
        next=(_grant_command(refused),) if refused else (),
    )


def _item(access: Access, spared: frozenset[str]) -> dict[str, Any]:
    no = "left out" if access.operation.id in spared else "refused"
    state = no if access.is_refused else "in part" if access.missing else "allowed"
    return {
        "operation": access.operation.id,
        "tier": access.operation.tier,
        "verdict": state,
        "missing": _describe(access.missing),
        "only": ", ".join(access.only),
    }


def _describe(missing: tuple[Missing, ...]) -> str:
    """What is missing, once a path."""
    by_place: dict[tuple[str, str], list[str]] = {}
    for each in missing:
        names = by_place.setdefault((each.path, each.when), [])
        names.append(" or ".join(each.privileges))
    return "; ".join(
        f"{', '.join(names)} on {path}" + (f" (for {when})" if when else "")
        for (path, when), names in by_place.items()
    )


def _grant_command(refused: list[Access]) -> str:
    """What gives what is missing: the lowest tier that has all of it."""
    from pveops.operations.grade import BEYOND, Grade, grade_of

    order = list(Grade)
    grade = max((grade_of(each.operation) for each in refused), key=order.index)
    asked = [
        each.operation.id
        for each in refused
        if any(BEYOND.intersection(one.privileges) and not one.when for one in each.missing)
    ]
    words = "".join(f" --include {name}" for name in asked) if len(asked) == 1 else ""
    more = " --include ..." if len(asked) > 1 else ""
    return f"pve access grant-script --tier {grade}{words}{more}"


def _refuse(answer: Answer, found: list[Access], spared: frozenset[str]) -> Answer:
    """As an error, where something that was asked about is refused."""
    refused = [each for each in found if each.is_refused and each.operation.id not in spared]
    if not refused:
        return answer
    first = next(each for each in refused[0].missing if not each.when)
    error = {
        "code": PermissionDeniedError.code,
        "message": f"{first.operation}: {first} is missing",
        "hint": answer.next[0],
        "retry": PermissionDeniedError.retry.value,
        "details": {"path": first.path, "privileges": list(first.privileges)},
    }
    return answer._replace(code=PermissionDeniedError.exit_code, error=error)


def _shrink(call: Call, permissions: Permissions, drop: frozenset[str]) -> tuple[str, ...]:
    from pveops.domain.access import read_access_tree
    from pveops.operations.over_privilege import shrink_commands

    tree = read_access_tree(call.wiring.reader)
    return shrink_commands(call.wiring.connection.auth_id, permissions, tree, drop)


def _excess_block(
    unneeded: dict[str, tuple[str, ...]], commands: tuple[str, ...]
) -> tuple[Lines, ...]:
    if not unneeded:
        return ()
    held = [f"  {name} on {', '.join(paths)}" for name, paths in unneeded.items()]
    return (
        Lines(
            (
                "beyond what these operations need:",
                *held,
                "to take it away, as root on a node:",
                *(f"  {command}" for command in commands),
            )
        ),
    )
