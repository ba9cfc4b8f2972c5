"""Second factors of users (pve-access-control API2/TFA.pm; texts of proxmox-tfa)."""

from __future__ import annotations

import uuid
from typing import Any

from pveops.sim.call import Call
from pveops.sim.config_file import lock_file
from pveops.sim.handlers.access_login import check_password_change
from pveops.sim.handlers.permission import may
from pveops.sim.refusal import ApiError, die
from pveops.sim.router import Routes, Waiting
from pveops.sim.second_factor import Factor, check_totp, secret_of

routes = Routes()
_ENTRY = "/access/tfa/{userid}/{id}"
_RECOVERY_KEYS = 10


@routes.get("/access/tfa")
def list_all(call: Call) -> list[dict[str, Any]]:
    """The users with second factors; one's own, or all with Sys.Audit on /access."""
    is_auditor = may(call, "/access", "Sys.Audit")
    rows = []
    for userid, factors in call.cluster.access.factors.by_user.items():
        if factors.entries and (is_auditor or userid == call.identity.user):
            row: dict[str, Any] = {
                "userid": userid,
                "entries": [factor.shown() for factor in factors.entries.values()],
            }
            if factors.is_totp_locked:
                row["totp-locked"] = 1
            rows.append(row)
    return rows


@routes.get("/access/tfa/{userid}")
def list_factors(call: Call) -> list[dict[str, Any]]:
    """The second factors of a user."""
    factors = call.cluster.access.factors.of(str(call.params["userid"]))
    return [factor.shown() for factor in factors.entries.values()]


def _factor(call: Call) -> Factor:
    factors = call.cluster.access.factors.of(str(call.params["userid"]))
    factor = factors.entries.get(str(call.params["id"]))
    if factor is None:
        raise ApiError(404, "No such tfa entry")
    return factor


@routes.get(_ENTRY)
def get_factor(call: Call) -> dict[str, Any]:
    """One second factor."""
    return _factor(call).shown()


@routes.post("/access/tfa/{userid}")
def add_factor(call: Call) -> Waiting:
    """Add a factor; recovery keys are told in this answer alone."""
    userid, kind = str(call.params["userid"]), str(call.params["type"])
    call.cluster.access.user(userid)
    check_password_change(call, userid, "password")
    yield from lock_file(call.node, "priv/tfa.cfg")
    if kind == "totp":
        return _add_totp(call, userid)
    if kind == "recovery":
        return _add_recovery(call, userid)
    raise die(f"type '{kind}' is not configured")


def _add_totp(call: Call, userid: str) -> dict[str, Any]:
    now = call.cluster.timeline.now()
    factor = Factor(
        id=str(uuid.UUID(int=call.cluster.random.getrandbits(128), version=4)),
        type="totp",
        description=str(call.get("description") or ""),
        created=int(now),
        secret=secret_of(str(call.get("totp") or "")),
    )
    if not check_totp(factor, str(call.get("value") or ""), now):
        raise die("failed to verify TOTP challenge")
    factor.last_step = 0
    call.cluster.access.factors.add(userid, factor)
    return {"id": factor.id}


def _add_recovery(call: Call, userid: str) -> dict[str, Any]:
    factors = call.cluster.access.factors
    if "recovery" in factors.of(userid).entries:
        raise die("user already has recovery keys")
    rng = call.cluster.random
    keys = [
        "-".join(f"{rng.getrandbits(16):04x}" for _ in range(4)) for _ in range(_RECOVERY_KEYS)
    ]
    now = int(call.cluster.timeline.now())
    factors.add(userid, Factor("recovery", "recovery", "", now, keys=list(keys)))
    return {"id": "recovery", "recovery": keys}


@routes.put(_ENTRY)
def update_factor(call: Call) -> Waiting:
    """Change description, or switch it off and on."""
    check_password_change(call, str(call.params["userid"]), "password")
    yield from lock_file(call.node, "priv/tfa.cfg")
    factor = _factor(call)
    if call.get("description") is not None:
        factor.description = str(call.params["description"])
    if call.get("enable") is not None:
        factor.is_enabled = bool(call.params["enable"])


@routes.delete(_ENTRY)
def delete_factor(call: Call) -> Waiting:
    """Remove a factor."""
    userid, name = str(call.params["userid"]), str(call.params["id"])
    check_password_change(call, userid, "password")
    yield from lock_file(call.node, "priv/tfa.cfg")
    factors = call.cluster.access.factors.of(userid)
    if name not in factors.entries:
        raise die("no such entry")
    del factors.entries[name]
    # The Rust library tells whether other factors are left, as an empty text or null.
    return "" if factors.entries else None
