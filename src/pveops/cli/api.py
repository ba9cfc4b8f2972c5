"""`pve api`: any path of the API, for reading."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from pveops.cli.answer import Answer, Column, Facts, Lines, Listing
from pveops.cli.call import Call
from pveops.cli.commands import Group, list_options
from pveops.errors import (
    NotFoundError,
    NotImplementedByServerError,
    PolicyRefusedError,
    UsageError,
)
from pveops.redact import mask_lines

if TYPE_CHECKING:
    from pveops.schema import Facts as ApiFacts
    from pveops.schema import Method

group = Group("api", help="Any path of the API, for reading; and what the API has to offer.")

_LINK_KEYS = ("name", "subdir", "id", "vmid", "node", "storage", "realmid", "userid", "upid")
_CELL_CHARS = 60
_MAX_COLUMNS = 8
_FRAME_CHARS = 16_000
_FREE_TEXTS = frozenset({"description", "comment", "notes", "msg", "t", "text", "error"})
"""Members that others write as they like: in a list only when they are named by --fields."""


@group.command(
    "get",
    operation="api.get",
    examples=("pve api get /nodes/pve1/tasks limit=5 --fields upid,status",),
)
@click.argument("path")
@click.argument("params", nargs=-1, metavar="[NAME=VALUE]...")
@list_options
@click.pass_obj
def get(call: Call, path: str, params: tuple[str, ...]) -> Answer:
    """Read PATH, as PVE answers it; secrets are masked.

    What reads inside guests or backups, or has a node connect elsewhere, is for a person.
    """
    place, given = _path(path), _parameters(params)
    _refuse_reach(call, place)
    remarks: tuple[str, ...] = ()
    if given:
        from pveops.api.params import check_call

        remarks = check_call(call.wiring.api_facts(), "GET", place, given)
    try:
        data = call.wiring.reader.get_answer(place, given).data
    except NotImplementedByServerError as error:
        raise _no_such_path(call.wiring.api_facts(), place) from error
    answer = answer_of_data(place, data)._replace(has_free_text=_has_free_text(data))
    notes = Lines(tuple(f"note: {remark}" for remark in remarks))
    return answer._replace(blocks=(notes, *answer.blocks)) if remarks else answer


def _refuse_reach(call: Call, place: str) -> None:
    """Raises PolicyRefusedError where reading does more than look, and no person asks."""
    from pveops.operations.raw_read import find_reach

    what = "" if call.is_person else find_reach(place)
    if what:
        raise PolicyRefusedError(
            f"{place} {what}: that is for a person at a terminal",
            hint="inside guests: pve guest exec, with what the policy lists; else ask your human",
            details={"path": place},
        )


def answer_of_data(path: str, data: Any) -> Answer:
    """Whatever PVE answered, in the shape that fits it."""
    if isinstance(data, list) and data and all(isinstance(row, dict) for row in data):
        return _rows(path, data)
    if isinstance(data, list):
        return Answer(f"{path}: {len(data)} entries", data=data, blocks=(_framed(data, path),))
    if isinstance(data, dict):
        return Answer(f"{path}: {len(data)} members", data=data, blocks=(_framed(data, path),))
    if isinstance(data, str):
        data = mask_lines(data)
    return Answer(f"{path}: {_scalar(data)}", data=data)


def _rows(path: str, rows: list[dict[str, Any]]) -> Answer:
    from pveops.cli.jsonout import clean_data

    fields = tuple(dict.fromkeys(key for row in rows for key in row))
    shown = [
        name
        for name in fields
        if name not in _FREE_TEXTS and not any(_is_long(row.get(name)) for row in rows)
    ]
    columns = tuple(Column(name, is_sparse=True) for name in shown[:_MAX_COLUMNS])
    left = [name for name in fields if name not in shown[:_MAX_COLUMNS]]
    note = f"; not shown: {', '.join(left)} (--fields, --json)" if left else ""
    listing = Listing(rows, clean_data, fields, columns)
    return Answer(f"{path}: {len(rows)} rows{note}", blocks=(listing,))


def _has_free_text(data: Any) -> bool:
    rows = data if isinstance(data, list) else [data]
    return any(isinstance(row, dict) and any(map(row.get, _FREE_TEXTS)) for row in rows)


def _is_long(value: Any) -> bool:
    return isinstance(value, dict | list) or len(str(value)) > _CELL_CHARS


def _framed(data: Any, path: str) -> Lines:
    """Members as lines. They may hold what others wrote, so they are quoted as such."""
    from pveops.cli.jsonout import clean_data
    from pveops.sanitize import frame_untrusted

    clean = clean_data(data)
    pairs = clean.items() if isinstance(clean, dict) else enumerate(clean)
    text = "\n".join(f"{name}: {_scalar(value)}" for name, value in pairs)
    return Lines(tuple(frame_untrusted(text, path, limit=_FRAME_CHARS).split("\n")))


def _scalar(value: Any) -> str:
    if isinstance(value, str):
        return " ".join(value.split())
    import json

    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def _path(text: str) -> str:
    path = "/" + text.strip().strip("/")
    if "?" in path or "#" in path:
        raise UsageError("parameters stand behind the path as NAME=VALUE, not in it")
    return path


def _parameters(pairs: tuple[str, ...]) -> dict[str, Any]:
    """`a=1 b=2`; a name that repeats becomes an array."""
    found: dict[str, Any] = {}
    for pair in pairs:
        name, separator, value = pair.partition("=")
        if not separator or not name:
            raise UsageError(f"{pair!r} is no parameter", hint="write NAME=VALUE")
        if name in found:
            before = found[name] if isinstance(found[name], list) else [found[name]]
            found[name] = [*before, value]
        else:
            found[name] = value
    return found


@group.command("ls", operation="api.ls")
@click.argument("path", default="/")
@list_options
@click.pass_obj
def ls(call: Call, path: str) -> Answer:
    """List what is below PATH: what PVE has there now, and what the schema knows.

    PATH may have placeholders (`/nodes/{node}`); then only the schema is asked.
    """
    place = _path(path)
    facts = call.wiring.api_facts()
    below = facts.children(place)
    names = [name for name in below if not name.startswith("{")]
    variable = next((name for name in below if name.startswith("{")), "")
    rows = [
        {"name": name, "methods": _methods(facts, f"{place.rstrip('/')}/{name}")} for name in names
    ]
    if variable and "{" not in place:
        rows += _instances(call, place, variable, set(names), facts)
    elif variable:
        rows.append({"name": variable, "methods": _methods(facts, f"{place}/{variable}")})
    own = _methods(facts, place)
    if not rows and not own:
        raise _no_such_path(facts, place)
    columns = (Column("name"), Column("methods", is_sparse=True))
    verdict = f"{place}: {len(rows)} entries below it; methods here: {own or 'none'}"
    return Answer(verdict, blocks=(Listing(rows, dict, ("name", "methods"), columns),))


def _instances(
    call: Call, place: str, variable: str, known: set[str], facts: ApiFacts
) -> list[dict[str, Any]]:
    from pveops.domain.rows import rows_of, text_of

    methods = _methods(facts, f"{place.rstrip('/')}/{variable}")
    key = variable.strip("{}")
    found = []
    for row in rows_of(call.wiring.reader.get(place)):
        name = next((text_of(row, each) for each in (key, *_LINK_KEYS) if row.get(each)), "")
        if name and name not in known:
            found.append({"name": name, "methods": methods})
    return found


def _methods(facts: ApiFacts, path: str) -> str:
    found = facts.find_template(path)
    template = found[0] if found else path
    return " ".join(facts.methods_at(template))


@group.command(
    "usage", operation="api.usage", examples=("pve api usage /nodes/pve1/qemu/101/status/stop",)
)
@click.argument("path")
@click.option("--method", type=click.Choice(["GET", "POST", "PUT", "DELETE"]), help="Only this.")
@click.option("--release", help="Of this release (`8.4`), without asking the cluster.")
@click.pass_obj
def usage(call: Call, path: str, method: str | None, release: str | None) -> Answer:
    """Show the methods of PATH with their parameters and privileges."""
    place = _path(path)
    if release:
        from pveops.schema import Facts as KnownFacts

        facts = KnownFacts.open(release)
    else:
        facts = call.wiring.api_facts()
    template = _template(facts, place)
    names = [name for name in facts.methods_at(template) if method in (None, name)]
    methods = [found for name in names if (found := facts.method(name, template)) is not None]
    blocks = tuple(
        Facts(_parameter_lines(each), f"{each.method} {template}{_task(each)}") for each in methods
    )
    data = {
        "template": template,
        "release": facts.version,
        "methods": [each._asdict() for each in methods],
    }
    return Answer(
        f"{template} in PVE {facts.version}: {', '.join(names)}", data=data, blocks=blocks
    )


def _template(facts: ApiFacts, place: str) -> str:
    if facts.methods_at(place):
        return place
    found = facts.find_template(place)
    if found is None:
        raise _no_such_path(facts, place)
    return found[0]


def _no_such_path(facts: ApiFacts, place: str) -> NotFoundError:
    near = facts.suggest_paths(place)
    hint = f"did you mean {' or '.join(near)}?" if near else "pve api ls /"
    return NotFoundError(f"PVE {facts.version} has no path {place}", hint=hint)


def _task(method: Method) -> str:
    return " (starts a task)" if method.task else ""


def _parameter_lines(method: Method) -> tuple[tuple[str, str], ...]:
    import json

    access = "root@pam only" if method.is_for_root_only else json.dumps(method.permissions)
    lines = [("  access", access)]
    ordered = sorted(
        method.parameters.items(), key=lambda pair: (bool(pair[1].get("optional")), pair[0])
    )
    for name, schema in ordered:
        lines.append((f"  {name}", _parameter(schema)))
    return tuple(lines)


def _parameter(schema: dict[str, Any]) -> str:
    words = [str(schema.get("type", "string"))]
    if schema.get("enum"):
        words.append("one of " + "|".join(map(str, schema["enum"])))
    low, high = schema.get("minimum"), schema.get("maximum")
    if low is not None or high is not None:
        words.append(f"{'' if low is None else low}..{'' if high is None else high}")
    if "default" in schema:
        words.append(f"default {schema['default']}")
    words.append("optional" if schema.get("optional") else "REQUIRED")
    return ", ".join(words)
