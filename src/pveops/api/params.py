"""Calls are checked against the schema's facts before they are sent.

The server checks again, and knows more; what is found here costs no request and comes with a
suggestion. The facts may be older than the server: a read that they do not know is let through
with a warning, a write is not.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pveops.api.client import Params
from pveops.errors import NotImplementedByServerError, ParameterError
from pveops.schema import Facts, Match, Method, check_parameters, did_you_mean
from pveops.schema.check import find_parameter

_UNKNOWN = "is not a parameter of this call"


def check_call(
    facts: Facts, method: str, path: str, params: Params | None = None
) -> tuple[str, ...]:
    """What is doubtful about a call, as remarks; nothing for most.

    path: below the API's root, percent-encoded. params: as `Client.get` takes them.

    Raises NotImplementedByServerError for a write that the release does not have, and
    ParameterError, its `details["errors"]` by name, for parameters that are malformed, missing,
    or unknown to a write.
    """
    match = facts.resolve(method, path)
    if match is None:
        return _unknown_method(facts, method, path)
    given = {
        name: list(value) if isinstance(value, tuple) else value
        for name, value in (params or {}).items()
        if value is not None
    }
    unknown = [name for name in given if _is_unknown(match.method, name)]
    known = {name: value for name, value in given.items() if name not in unknown}
    errors = _wrong(facts, match, known)
    remarks = {name: _describe_unknown(match.method, name) for name in unknown}
    if method != "GET":
        errors |= remarks
    if errors:
        raise ParameterError(
            "; ".join(f"{name}: {text}" for name, text in sorted(errors.items())),
            hint=f"`pve api usage {match.template}` shows what PVE {facts.version} takes",
            details={"errors": errors, "request": f"{method} {path}"},
        )
    return tuple(
        f"{name} {text} in PVE {facts.version}; sent as it is" for name, text in remarks.items()
    )


def _wrong(facts: Facts, match: Match, params: Mapping[str, Any]) -> dict[str, str]:
    """The errors of known parameters. The path's own count, and may not be given twice."""
    errors = check_parameters(match.method, {**params, **match.path_params}, facts.version)
    for name, value in match.path_params.items():
        if name in params and str(params[name]) != value:
            errors[name] = f"the path says {value!r} already"
    return {name: text.strip() for name, text in errors.items()}


def _is_unknown(method: Method, name: str) -> bool:
    return not method.has_more_parameters and find_parameter(method, name) is None


def _describe_unknown(method: Method, name: str) -> str:
    near = did_you_mean(name, method)
    return f"{_UNKNOWN}; did you mean {near}?" if near else _UNKNOWN


def _unknown_method(facts: Facts, method: str, path: str) -> tuple[str, ...]:
    found = facts.find_template(path)
    if found is not None and facts.methods_at(found[0]):
        hint = f"there are {', '.join(facts.methods_at(found[0]))} at {found[0]}"
    else:
        near = facts.suggest_paths(path)
        hint = f"did you mean {near[0]}?" if near else "`pve api ls` shows the paths"
    what = f"PVE {facts.version} has no {method} {path}"
    if method == "GET":
        return (f"{what} as far as is known here ({hint}); sent as it is",)
    raise NotImplementedByServerError(
        what, hint=hint, details={"request": f"{method} {path}", "sent": False}
    )
