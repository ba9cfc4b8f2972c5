"""Users, their tokens, groups and roles (pve-access-control API2/User.pm, Group.pm, Role.pm)."""

from __future__ import annotations

import uuid
from typing import Any

from pveops.sim.access import Group, Token, User
from pveops.sim.call import Call
from pveops.sim.config_file import lock_file
from pveops.sim.handlers.permission import may
from pveops.sim.refusal import ApiError, die, parameter_error
from pveops.sim.roles import all_privileges, builtin_roles
from pveops.sim.router import Routes, Waiting

routes = Routes()
_USER = "/access/users/{userid}"
_TOKEN = "/access/users/{userid}/token/{tokenid}"  # noqa: S105
_DETAILS = ("comment", "email", "firstname", "lastname", "keys")


def _locked(call: Call, failure: str) -> Waiting:
    yield from lock_file(call.node, "user.cfg", failure)


def _failing(prefix: str, error: ApiError) -> ApiError:
    return ApiError(error.status, f"{prefix}: {error.message}", error.errors)


# -- users -------------------------------------------------------------------------


@routes.get("/access/users")
def list_users(call: Call) -> list[dict[str, Any]]:
    """Those whom the caller may see; everybody sees themselves."""
    wanted = call.get("enabled")
    return [
        _user_row(call, user)
        for user in call.cluster.access.users.values()
        if _may_see(call, user.userid) and (wanted is None or bool(wanted) == user.is_enabled)
    ]


def _may_see(call: Call, userid: str) -> bool:
    privileges = ("User.Modify", "Sys.Audit")
    groups = call.cluster.access.groups_of(userid)
    return (
        userid == call.identity.user
        or may(call, "/access/groups", *privileges)
        or any(may(call, f"/access/groups/{group}", *privileges) for group in groups)
    )


def _user_row(call: Call, user: User) -> dict[str, Any]:
    row: dict[str, Any] = {
        "userid": user.userid,
        "enable": int(user.is_enabled),
        "expire": user.expire,
        **user.details,
    }
    realm = call.cluster.access.domains.get(user.userid.rpartition("@")[2])
    if realm is not None:
        row["realm-type"] = realm["type"]
    if call.cluster.access.factors.of(user.userid).is_totp_locked:
        row["totp-locked"] = 1
    if call.get("full"):
        row["groups"] = ",".join(sorted(call.cluster.access.groups_of(user.userid)))
        row["tokens"] = [
            {"tokenid": name, **token_row(token)} for name, token in user.tokens.items()
        ]
    return row


@routes.get(_USER)
def get_user(call: Call) -> dict[str, Any]:
    """One user, with groups and tokens."""
    user = call.cluster.access.user(str(call.params["userid"]))
    return {
        "enable": int(user.is_enabled),
        "expire": user.expire,
        **user.details,
        "groups": sorted(call.cluster.access.groups_of(user.userid)),
        "tokens": {n: token_row(t) for n, t in user.tokens.items()} if user.tokens else None,
    }


@routes.post("/access/users")
def create_user(call: Call) -> Waiting:
    """Add a user; the realm need not exist."""
    access, userid = call.cluster.access, str(call.params["userid"])
    yield from _locked(call, "create user failed")
    try:
        if userid in access.users:
            raise die(f"user '{userid}' already exists")
        if call.get("password") is not None and not userid.endswith(("@pve", "@pam")):
            raise die(f"can't change password on auth type '{userid.rpartition('@')[2]}'")
        names = _names(call.get("groups"))
        access.set_groups(userid, names, append=True)
    except ApiError as error:
        raise _failing("create user failed", error) from error
    user = User(userid, password=call.get("password"))
    _apply_details(call, user)
    access.users[userid] = user


def _names(text: Any) -> list[str]:
    return [name for name in str(text or "").replace(";", ",").split(",") if name]


def _apply_details(call: Call, user: User) -> None:
    for name in _DETAILS:
        if call.get(name) is not None:
            user.details[name] = str(call.params[name])
    if call.get("enable") is not None:
        user.is_enabled = bool(call.params["enable"])
    if call.get("expire") is not None:
        user.expire = int(call.params["expire"])


@routes.put(_USER)
def update_user(call: Call) -> Waiting:
    """Change details and groups."""
    access, userid = call.cluster.access, str(call.params["userid"])
    yield from _locked(call, "update user failed")
    try:
        user = access.user(userid)
        if call.get("groups") is not None:
            append = bool(call.get("append"))
            access.set_groups(userid, _names(call.params["groups"]), append=append)
    except ApiError as error:
        raise _failing("update user failed", error) from error
    _apply_details(call, user)


