"""`pve access grant-script`: the commands that make a token of least privilege."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import click

from pveops.cli.answer import Answer, Lines
from pveops.cli.call import Call
from pveops.cli.commands import Command
from pveops.errors import NotFoundError, PveopsError, UsageError

if TYPE_CHECKING:
    from pveops.operations.grant import Grant, Scope, Subject
    from pveops.operations.operation import Operation

_GRADES = ("read", "operate", "build", "danger")
_USER = re.compile(r"[^\s:/!@]{1,60}@[A-Za-z][A-Za-z0-9.\-_]+")
_NAMES = {
    "token": re.compile(r"[A-Za-z][A-Za-z0-9.\-_]+"),
    "pool": re.compile(r"[A-Za-z0-9.\-_]+(/[A-Za-z0-9.\-_]+){0,2}"),
    "storage": re.compile(r"[A-Za-z][A-Za-z0-9\-_.]*[A-Za-z0-9]"),
    "bridge": re.compile(r"[A-Za-z][A-Za-z0-9_.\-]*(/[A-Za-z][A-Za-z0-9_.\-]*)?"),
}
"""As PVE checks them (pve-access-control AccessControl.pm, pve-common JSONSchema.pm)."""
_EXPIRY = re.compile(r"([1-9]\d{0,5})(m|h|d)")
_SECONDS = {"m": 60, "h": 3600, "d": 86_400}
_DEFAULT_EXPIRY = {"danger": "1h"}
_LEAST_S = 900
_MOST_S = 366 * 86_400
_OLDEST = (8, 2)


@click.command(
    "grant-script",
    cls=Command,
    operation="access.grant-script",
    examples=(
        "pve access grant-script --tier operate --pool web --storage backups",
        "pve access grant-script --tier read --pve-version 9.2",
    ),
)
@click.option("--tier", "grade", type=click.Choice(_GRADES), required=True, help="What it is for.")
@click.option("--pool", "pools", multiple=True, help="Only guests of this pool (repeatable).")
@click.option("--storage", "storages", multiple=True, help="Only this storage (repeatable).")
@click.option(
    "--bridge", "bridges", multiple=True, help="Only this bridge, or zone/vnet (repeatable)."
)
@click.option("--user", default="agent@pve", show_default=True, metavar="USER@REALM")
@click.option("--token", default="", metavar="NAME", help="The token's name.  [the tier's]")
@click.option("--expire", default="", metavar="90d", help="When it expires.  [90d; danger: 1h]")
@click.option(
    "--include",
    multiple=True,
    metavar="OPERATION",
    help="This operation, too, whatever it needs (repeatable).",
)
@click.option("--pve-version", "release", default="", help="Without asking a cluster: 8.4, 9.2.")
@click.pass_obj
def command(
    call: Call,
    grade: str,
    pools: tuple[str, ...],
    storages: tuple[str, ...],
    bridges: tuple[str, ...],
    user: str,
    token: str,
    expire: str,
    include: tuple[str, ...],
    release: str,
) -> Answer:
    """Print the commands that make a token of least privilege; nothing is changed.

    A person reads them and runs them as root on one node. Roles hold exactly what the operations
    of the tier need; each tier has those below it: read looks; operate adds power, snapshots and
    backups; build makes, clones, configures and moves guests; danger destroys.
    """
    from pveops.operations.grade import Grade
    from pveops.operations.grant import Scope, decide_grant, write_script

    scope = Scope(pools, storages, bridges)
    _check_scope(scope)
    subject = _subject(call, grade, user, token, expire)
    asked = _operations(include)
    known = _known_release(release) if release else _ask_release(call, scope)
    grant = decide_grant(Grade(grade), known, scope, asked)
    script = write_script(grant, subject)
    # Half of a script is none.
    call.options.is_full = True
    # As text it is a script as a whole.
    mark = "" if call.options.as_json else "# "
    return Answer(
        f"{mark}a token of tier {grade} for {subject.token_id} on PVE {known}; nothing was "
        "changed. A person runs this as root on a node:",
        data=_data(grant, subject, script),
        blocks=(Lines(script),),
    )


def _data(grant: Grant, subject: Subject, script: tuple[str, ...]) -> dict[str, object]:
    return {
        "tier": grant.grade.value,
        "pve": grant.release,
        "token_id": subject.token_id,
        "expires": subject.expires,
        "entries": [
            {
                "path": each.path,
                "role": each.role,
                "privileges": list(each.privileges),
                "propagate": each.propagates,
            }
            for each in grant.entries
        ],
        "operations": [row.id for row in grant.operations],
        "left_out": {each.operation.id: list(each.privileges) for each in grant.left_out},
        "in_part": {row.id: [need.when, need.name] for row, need in grant.parts},
        "not_kept_apart_by_pve": [row.id for row in grant.beyond],
        "script": "\n".join(script),
    }


def _check_scope(scope: Scope) -> None:
    for kind, names in (
        ("pool", scope.pools),
        ("storage", scope.storages),
        ("bridge", scope.bridges),
    ):
        for name in names:
            _check_name(kind, name)


def _check_name(kind: str, name: str) -> None:
    if not _NAMES[kind].fullmatch(name):
        raise UsageError(
            f"{name!r} is no {kind}'s name", hint="letters, digits, ., - and _; no path, no list"
        )


def _subject(call: Call, grade: str, user: str, token: str, expire: str) -> Subject:
    from pveops.operations.grant import Subject

    if not _USER.fullmatch(user):
        raise UsageError(f"{user!r} is no user", hint="USER@REALM, such as agent@pve")
    if user == "root@pam":
        raise UsageError(
            "a token of root@pam is not held back by anything that this would print",
            hint="use a user of its own: --user agent@pve",
        )
    token = token or grade
    _check_name("token", token)
    expires = _seconds(expire or _DEFAULT_EXPIRY.get(grade, "90d"))
    return Subject(user, token, int(call.clock.now()) + expires)


def _seconds(text: str) -> int:
    match = _EXPIRY.fullmatch(text)
    seconds = int(match[1]) * _SECONDS[match[2]] if match else 0
    if not _LEAST_S <= seconds <= _MOST_S:
        raise UsageError(
            f"a token cannot be made for {text!r}",
            hint="from 15m to 366d, such as 90d or 12h; a token that never expires is made by "
            "nothing here",
        )
    return seconds


def _operations(ids: tuple[str, ...]) -> tuple[Operation, ...]:
    from pveops.operations.catalog import get_operation

    return tuple(get_operation(each) for each in ids)


def _known_release(text: str) -> str:
    """Refuse what is no release, or one whose privileges are not known here."""
    from pveops.schema.facts import version_key

    match = re.fullmatch(r"(\d{1,2}\.\d{1,2})(\.\d+)?(-\d+)?", text)
    if match is None:
        raise UsageError(f"{text!r} is no version of PVE", hint="such as 8.4 or 9.2")
    if version_key(text) < _OLDEST:
        raise UsageError(
            f"the privileges of PVE {text} are not known here", hint="8.2 and newer are"
        )
    return match[1]


def _ask_release(call: Call, scope: Scope) -> str:
    """The cluster's own version; with a look whether what is named exists."""
    try:
        reader = call.wiring.reader
        release = _known_release(reader.version().text)
    except PveopsError as error:
        if isinstance(error, UsageError):
            raise
        raise UsageError(
            f"no cluster tells its version: {error.message}",
            hint="name it: --pve-version 9.2 (`pveversion` on a node)",
            details=error.details,
        ) from error
    _refuse_unknown(call, scope)
    return release


def _refuse_unknown(call: Call, scope: Scope) -> None:
    """What this token would see if it existed, and does not, is a slip of the keyboard."""
    from pveops.domain.access import read_permissions_or_none
    from pveops.domain.rows import rows_of, text_of

    permissions = read_permissions_or_none(call.wiring.reader)
    for kind, names, path, privilege, key in (
        ("pool", scope.pools, "/pools", "Pool.Audit", "poolid"),
        ("storage", scope.storages, "/storage", "Datastore.Audit", "storage"),
    ):
        top = "/pool" if kind == "pool" else "/storage"
        if not names or permissions is None or not permissions.allows(top, privilege):
            continue
        there = {text_of(row, key) for row in rows_of(call.wiring.reader.get(path))}
        for name in names:
            if name not in there:
                raise NotFoundError(
                    f"there is no {kind} {name!r}", hint=f"there are: {', '.join(sorted(there))}"
                )
