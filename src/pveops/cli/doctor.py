"""`pve doctor`: configuration, trust, token, consent, store and log, each with a fix."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, NamedTuple

import click

from pveops.cli.answer import Answer, Column, Facts, Listing
from pveops.cli.call import Call
from pveops.cli.commands import Command
from pveops.errors import PveopsError

if TYPE_CHECKING:
    from pveops.domain.access import Permissions

_DANGEROUS = frozenset(
    {
        "Permissions.Modify",
        "User.Modify",
        "Realm.Allocate",
        "Sys.Modify",
        "Sys.Console",
        "Sys.PowerMgmt",
        "Sys.AccessNetwork",
        "VM.GuestAgent.Unrestricted",
    }
)
_RISKY = frozenset({"VM.Allocate", "VM.Config.Disk", "VM.Config.Options", "Datastore.Allocate"})
_WIDE = ("/", "/vms", "/storage")
_COLUMNS = (Column("level"), Column("code"), Column("message"), Column("fix", is_sparse=True))
_SOON_S = 14 * 86_400
_SKEW_S = 30
_CONFIG_EXIT = 7
_ORDER = {"bad": 0, "warn": 1, "ok": 2}


class Check(NamedTuple):
    """One line: `level` is ok, warn or bad."""

    level: str
    code: str
    message: str
    fix: str = ""


@click.command("doctor", cls=Command, operation="doctor")
@click.pass_obj
def command(call: Call) -> Answer:
    """Check everything that pveops depends on, and say what each level of consent stops.

    Reads only. Exit 7 when something has to be mended before pveops can be relied on.
    """
    found = sorted(_examine(call), key=lambda check: _ORDER[check.level])
    counts = {level: sum(1 for c in found if c.level == level) for level in ("bad", "warn")}
    verdict = f"{counts['bad']} to mend, {counts['warn']} to think about, of {len(found)} checks"
    return Answer(
        verdict,
        code=_CONFIG_EXIT if counts["bad"] else 0,
        data={"checks": [check._asdict() for check in found]},
        blocks=(
            Listing(found, lambda check: check._asdict(), Check._fields, _COLUMNS, title="checks"),
            Facts(_levels(call)),
        ),
    )


def _levels(call: Call) -> tuple[tuple[str, str], ...]:
    """The levels of consent in force, weakest promise last."""
    try:
        has_sender = call.wiring.connection.consent.is_set
        allows_terminal = call.wiring.policy.consent.terminal
    except PveopsError:
        return ()
    rows = []
    if has_sender:
        rows.append(
            (
                "G2 in force",
                "a code sent to a person: stops an agent that is mistaken or steered, not one "
                "that attacks its own account (it could read the token and call PVE itself)",
            )
        )
    if allows_terminal:
        rows.append(
            (
                "G1 in force",
                "a person at a terminal is asked in place: stops slips; an agent can drive a "
                "terminal, too",
            )
        )
    if not rows:
        rows.append(("no consent", "no way is configured: what needs consent cannot be done"))
    return tuple(rows)


def _examine(call: Call) -> Iterator[Check]:
    yield from _guarded("config", lambda: _configuration(call))
    yield from _guarded("policy", lambda: _policy(call))
    yield from _guarded("store", lambda: _store(call))
    yield from _guarded("audit", lambda: _audit(call))
    reached = list(_guarded("api", lambda: _server(call)))
    yield from reached
    if all(check.level != "bad" for check in reached):
        yield from _guarded("access", lambda: _access(call))


def _guarded(code: str, examine: Callable[[], Iterator[Check]]) -> Iterator[Check]:
    """What is found, and the error that ended it as a finding."""
    try:
        yield from examine()
    except PveopsError as error:
        yield Check("bad", f"{code}.{error.code[2:].lower()}", error.message, error.hint)


def _configuration(call: Call) -> Iterator[Check]:
    from pveops.config.profiles import choose_profile
    from pveops.config.secrets import secret_status

    paths = call.wiring.paths
    name, profile = choose_profile(paths, call.options.profile)
    yield Check("ok", "config.profile", f"profile {name!r} in {paths.config_file}")
    if profile.pvesh:
        yield Check("ok", "config.pvesh", "runs on a node as root; no token is used")
        return
    how = {"ca": "the cluster's CA", "pin": "pinned fingerprints", "system": "this machine's CAs"}
    yield Check("ok", "tls.trust", f"servers are verified by {how[profile.trust]}")
    found = secret_status(paths, name, profile, call.clock.now())
    if found.problem:
        yield Check("bad", "token.stored", found.problem, found.remedy)
        return
    yield Check("ok", "token.stored", f"{found.token_id}, encrypted, bound to the endpoints")
    yield _expiry(found.expires, call.clock.now())


def _expiry(expires: int, now: float) -> Check:
    if not expires:
        fix = "pve secrets add TOKEN --expires YYYY-MM-DD"
        return Check("warn", "token.expiry", "when the token expires is not known here", fix)
    left = expires - now
    level = "warn" if left < _SOON_S else "ok"
    return Check(level, "token.expiry", f"the token expires in {left / 86_400:.0f} days")


def _policy(call: Call) -> Iterator[Check]:
    import os

    wiring = call.wiring
    path = wiring.paths.policy_file
    digest = wiring.policy.digest
    if not path.exists():
        yield Check("ok", "policy.file", f"the default policy ({digest}) is in force")
    elif os.access(path, os.W_OK):
        message = f"policy {digest} can be edited by this account, so by an agent that runs as it"
        yield Check("warn", "policy.writable", message, f"give {path} to another account")
    else:
        yield Check("ok", "policy.file", f"policy {digest} in {path}")
    if wiring.paths.freeze_file.exists():
        yield Check("warn", "policy.frozen", "all changes are frozen", "pve policy unfreeze")
    if not wiring.connection.consent.is_set:
        yield Check(
            "warn",
            "consent.sender",
            "no command is configured that takes a consent code to a person (level G2)",
            "set consent.sender of the profile",
        )


def _store(call: Call) -> Iterator[Check]:
    runs = [run for run in call.wiring.store.list_runs() if run.state == "running"]
    yield Check("ok", "store.open", f"the store {call.wiring.paths.store_file} can be written")
    for run in runs:
        yield Check("warn", "run.open", f"{run.id} has not ended", f"pve run resume {run.id}")


def _audit(call: Call) -> Iterator[Check]:
    verdict = call.wiring.audit.verify()
    if verdict.is_whole:
        yield Check("ok", "audit.chain", f"the audit log is whole ({verdict.records} records)")
    else:
        yield Check("bad", "audit.chain", verdict.problem, "pve audit verify")


def _server(call: Call) -> Iterator[Check]:
    wiring = call.wiring
    version = wiring.reader.version()
    yield Check("ok", "api.reach", f"PVE {version.text} answers and takes the token")
    skew = abs(wiring.reader.server_time() - call.clock.now())
    if skew > _SKEW_S:
        message = f"the clocks of this machine and of the server differ by {skew:.0f} s"
        yield Check("warn", "clock.skew", message, "set both by NTP")
    else:
        yield Check("ok", "clock.skew", "the clocks agree")
    yield from _endpoints(call)


def _endpoints(call: Call) -> Iterator[Check]:
    """A cluster of several nodes that is asked by one of them alone is lost with it."""
    from pveops.config.profiles import choose_profile
    from pveops.domain.inventory import read_membership

    name, profile = choose_profile(call.wiring.paths, call.options.profile)
    membership = read_membership(call.wiring.reader)
    if membership is None or len(membership.addresses) <= max(1, len(profile.endpoints)):
        return
    nodes = ", ".join(f"{node} {ip}" for node, ip in sorted(membership.addresses.items()))
    message = f"{len(profile.endpoints)} of {len(membership.addresses)} nodes are endpoints"
    fix = f"pve init HOST... --name {name} --replace, with all of: {nodes}"
    yield Check("warn", "api.endpoints", message, fix)


def _access(call: Call) -> Iterator[Check]:
    from pveops.domain.access import list_blind_spots, read_permissions

    auth_id = call.wiring.connection.auth_id
    permissions = read_permissions(call.wiring.reader)
    if permissions.is_empty:
        yield Check(
            "bad",
            "access.none",
            "the token has no privileges at all: PVE gives it empty lists, not errors",
            "give the token itself an ACL entry: under privilege separation the user's do not do",
        )
        return
    yield from _excess(auth_id, permissions)
    for spot in list_blind_spots(permissions):
        message = f"cannot see {spot.what}: lists leave them out"
        yield Check("warn", "access.blind", message, f"grant {spot.privilege} on {spot.path}")


def _excess(auth_id: str, permissions: Permissions) -> Iterator[Check]:
    held: set[str] = set().union(*permissions.by_path.values())
    if auth_id.startswith("root@pam"):
        yield Check("bad", "access.root", "the token belongs to root@pam", "use a user of its own")
    dangerous = sorted(held & _DANGEROUS)
    if dangerous:
        message = f"the token may do what no agent should: {', '.join(dangerous)}"
        yield Check("bad", "access.excess", message, "take these privileges out of its role")
    for path in _WIDE:
        risky = sorted(permissions.propagating.get(path, frozenset()) & _RISKY)
        if risky:
            message = f"{', '.join(risky)} on {path} and everything below it"
            yield Check("warn", "access.wide", message, "grant them on a pool instead")
    changing = sorted(name for name in held if not _is_audit(name))
    if changing:
        yield Check("ok", "access.level", f"the token may change things: {', '.join(changing)}")
    else:
        yield Check("ok", "access.level", "G0: the token can only read; PVE enforces it")


def _is_audit(name: str) -> bool:
    return name.endswith(".Audit")
