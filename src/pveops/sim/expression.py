"""The permission expressions of the schema, evaluated for a call (RPCEnvironment.pm)."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from pveops.sim.handlers.permission import held
from pveops.sim.refusal import ApiError, permission_error

if TYPE_CHECKING:
    from pveops.schema import Method
    from pveops.sim.call import Call

_VARIABLE = re.compile(r"\{(\w[\w-]*)\}")


def check_permission(call: Call, method: Method) -> None:
    """Refuse with 403 unless the schema's expression holds for the caller."""
    permissions = method.permissions
    if permissions is None:
        if not call.identity.is_root:
            raise ApiError(403, "Permission check failed (user != root@pam)")
        return
    if "user" in permissions or "check" not in permissions:
        return
    if call.identity.is_root:
        return
    _evaluate(call, permissions["check"])


def _evaluate(call: Call, expression: list[Any]) -> None:
    _OPERATORS[expression[0]](call, expression)


def _perm(call: Call, expression: list[Any]) -> None:
    options = dict(zip(expression[3::2], expression[4::2], strict=False))
    required = options.get("require_param")
    if required and call.get(str(required)) is None:
        return
    path = _fill(call, expression[1])
    names = expression[2]
    found = held(call.cluster, call.identity, path)
    if options.get("any"):
        if not any(name in found for name in names):
            raise permission_error(path, "|".join(names))
        return
    for name in names:
        if name not in found:
            raise permission_error(path, name)


def _fill(call: Call, template: str) -> str:
    def value(match: re.Match[str]) -> str:
        given = call.get(match[1])
        if given is None and match[1] == "node":
            return call.node.name
        return str(given if given is not None else "")

    filled = _VARIABLE.sub(value, template)
    return re.sub(r"/+", "/", filled).rstrip("/") or "/"


def _and(call: Call, expression: list[Any]) -> None:
    for part in expression[1:]:
        _evaluate(call, part)


def _or(call: Call, expression: list[Any]) -> None:
    """The last alternative tells why nothing fits (RPCEnvironment.pm exec_api2_perm_check)."""
    parts = [part for part in expression[1:] if not _needs_absent(call, part)]
    for part in parts[:-1]:
        try:
            _evaluate(call, part)
        except ApiError:
            continue
        return
    if not parts:
        raise ApiError(403, "Permission check failed")
    _evaluate(call, parts[-1])


def _needs_absent(call: Call, part: list[Any]) -> bool:
    """An alternative that speaks of a parameter which was not given is none."""
    if part[0] != "perm":
        return False
    options = dict(zip(part[3::2], part[4::2], strict=False))
    required = options.get("require_param")
    return bool(required) and call.get(str(required)) is None


def _userid_param(call: Call, expression: list[Any]) -> None:
    userid = str(call.get("userid", ""))
    if expression[1] == "self":
        if call.identity.auth_id != userid:
            raise ApiError(403, "Permission check failed")
        return
    realm = userid.rpartition("@")[2]
    path = f"/access/realm/{realm}"
    if "Realm.AllocateUser" not in held(call.cluster, call.identity, path):
        raise permission_error(path, "Realm.AllocateUser")


def _userid_group(call: Call, expression: list[Any]) -> None:
    names = expression[1]
    options = dict(zip(expression[2::2], expression[3::2], strict=False))
    userid = str(call.get("userid", ""))
    if not options.get("groups_param"):
        for group in call.cluster.access.groups_of(userid):
            if any(
                n in held(call.cluster, call.identity, f"/access/groups/{group}") for n in names
            ):
                return
    else:
        for group in str(call.get("groups") or "").split(","):
            path = f"/access/groups/{group}" if group else "/access/groups"
            if not any(n in held(call.cluster, call.identity, path) for n in names):
                raise permission_error(path, "|".join(names))
        return
    if any(n in held(call.cluster, call.identity, "/access/groups") for n in names):
        return
    raise ApiError(403, "Permission check failed")


def _perm_modify(call: Call, expression: list[Any]) -> None:
    from pveops.sim.handlers.permission import check_modify

    check_modify(call, _fill(call, expression[1]))


_OPERATORS: dict[str, Callable[[Any, list[Any]], None]] = {
    "perm": _perm,
    "and": _and,
    "or": _or,
    "userid-param": _userid_param,
    "userid-group": _userid_group,
    "perm-modify": _perm_modify,
}
