"""Realms (pve-access-control API2/Domains.pm, OpenId.pm)."""

from __future__ import annotations

import hashlib
from typing import Any

from pveops.sim.call import Call
from pveops.sim.config_file import lock_file
from pveops.sim.refusal import ApiError, die
from pveops.sim.router import Routes, Waiting
from pveops.sim.tasks import TaskError, start_task

routes = Routes()
_HIDDEN = frozenset({"password", "digest", "delete", "realm"})


@routes.get("/access/domains")
def list_domains(call: Call) -> list[dict[str, Any]]:
    """What the login page offers; needs no login."""
    return [
        {
            "realm": realm,
            "type": options["type"],
            **{k: v for k, v in options.items() if k in {"comment", "tfa", "default"}},
        }
        for realm, options in call.cluster.access.domains.items()
    ]


def _domain(call: Call, prefix: str = "") -> dict[str, Any]:
    realm = str(call.params["realm"])
    options = call.cluster.access.domains.get(realm)
    if options is None:
        raise die(f"{prefix}domain '{realm}' does not exist")
    return options


@routes.get("/access/domains/{realm}")
def get_domain(call: Call) -> dict[str, Any]:
    """One realm, with the digest of domains.cfg."""
    return {**_domain(call), "digest": call.cluster.access.domains_digest}


def _changed(call: Call) -> None:
    access = call.cluster.access
    text = repr(sorted((k, sorted(v.items())) for k, v in access.domains.items()))
    access.domains_digest = hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest()


@routes.post("/access/domains")
def create_domain(call: Call) -> Waiting:
    """Add a realm."""
    realm, domains = str(call.params["realm"]), call.cluster.access.domains
    yield from lock_file(call.node, "domains.cfg", "add auth server failed")
    if realm in domains:
        raise die(f"add auth server failed: domain '{realm}' already exists")
    kind = str(call.params["type"])
    if kind in {"pam", "pve"}:
        raise die(f"add auth server failed: unable to create builtin type '{kind}'")
    domains[realm] = {k: v for k, v in call.params.items() if k not in _HIDDEN}
    _changed(call)


@routes.put("/access/domains/{realm}")
def update_domain(call: Call) -> Waiting:
    """Change a realm."""
    yield from lock_file(call.node, "domains.cfg", "update auth server failed")
    options = _domain(call, "update auth server failed: ")
    digest = call.get("digest")
    if digest is not None and digest != call.cluster.access.domains_digest:
        text = "detected modified configuration - file changed by other user? Try again."
        raise die(f"update auth server failed: {text}")
    for name in str(call.get("delete") or "").split(","):
        options.pop(name, None)
    options |= {k: v for k, v in call.params.items() if k not in _HIDDEN}
    _changed(call)


@routes.delete("/access/domains/{realm}")
def delete_domain(call: Call) -> Waiting:
    """Remove a realm; PVE removes even a built-in one."""
    yield from lock_file(call.node, "domains.cfg", "delete auth server failed")
    _domain(call, "delete auth server failed: ")
    del call.cluster.access.domains[str(call.params["realm"])]
    _changed(call)


@routes.post("/access/domains/{realm}/sync")
def sync_domain(call: Call) -> str:
    """Synchronise users; the simulated directory servers do not answer."""
    options, realm = _domain(call), str(call.params["realm"])
    if options["type"] not in {"ldap", "ad"}:
        raise die(f"cannot sync realm type '{options['type']}'")

    def body(task: Any) -> Any:
        task.log(f"starting sync for realm {realm}")
        yield 0.5
        raise TaskError("unable to connect to any LDAP server")

    return str(start_task(call.node, "auth-realm-sync", realm, call.identity.auth_id, body).upid)


@routes.get("/access/openid")
def list_openid(call: Call) -> list[dict[str, str]]:
    """The index."""
    del call
    return [{"subdir": "login"}, {"subdir": "auth-url"}]


@routes.post("/access/openid/auth-url")
def get_auth_url(call: Call) -> str:
    """Where an OpenID realm logs in; none can be reached from here."""
    realm = str(call.params["realm"])
    options = call.cluster.access.domains.get(realm)
    if options is None:
        raise die(f"authentication domain '{realm}' does not exist")
    if options["type"] != "openid":
        raise die(f"{options['type']} is not an OpenID domain")
    raise die("failed to discover OpenID provider")


@routes.post("/access/openid/login")
def log_in_by_openid(call: Call) -> None:
    """Nobody gets in by OpenID here."""
    del call
    raise ApiError(401, "authentication failure")
