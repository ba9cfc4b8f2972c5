"""What real servers said about parameters, and what the schema's facts say about them.

The exchanges are described in data/exchanges/README.md beside the repository.
"""

from __future__ import annotations

import json
import lzma
import re
from collections.abc import Iterator
from typing import Any, NamedTuple
from urllib.parse import unquote_plus

import pytest

from pveops.schema import Facts, Match, check_parameters
from tests.unit.schema.shared import find_or_skip

RECORDINGS = {"9.2.11": "9.2", "8.4.21": "8.4"}
SHARE = 0.99

SCHEMA_TEXT = re.compile(
    r"property is |type check \(|value must |value may |value does not match the regex"
    r"|value '.*' does not have a value in|invalid format - |missing property"
)
"""What PVE's generic check says; the other texts come from the handlers of single methods."""

NOT_BY_SCHEMA = {
    "fw rule create bad port": "the firewall's own check words it like the generic one",
    "param in URI and form conflicting": "refused before the schema is looked at",
    "no Content-Length on POST with body": "the body was not read",
    "vm config bad node name": "the node is looked up before parameters are checked",
}


class Recorded(NamedTuple):
    name: str
    match: Match
    params: dict[str, Any]
    errors: dict[str, str]
    """What the generic check said."""


def load(release: str) -> Iterator[dict[str, Any]]:
    path = find_or_skip("data", "exchanges", f"pve-{release}.visible.jsonl.xz")
    with lzma.open(path, "rt", encoding="utf-8") as lines:
        for line in lines:
            record = json.loads(line)
            if record["response"] and record["response"]["status"] is not None:
                yield record


def below_root(path: str) -> str | None:
    found = re.match(r"/api2/(?:json|extjs)(/.*)", path)
    return found[1] if found else None


def status_of(answer: dict[str, Any]) -> int:
    """The status of an answer; /extjs has it in the body."""
    body = answer.get("body")
    if isinstance(body, dict) and body.get("success") == 0:
        return int(body["status"])
    return int(answer["status"])


def params_of(request: dict[str, Any]) -> dict[str, Any]:
    """The parameters of a request, as the server reads them."""
    pairs = [(name, str(value)) for name, value in request["query"] or []]
    form = request["form"]
    if isinstance(form, str):
        parts = [part.partition("=") for part in re.split("[&;]", form) if "=" in part]
        pairs += [(unquote_plus(name), unquote_plus(value)) for name, _, value in parts]
    elif form:
        for name, value in form.items():
            values = value if isinstance(value, list) else [value]
            pairs += [(name, str(each)) for each in values]
    params: dict[str, Any] = {}
    for name, value in pairs:
        earlier = params.get(name)
        params[name] = value if earlier is None else [*_as_list(earlier), value]
    if isinstance(request["json"], dict):
        params |= {name: value for name, value in request["json"].items() if value is not None}
    params.pop("_dc", None)
    return params


def _as_list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def cases(release: str) -> Iterator[Recorded]:
    """Exchanges that came as far as the check, and whose parameters are known in full."""
    facts = Facts.open(RECORDINGS[release])
    for record in load(release):
        request, answer = record["request"], record["response"]
        path = below_root(request["path"])
        match = facts.resolve(request["method"], path) if path else None
        status = status_of(answer)
        if match is None or not (200 <= status < 300 or status in {400, 500}):
            continue
        if record["name"] in NOT_BY_SCHEMA or request["raw_body"] is not None:
            continue
        if "multipart" in (request["content_type"] or ""):
            continue
        body = answer.get("body")
        errors = (body.get("errors") or {}) if isinstance(body, dict) else {}
        said = {name: text for name, text in errors.items() if SCHEMA_TEXT.match(text)}
        params = params_of(request)
        is_masked = any(str(params.get(name, "")).startswith("<") for name in said)
        if not is_masked:
            yield Recorded(record["name"], match, {**params, **match.path_params}, said)


@pytest.mark.parametrize("release", RECORDINGS)
def test_parameters_are_judged_as_real_servers_judged_them(release):
    """Refused for the same parameters in the same words, and let through where they were."""
    known = list(cases(release))
    wrong = {}
    for case in known:
        found = check_parameters(case.match.method, case.params, RECORDINGS[release])
        if found != case.errors:
            wrong[case.name] = (found, case.errors)
    assert len(known) > 500
    assert sum(1 for case in known if case.errors) > 40
    assert 1 - len(wrong) / len(known) >= SHARE, wrong


@pytest.mark.parametrize("release", RECORDINGS)
def test_every_recorded_refusal_by_the_schema_is_foreseen_but_of_privileges(release):
    """A newer server may know privileges that are not known here, so any name is let through."""
    missed = {
        case.name
        for case in cases(release)
        if case.errors
        and check_parameters(case.match.method, case.params, RECORDINGS[release]) != case.errors
    }
    assert missed <= {"role create bad priv"}


@pytest.mark.parametrize("release", RECORDINGS)
def test_what_a_server_has_not_implemented_does_not_resolve(release):
    facts = Facts.open(RECORDINGS[release])
    asked = 0
    for record in load(release):
        request, answer = record["request"], record["response"]
        path = below_root(request["path"])
        if path is None or request["method"] not in {"GET", "POST", "PUT", "DELETE"}:
            continue
        if re.fullmatch(r"Method '.*' not implemented", answer["reason"] or ""):
            asked += 1
            assert facts.resolve(request["method"], path) is None, record["name"]
        elif 200 <= status_of(answer) < 300:
            assert facts.resolve(request["method"], path) is not None, record["name"]
    assert asked > 3
