"""`pve secrets rotate`: by a person, who logs in to PVE for it; nothing here keeps that login."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pveops.cli.answer import Answer, Facts
from pveops.errors import ConfigError, PolicyRefusedError, PveopsError, RefusedError, UsageError
from pveops.units import format_utc

if TYPE_CHECKING:
    from pveops.api.client import Client
    from pveops.cli.call import Call
    from pveops.config.profiles import Profile
    from pveops.config.secrets import StoredToken
    from pveops.engine.rotation import Rotated, Site

_TIER = 3
"""A change of who may do what."""


def rotate_token(call: Call, *, tier: int, login: str, days: int, is_resumed: bool) -> Answer:
    """Give the token of a tier a successor, or end what an interrupted call had begun."""
    from pveops.config.profiles import choose_profile
    from pveops.engine.rotation import resume, rotate

    name, profile = choose_profile(call.wiring.paths, call.options.profile)
    own = _token_of(profile, tier)
    _check_person(call)
    site = _site(call, name, own, login)
    _log_in(site, login)
    ended = resume(site) if is_resumed else rotate(site, days)
    return _tell(ended, name)


def _token_of(profile: Profile, tier: int) -> Profile:
    if profile.pvesh or profile.user:
        raise UsageError("the profile uses no API token, so there is none to rotate")
    chosen = profile.token_for(tier)
    if chosen is None:
        raise UsageError(f"the profile has no token for tier {tier}", hint="pve secrets status")
    if chosen.command:
        raise ConfigError(
            f"the token comes from the command {chosen.command[0]}, which cannot keep a new one",
            hint="make the new token in PVE, and put it where that command finds it",
        )
    return profile.of_token(chosen)


def _check_person(call: Call) -> None:
    if call.served is not None or not call.is_person:
        raise RefusedError(
            "a token is rotated by a person at a terminal, who logs in to PVE for it",
            hint="a person runs it: pve secrets rotate",
        )
    if call.wiring.policy.actors.person.action(_TIER) == "deny":
        raise PolicyRefusedError("the policy denies changes of tier 3 to everybody")
    if call.wiring.paths.freeze_file.exists():
        from pveops.errors import FrozenError

        raise FrozenError("all changes are frozen")


def _log_in(site: Site, login: str) -> None:
    """Raises AuthenticationError in words about the password, before anything is begun."""
    from pveops.errors import AuthenticationError

    try:
        site.calls.list_tokens(login)
    except AuthenticationError as error:
        raise AuthenticationError(
            f"the password of {login} was not accepted",
            hint="pve secrets rotate --login USER@REALM   # and the password of that user",
            details=error.details,
        ) from error
    except PveopsError:
        return  # the rotation tells


def _site(call: Call, name: str, profile: Profile, login: str) -> Site:
    from pveops.api.auth import Authenticated, Secret, TokenAuth
    from pveops.api.client import Client
    from pveops.api.decorators import ReadOnly, RetryReads
    from pveops.cli.connection import open_transport
    from pveops.cli.login import ask_password
    from pveops.config.rotation_files import RotationFiles
    from pveops.engine.rotation import Site
    from pveops.engine.token_calls import TokenCalls

    wiring = call.wiring
    transport = open_transport(call, wiring, name, profile)
    person = Authenticated(transport, ask_password(call, login))

    def open_client(token: StoredToken) -> Client:
        proved = Authenticated(transport, TokenAuth(token.token_id, Secret(token.secret)))
        return Client(ReadOnly(RetryReads(proved, call.clock, lambda: 0.5)), call.clock)

    facts = {
        "operation": "secrets.rotate",
        "tier": _TIER,
        "profile": name,
        "auth_id": login,
        "actor": call.actor.label,
        "reason": call.options.reason,
    }
    calls = TokenCalls(
        Client(RetryReads(person, call.clock, lambda: 0.5), call.clock),
        wiring.audit,
        wiring.paths.freeze_file.exists,
        facts,
    )
    return Site(RotationFiles(wiring.paths, name, profile), calls, open_client, call.clock)


def _tell(ended: Rotated, profile: str) -> Answer:
    if not ended.is_done:
        return Answer(
            f"undone: the profile {profile!r} goes on with {ended.old}; {ended.reason}",
            changed=True,
            data={"profile": profile, "token_id": ended.old, "undone": ended.new},
            next=("pve secrets rotate",),
        )
    until = format_utc(ended.expires, "%Y-%m-%d")
    return Answer(
        f"the profile {profile!r} has the token {ended.new} now; {ended.old} is deleted",
        changed=True,
        data={
            "profile": profile,
            "token_id": ended.new,
            "deleted": ended.old,
            "expires": ended.expires,
        },
        blocks=(Facts((("expires", until),)),),
        next=("pve secrets status",),
    )