@routes.delete(_USER)
def delete_user(call: Call) -> Waiting:
    """Remove a user with entries, tokens and factors. PVE lets even root@pam go, but not far."""
    access, userid = call.cluster.access, str(call.params["userid"])
    yield from _locked(call, "delete user failed")
    if userid not in access.users:
        raise die(f"delete user failed: user '{userid}' does not exist")
    root = access.users[userid]
    access.drop_user(userid)
    if userid == "root@pam":
        access.users[userid] = User(userid, password=root.password)


@routes.get(f"{_USER}/tfa")
def get_user_factors(call: Call) -> dict[str, Any]:
    """Which kinds of second factors a user has."""
    userid = str(call.params["userid"])
    user = call.cluster.access.user(userid)
    entries = call.cluster.access.factors.of(userid).entries.values()
    if call.get("multiple"):
        answer: dict[str, Any] = {"types": sorted({factor.type for factor in entries})}
    else:
        answer = {"user": "oath"} if entries else {}
    realm = call.cluster.access.domains.get(user.userid.rpartition("@")[2], {})
    if realm.get("tfa"):
        answer["realm"] = realm["tfa"]
    return answer


@routes.put(f"{_USER}/unlock-tfa")
def unlock_user_factors(call: Call) -> int:
    """Let TOTP be tried again; says whether it was locked."""
    factors = call.cluster.access.factors.of(str(call.params["userid"]))
    was_locked = factors.is_totp_locked
    factors.totp_failures = 0
    return int(was_locked)


# -- tokens ------------------------------------------------------------------------


def token_row(token: Token) -> dict[str, Any]:
    """A token without its secret."""
    row: dict[str, Any] = {"privsep": int(token.has_privsep), "expire": token.expire}
    if token.comment:
        row["comment"] = token.comment
    return row


@routes.get(f"{_USER}/token")
def list_tokens(call: Call) -> list[dict[str, Any]]:
    """The tokens of a user."""
    user = call.cluster.access.user(str(call.params["userid"]))
    return [{"tokenid": name, **token_row(token)} for name, token in user.tokens.items()]


def _token(call: Call) -> tuple[User, Token]:
    userid, name = str(call.params["userid"]), str(call.params["tokenid"])
    user = call.cluster.access.user(userid)
    token = user.tokens.get(name)
    if token is None:
        raise die(f"no such token '{name}' for user '{userid}'")
    return user, token


@routes.get(_TOKEN)
def get_token(call: Call) -> dict[str, Any]:
    """One token."""
    return token_row(_token(call)[1])


@routes.post(_TOKEN)
def create_token(call: Call) -> Waiting:
    """A new token; this answer alone tells its secret."""
    userid, name = str(call.params["userid"]), str(call.params["tokenid"])
    user = call.cluster.access.user(userid)
    if name in user.tokens:
        raise parameter_error({"tokenid": "Token already exists."})
    yield from _locked(call, "generating token failed")
    token = Token(_new_secret(call))
    token.has_privsep = bool(call.get("privsep", 1))
    token.comment = str(call.get("comment") or "")
    token.expire = int(call.get("expire", user.expire))
    user.tokens[name] = token
    info: dict[str, Any] = {"privsep": str(int(token.has_privsep))}
    if call.get("expire") is not None:
        info["expire"] = token.expire
    if token.comment:
        info["comment"] = token.comment
    return {"full-tokenid": f"{userid}!{name}", "value": token.secret, "info": info}


def _new_secret(call: Call) -> str:
    return str(uuid.UUID(int=call.cluster.random.getrandbits(128), version=4))


@routes.put(_TOKEN)
def update_token(call: Call) -> Waiting:
    """Change a token, or (since 9.2) give it a new secret."""
    user, token = _token(call)
    yield from _locked(call, "updating token info failed")
    if call.get("comment") is not None:
        token.comment = str(call.params["comment"])
    if call.get("expire") is not None:
        token.expire = int(call.params["expire"])
    row = token_row(token)
    if call.get("privsep") is not None:
        token.has_privsep = bool(call.params["privsep"])
        row["privsep"] = str(int(token.has_privsep))
    if call.get("regenerate"):
        token.secret = _new_secret(call)
        full = f"{user.userid}!{call.params['tokenid']}"
        return {**token_row(token), "full-tokenid": full, "value": token.secret}
    return row


@routes.delete(_TOKEN)
def delete_token(call: Call) -> Waiting:
    """Remove a token and its access control entries."""
    user, _ = _token(call)
    name = str(call.params["tokenid"])
    yield from _locked(call, "deleting token failed")
    del user.tokens[name]
    call.cluster.access.drop_entries("token", f"{user.userid}!{name}")


# -- groups ------------------------------------------------------------------------


