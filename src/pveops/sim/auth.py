"""Who asks: tickets, CSRF tokens and API tokens (pve-access-control, pve-http-server).

Tickets are signed with keys that all nodes share, so one works on every node.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, unquote

from pveops.sim.call import Identity
from pveops.sim.refusal import ApiError

if TYPE_CHECKING:
    from pveops.sim.model import Cluster

TICKET_LIFE_S = 7200
_SKEW_S = 300
_TICKET = re.compile(r"PVE:(?P<user>[^\s:]+@[^\s:]+):(?P<time>[0-9A-F]{8})::(?P<signature>\S+)")
_TOKEN = re.compile(r"PVEAPIToken(?:=| )(?P<user>[^\s!]+)!(?P<id>[^\s=]+)=(?P<secret>\S+)")
_COOKIE = re.compile(r"(?:^|;\s*)PVEAuthCookie=([^;]*)")
_PUBLIC = frozenset(
    {
        ("GET", "/access/domains"),
        ("GET", "/access/ticket"),
        ("POST", "/access/ticket"),
        ("POST", "/access/openid/login"),
        ("POST", "/access/openid/auth-url"),
    }
)
ANONYMOUS = Identity("")


def unauthorized(cluster: Cluster, cause: str) -> ApiError:
    """A bare 401. Since pve-manager 9.1.5 the cause stays in the server's log."""
    known = cause if cluster.version.has_plain_auth_texts else "Authentication failed!"
    return ApiError(401, known, has_body=False)


def authenticate(cluster: Cluster, method: str, path: str, headers: Mapping[str, str]) -> Identity:
    """The identity behind a request's headers (lower-case names). Raises a bare 401."""
    authorization = unquote(headers.get("authorization", ""))
    ticket = _ticket_of(headers.get("cookie", ""), authorization)
    token_text = authorization.split(";")[0]
    is_token = token_text.startswith("PVEAPIToken")
    if (method, path) in _PUBLIC and not is_token:
        return ANONYMOUS
    if ticket is not None:
        return _by_ticket(cluster, method, path, ticket, headers.get("csrfpreventiontoken", ""))
    if is_token:
        return _by_token(cluster, token_text)
    raise ApiError(401, "No ticket", has_body=False)


def _ticket_of(cookie: str, authorization: str) -> str | None:
    match = _COOKIE.search(cookie)
    if match:
        return unquote(match[1])
    prefix = "PVEAuthCookie="
    return authorization.removeprefix(prefix) if authorization.startswith(prefix) else None


def _by_ticket(cluster: Cluster, method: str, path: str, ticket: str, csrf: str) -> Identity:
    userid = check_ticket(cluster, ticket)
    if userid is None:
        raise unauthorized(cluster, "permission denied - invalid PVE ticket")
    user = cluster.access.users.get(userid)
    if user is None or not cluster.access.is_live(user, cluster.timeline.now()):
        raise unauthorized(cluster, "permission denied - invalid PVE ticket")
    needs_csrf = method != "GET" and not path.endswith("/upload")
    if needs_csrf and not _check_csrf(cluster, userid, csrf):
        raise ApiError(401, "Permission denied - invalid csrf token", has_body=False)
    return Identity(userid)


def _by_token(cluster: Cluster, text: str) -> Identity:
    match = _TOKEN.fullmatch(text)
    if match is None:
        raise unauthorized(cluster, "no tokenid specified")
    userid, token_id = match["user"], match["id"]
    user = cluster.access.users.get(userid)
    if user is None or not cluster.access.is_live(user, cluster.timeline.now()):
        raise unauthorized(cluster, f"no such user ('{userid}')")
    token = user.tokens.get(token_id)
    if token is None:
        raise unauthorized(cluster, f"no such token '{token_id}' for user '{userid}'")
    if token.expire and token.expire < cluster.timeline.now():
        raise unauthorized(cluster, f"token '{token_id}' access expired")
    is_revoked = f"{userid}!{token_id}" in cluster.access.revoked
    if is_revoked or not hmac.compare_digest(token.secret, match["secret"]):
        raise unauthorized(cluster, "invalid token value!")
    return Identity(userid, token_id)


# -- tickets -------------------------------------------------------------------


def make_ticket(cluster: Cluster, userid: str) -> str:
    """A ticket for the user, good for two hours."""
    return _sign(cluster, f"PVE:{userid}")


def make_csrf_token(cluster: Cluster, userid: str) -> str:
    """The token that has to come with each change."""
    stamp = f"{int(cluster.timeline.now()):08X}"
    return f"{stamp}:{_csrf_digest(cluster, stamp, userid)}"


def check_ticket(cluster: Cluster, ticket: str) -> str | None:
    """The user of a valid ticket, or None. A half ticket (second factor missing) is none."""
    match = _TICKET.fullmatch(ticket)
    if match is None or match["user"].startswith("!tfa!"):
        return None
    plain = ticket.partition("::")[0]
    is_signed = hmac.compare_digest(_signature(cluster, plain), match["signature"])
    return match["user"] if is_signed and _is_fresh(cluster, match["time"]) else None


def make_challenge(cluster: Cluster, userid: str, offered: Mapping[str, Any]) -> str:
    """The half ticket that a second factor has to be brought to."""
    challenge = quote(json.dumps(offered, separators=(",", ":")), safe="")
    return _sign(cluster, f"PVE:!tfa!{challenge}", userid)


def check_challenge(cluster: Cluster, userid: str, ticket: str) -> bool:
    """Whether the half ticket is ours, fresh, and this user's."""
    plain, _, signature = ticket.partition("::")
    stamp = plain.rpartition(":")[2]
    return (
        plain.startswith("PVE:!tfa!")
        and hmac.compare_digest(_signature(cluster, plain, userid), signature)
        and _is_fresh(cluster, stamp)
    )


def _sign(cluster: Cluster, subject: str, bound_to: str = "") -> str:
    plain = f"{subject}:{int(cluster.timeline.now()):08X}"
    return f"{plain}::{_signature(cluster, plain, bound_to)}"


def _signature(cluster: Cluster, plain: str, bound_to: str = "") -> str:
    digest = hmac.new(cluster.auth_key, f"{plain}|{bound_to}".encode(), hashlib.sha512).digest()
    return base64.b64encode(digest * 4).decode()[:342] + "=="


def _csrf_digest(cluster: Cluster, stamp: str, userid: str) -> str:
    digest = hmac.new(cluster.auth_key, f"{stamp}:{userid}".encode(), hashlib.sha256).digest()
    return base64.b64encode(digest).decode().rstrip("=")


def _check_csrf(cluster: Cluster, userid: str, given: str) -> bool:
    stamp, _, digest = given.partition(":")
    return (
        re.fullmatch("[0-9A-F]{8}", stamp) is not None
        and hmac.compare_digest(_csrf_digest(cluster, stamp, userid), digest)
        and _is_fresh(cluster, stamp)
    )


def _is_fresh(cluster: Cluster, stamp: str) -> bool:
    if not re.fullmatch("[0-9A-F]{8}", stamp):
        return False
    age = cluster.timeline.now() - int(stamp, 16)
    return -_SKEW_S <= age <= TICKET_LIFE_S
