"""`pve doctor`: configuration, trust, token, consent, store and log, each with a fix."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import click

from pveops.cli.answer import Answer, Column, Listing
from pveops.cli.call import Call
from pveops.cli.commands import Command, list_options
from pveops.errors import AuthenticationError, PveopsError

if TYPE_CHECKING:
    from pveops.domain.access import Permissions
    from pveops.operations.checkup.check import Check

_FIELDS = ("level", "code", "message", "fix")
_COLUMNS = (Column("level"), Column("code"), Column("message"), Column("fix", is_sparse=True))
_CONFIG_EXIT = 7
_ORDER = {"bad": 0, "warn": 1, "ok": 2}


@click.command("doctor", cls=Command, operation="doctor")
@list_options
@click.pass_obj
def command(call: Call) -> Answer:
    """Check everything that pveops depends on, and say what each level of consent stops.

    Reads only. Every line has a code that stays, and a fix. Exit 7 when something has to be
    mended before pveops can be relied on; 0 when there is nothing, or only what to think about.
    """
    found = sorted(_examine(call), key=lambda check: _ORDER[check.level])
    counts = {level: sum(1 for c in found if c.level == level) for level in ("bad", "warn")}
    verdict = f"{counts['bad']} to mend, {counts['warn']} to think about, of {len(found)} checks"
    return Answer(
        verdict,
        code=_CONFIG_EXIT if counts["bad"] else 0,
        beside=counts,
        blocks=(Listing(found, lambda check: check._asdict(), _FIELDS, _COLUMNS, title="checks"),),
    )


def _examine(call: Call) -> Iterator[Check]:
    """From this machine to the cluster; where the cluster cannot be asked, as far as it goes."""
    from pveops.cli import doctor_cluster, doctor_local
    from pveops.operations.checkup import local

    configured = list(_guarded("config", lambda: doctor_local.check_configuration(call)))
    yield from configured
    yield from _guarded("files", lambda: local.check_files(doctor_local.list_files(call)))
    yield from _guarded("policy", lambda: local.check_policy(doctor_local.read_policy(call)))
    yield from _guarded("store", lambda: local.check_store(doctor_local.read_store(call)))
    yield from _guarded("audit", lambda: local.check_audit(doctor_local.read_audit(call)))
    if any(check.code == "config.failed" for check in configured):
        return
    reached = list(_guarded("api", lambda: doctor_cluster.check_cluster(call)))
    yield from reached
    permissions: Permissions | None = None
    if not any(check.code == "api.failed" for check in reached):
        seen: list[Permissions] = []
        yield from _guarded("access", lambda: doctor_cluster.check_token(call, seen.append))
        permissions = seen[0] if seen else None
    yield from _guarded("consent", lambda: doctor_cluster.check_levels(call, permissions))


def _guarded(area: str, examine: Callable[[], Iterator[Check]]) -> Iterator[Check]:
    """What is found, and the error that ended it as a finding."""
    from pveops.operations.checkup.check import Check

    try:
        yield from examine()
    except PveopsError as error:
        fix = error.hint
        if error.code == AuthenticationError.code and fix == AuthenticationError.default_hint:
            fix = "pve secrets add   # a token that PVE accepts; this one has expired or is gone"
        yield Check("bad", f"{area}.failed", f"{error.message} ({error.code})", fix)