@routes.get("/access/groups")
def list_groups(call: Call) -> list[dict[str, Any]]:
    """The groups that the caller may see."""
    privileges = ("User.Modify", "Sys.Audit", "Group.Allocate")
    rows = []
    for name, group in call.cluster.access.groups.items():
        if may(call, f"/access/groups/{name}", *privileges):
            row: dict[str, Any] = {"groupid": name, "users": ",".join(sorted(group.members))}
            rows.append(row | ({"comment": group.comment} if group.comment else {}))
    return rows


def _group(call: Call, prefix: str = "") -> Group:
    name = str(call.params["groupid"])
    group = call.cluster.access.groups.get(name)
    if group is None:
        raise die(f"{prefix}group '{name}' does not exist")
    return group


@routes.get("/access/groups/{groupid}")
def get_group(call: Call) -> dict[str, Any]:
    """One group with its members."""
    group = _group(call)
    row: dict[str, Any] = {"members": sorted(group.members)}
    return row | ({"comment": group.comment} if group.comment else {})


@routes.post("/access/groups")
def create_group(call: Call) -> Waiting:
    """Add a group."""
    yield from _locked(call, "create group failed")
    name = str(call.params["groupid"])
    if name in call.cluster.access.groups:
        raise die(f"create group failed: group '{name}' already exists")
    call.cluster.access.groups[name] = Group(str(call.get("comment") or ""))


@routes.put("/access/groups/{groupid}")
def update_group(call: Call) -> Waiting:
    """Change the comment."""
    yield from _locked(call, "update group failed")
    group = _group(call, "update group failed: ")
    if call.get("comment") is not None:
        group.comment = str(call.params["comment"])


@routes.delete("/access/groups/{groupid}")
def delete_group(call: Call) -> Waiting:
    """Remove a group and its access control entries."""
    yield from _locked(call, "delete group failed")
    _group(call, "delete group failed: ")
    name = str(call.params["groupid"])
    del call.cluster.access.groups[name]
    call.cluster.access.drop_entries("group", name)


# -- roles -------------------------------------------------------------------------


def _check_privileges(call: Call) -> list[str]:
    names = _names(call.get("privs"))
    known = all_privileges(call.cluster.version)
    for name in names:
        if name not in known:
            raise parameter_error({"privs": f"invalid format - invalid privilege '{name}'\n"})
    return names


@routes.get("/access/roles")
def list_roles(call: Call) -> list[dict[str, Any]]:
    """Built-in and own roles."""
    builtin = builtin_roles(call.cluster.version)
    roles = {**builtin, **call.cluster.access.roles}
    return [
        {"roleid": name, "privs": ",".join(sorted(privileges)), "special": int(name in builtin)}
        for name, privileges in roles.items()
    ]


@routes.get("/access/roles/{roleid}")
def get_role(call: Call) -> dict[str, int]:
    """The privileges of a role."""
    return dict.fromkeys(_role(call), 1)


def _role(call: Call, prefix: str = "") -> frozenset[str]:
    name = str(call.params["roleid"])
    builtin = builtin_roles(call.cluster.version)
    role = builtin.get(name, call.cluster.access.roles.get(name))
    if role is None:
        raise die(f"{prefix}role '{name}' does not exist")
    return role


@routes.post("/access/roles")
def create_role(call: Call) -> Waiting:
    """Add a role."""
    names = _check_privileges(call)
    if str(call.params["roleid"]).upper().startswith("PVE"):
        text = "cannot use role ID starting with the (case-insensitive) 'PVE' namespace"
        raise parameter_error({"roleid": text})
    yield from _locked(call, "create role failed")
    name, roles = str(call.params["roleid"]), call.cluster.access.roles
    if name in roles or name in builtin_roles(call.cluster.version):
        raise die(f"create role failed: role '{name}' already exists")
    roles[name] = frozenset(names)


@routes.put("/access/roles/{roleid}")
def update_role(call: Call) -> Waiting:
    """Set or add privileges."""
    names = _check_privileges(call)
    yield from _locked(call, "update role failed")
    name = str(call.params["roleid"])
    _check_own(call, name, "update role failed: ")
    before = _role(call, "update role failed: ")
    call.cluster.access.roles[name] = frozenset(names) | (
        before if call.get("append") else frozenset()
    )


def _check_own(call: Call, name: str, prefix: str) -> None:
    if name in builtin_roles(call.cluster.version):
        verb = "modified" if prefix.startswith("update") else "deleted"
        raise die(f"auto-generated role '{name}' cannot be {verb}")


@routes.delete("/access/roles/{roleid}")
def delete_role(call: Call) -> Waiting:
    """Remove a role of one's own."""
    yield from _locked(call, "delete role failed")
    name = str(call.params["roleid"])
    _check_own(call, name, "delete role failed: ")
    _role(call, "delete role failed: ")
    del call.cluster.access.roles[name]
