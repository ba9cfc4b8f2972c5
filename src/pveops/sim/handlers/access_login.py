"""Logging in, and what one may do (pve-access-control API2/AccessControl.pm)."""

from __future__ import annotations

import hmac
import re
from typing import Any

from pveops.sim.access import User, normalize_path
from pveops.sim.auth import (
    check_challenge,
    check_ticket,
    make_challenge,
    make_csrf_token,
    make_ticket,
)
from pveops.sim.call import Call, Identity
from pveops.sim.handlers.permission import check, held
from pveops.sim.refusal import ApiError, parameter_error
from pveops.sim.router import Routes

routes = Routes()
_CAP: dict[str, str] = {
    "vms": r"VM\.|Permissions\.Modify",
    "access": r"(User|Group)\.|Permissions\.Modify",
    "storage": r"Datastore\.|Permissions\.Modify",
    "nodes": r"Sys\.|Permissions\.Modify",
    "sdn": r"SDN\.|Permissions\.Modify",
    "dc": r"Sys\.Audit|Sys\.Modify|SDN\.",
    "mapping": r"Mapping\.|Permissions\.Modify",
}
_TOPS = ("/", "/access", "/access/groups", "/nodes", "/pool", "/sdn", "/storage", "/vms")


def login_failure() -> ApiError:
    """Every way in which a login can fail looks the same."""
    return ApiError(401, "authentication failure")


@routes.get("/access/ticket")
def get_ticket(call: Call) -> None:
    """Answers nothing; exists for the login page."""
    del call


@routes.post("/access/ticket")
def create_ticket(call: Call) -> dict[str, Any]:
    """Log in by password, by a ticket as password, or with a second factor."""
    username = str(call.params["username"])
    realm = call.get("realm")
    userid = f"{username}@{realm}" if realm and "@" not in username else username
    password = str(call.params["password"])
    user = call.cluster.access.users.get(userid)
    if user is None or not call.cluster.access.is_live(user, call.cluster.timeline.now()):
        raise login_failure()
    challenge = call.get("tfa-challenge")
    if challenge is not None:
        _answer_challenge(call, userid, str(challenge), password)
        return _logged_in(call, userid)
    if _is_renewal(call, userid, password):
        return _logged_in(call, userid)
    if not is_password(user, password):
        raise login_failure()
    return _after_password(call, userid)


def is_password(user: User, password: str) -> bool:
    """Whether it is the user's password."""
    return user.password is not None and hmac.compare_digest(
        user.password.encode(), password.encode()
    )


def _is_renewal(call: Call, userid: str, password: str) -> bool:
    """A valid ticket is taken as a password: the user's own, or root@pam's for anybody."""
    owner = check_ticket(call.cluster, password)
    return owner is not None and owner in {userid, "root@pam"}


def _after_password(call: Call, userid: str) -> dict[str, Any]:
    factors = call.cluster.access.factors
    offered = factors.of(userid).challenge()
    if not offered:
        return _logged_in(call, userid)
    otp = call.get("otp")
    if otp is not None:
        if not factors.answer(userid, str(otp), call.cluster.timeline.now()):
            raise login_failure()
        return _logged_in(call, userid)
    return {
        "username": userid,
        "ticket": make_challenge(call.cluster, userid, offered),
        "CSRFPreventionToken": make_csrf_token(call.cluster, userid),
        "NeedTFA": 1,
    }


def _answer_challenge(call: Call, userid: str, challenge: str, response: str) -> None:
    is_ours = check_challenge(call.cluster, userid, challenge)
    factors = call.cluster.access.factors
    if not is_ours or not factors.answer(userid, response, call.cluster.timeline.now()):
        raise login_failure()


def _logged_in(call: Call, userid: str) -> dict[str, Any]:
    answer: dict[str, Any] = {
        "username": userid,
        "ticket": make_ticket(call.cluster, userid),
        "CSRFPreventionToken": make_csrf_token(call.cluster, userid),
        "cap": _capabilities(call, Identity(userid)),
    }
    if call.cluster.name is not None:
        answer["clustername"] = call.cluster.name
    return answer


def _capabilities(call: Call, identity: Identity) -> dict[str, dict[str, int]]:
    found: dict[str, dict[str, int]] = {top: {} for top in _CAP}
    listed = effective_permissions(call, identity)
    listed.setdefault("/mapping", dict.fromkeys(held(call.cluster, identity, "/mapping"), 1))
    for path, privileges in listed.items():
        first = path.strip("/").partition("/")[0]
        tops = ("vms", "storage") if first == "pool" else (first or "dc",)
        for top in tops:
            if top in _CAP:
                found[top] |= {name: 1 for name in privileges if re.match(_CAP[top], name)}
    return found


def effective_permissions(call: Call, identity: Identity) -> dict[str, dict[str, int]]:
    """Path -> privilege -> propagates, for the paths that say something."""
    cluster = call.cluster
    paths = {*_TOPS, *(entry.path for entry in cluster.access.acl)}
    for pool in cluster.pools.by_id.values():
        paths |= {f"/pool/{pool.poolid}"}
        paths |= {f"/vms/{vmid}" for vmid in pool.vmids}
        paths |= {f"/storage/{storage}" for storage in pool.storages}
    found = {path: held(cluster, identity, path) for path in sorted(paths)}
    return {
        path: {name: int(propagates) for name, propagates in privileges.items()}
        for path, privileges in found.items()
        if privileges
    }


@routes.get("/access/permissions")
def list_permissions(call: Call) -> dict[str, dict[str, int]]:
    """What the caller may do; what others may, with Sys.Audit on /access."""
    subject = call.get("userid")
    identity = call.identity
    if subject is not None and subject != identity.auth_id:
        is_own_token = str(subject).startswith(f"{identity.user}!") and identity.token is None
        if not is_own_token:
            check(call, "/access", "Sys.Audit")
        user, _, token = str(subject).partition("!")
        call.cluster.access.user(user)
        identity = Identity(user, token or None)
    path = call.get("path")
    if path is None:
        return effective_permissions(call, identity)
    normal = normalize_path(str(path))
    if normal is None:
        raise parameter_error({"path": f"invalid ACL path '{path}'"})
    found = held(call.cluster, identity, normal)
    return {normal: {name: int(flag) for name, flag in found.items()}}


@routes.get("/access")
def list_access(call: Call) -> list[dict[str, str]]:
    """The index."""
    del call
    names = "users groups roles acl domains openid tfa ticket vncticket password permissions"
    return [{"subdir": name} for name in names.split()]


@routes.put("/access/password")
def change_password(call: Call) -> None:
    """One's own with the old one, others' with privileges; only realm pve can be changed here."""
    userid = str(call.params["userid"])
    call.cluster.access.user(userid)
    check_password_change(call, userid)
    if not userid.endswith(("@pve", "@pam")):
        raise ApiError(500, f"can't change password on auth type '{userid.rpartition('@')[2]}'")
    call.cluster.access.user(userid).password = str(call.params["password"])


def check_password_change(call: Call, userid: str, name: str = "confirmation-password") -> None:
    """Whoever changes credentials has to know the own password; root@pam is believed."""
    if call.identity.user == "root@pam":
        return
    given = call.get(name)
    if given is None:
        raise parameter_error({name: "password is required to modify user"})
    if not is_password(call.cluster.access.user(call.identity.user), str(given)):
        raise ApiError(500, "invalid credentials")
    del userid
