"""Access control entries (pve-access-control API2/ACL.pm)."""

from __future__ import annotations

from typing import Any

from pveops.sim.access import Entry, is_acl_path, normalize_path, role_privileges
from pveops.sim.call import Call
from pveops.sim.config_file import lock_file
from pveops.sim.handlers.permission import check_modify, may
from pveops.sim.refusal import die, parameter_error
from pveops.sim.router import Routes, Waiting

routes = Routes()
_KINDS = {"user": "users", "group": "groups", "token": "tokens"}


@routes.get("/access/acl")
def list_entries(call: Call) -> list[dict[str, Any]]:
    """Every entry, or those on paths that the caller may change."""
    rows = []
    for entry, propagates in call.cluster.access.acl.items():
        sees_all = may(call, "/access", "Sys.Audit", "Permissions.Modify")
        if sees_all or may(call, entry.path, "Permissions.Modify"):
            rows.append(
                {
                    "path": entry.path,
                    "type": entry.kind,
                    "ugid": entry.ugid,
                    "roleid": entry.role,
                    "propagate": int(propagates),
                }
            )
    return rows


@routes.put("/access/acl")
def change_entries(call: Call) -> Waiting:
    """Add or delete entries: every subject gets every role on the path."""
    path = _checked_path(call)
    subjects = _subjects(call)
    if not subjects:
        text = "either 'users', 'groups' or 'tokens' is required."
        raise parameter_error(dict.fromkeys(_KINDS.values(), text))
    check_modify(call, path)
    yield from lock_file(call.node, "user.cfg", "ACL update failed")
    access = call.cluster.access
    for role in str(call.params["roles"]).split(","):
        if role_privileges(call.cluster, role) is None:
            raise die(f"ACL update failed: role '{role}' does not exist")
        for kind, ugid in subjects:
            _check_exists(call, kind, ugid)
            entry = Entry(path, kind, ugid, role)
            if call.get("delete"):
                access.acl.pop(entry, None)
            else:
                access.acl[entry] = bool(call.get("propagate", 1))


def _checked_path(call: Call) -> str:
    given = str(call.params["path"])
    path = normalize_path(given)
    if path is None or (not call.get("delete") and not is_acl_path(path)):
        raise parameter_error({"path": f"invalid ACL path '{given}'"})
    return path


def _subjects(call: Call) -> list[tuple[str, str]]:
    return [
        (kind, name)
        for kind, param in _KINDS.items()
        for name in str(call.get(param) or "").replace(";", ",").split(",")
        if name
    ]


def _check_exists(call: Call, kind: str, ugid: str) -> None:
    access = call.cluster.access
    if call.get("delete"):
        return
    if kind == "user" and ugid not in access.users:
        raise die(f"ACL update failed: user '{ugid}' does not exist")
    if kind == "group" and ugid not in access.groups:
        raise die(f"ACL update failed: group '{ugid}' does not exist")
    if kind == "token":
        userid, _, name = ugid.partition("!")
        user = access.users.get(userid)
        if user is None or name not in user.tokens:
            raise die(f"ACL update failed: no such token '{name}' for user '{userid}'")
