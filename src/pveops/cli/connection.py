"""From a profile to its cluster: endpoints, trust, token, transports in their usual order."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from pveops.cli.wiring import Connection
from pveops.config.profiles import Profile, binding_of, choose_profile, read_beside
from pveops.errors import ConfigError, UsageError

if TYPE_CHECKING:
    from pveops.api.auth import Auth
    from pveops.api.endpoint import Endpoint, Trust
    from pveops.api.port import Transport
    from pveops.cli.call import Call
    from pveops.cli.wiring import Wiring
    from pveops.config.paths import Paths
    from pveops.config.profiles import EndpointConfig

_ROOT = "root@pam"


def connect_profile(call: Call, wiring: Wiring) -> Connection:
    """The profile that was asked for. Nothing is sent yet.

    Raises ConfigError and SecretError.
    """
    paths = wiring.paths
    name, profile = choose_profile(paths, call.options.profile)
    if profile.pvesh:
        return _on_node(call, paths, name, profile)
    from pveops.api.auth import Authenticated

    auth, auth_id = _identity(call, paths, name, profile)
    endpoints = endpoints_of(paths, profile)
    transports = _each_endpoint(call, paths, profile)
    transport = _traced(call, _over(call, wiring, name, transports))

    def open_writer(tier: int) -> tuple[str, Transport]:
        writer_auth, writer_id = _identity(call, paths, name, profile, tier)
        return writer_id, Authenticated(transport, writer_auth)

    return Connection(
        profile=name,
        cluster=binding_of(paths, profile),
        auth_id=auth_id,
        transport=Authenticated(transport, auth),
        consent=profile.consent,
        monitor=profile.monitor,
        documents=_https(call, profile, endpoints[0], root=""),
        endpoints=tuple((name, Authenticated(each, auth)) for name, each in transports),
        actor=profile.actor,
        tells_runs=profile.tell.runs,
        open_writer=open_writer if profile.tier_tokens else None,
        broker=profile.broker_socket,
        writer_tiers=tuple(token.tier for token in profile.tier_tokens),
    )


def open_transport(call: Call, wiring: Wiring, name: str, profile: Profile) -> Transport:
    """The profile's endpoints, without anybody's credentials. Nothing is sent yet."""
    return _traced(call, _over(call, wiring, name, _each_endpoint(call, wiring.paths, profile)))


def _each_endpoint(
    call: Call, paths: Paths, profile: Profile
) -> tuple[tuple[str, Transport], ...]:
    return tuple(
        (each.authority, _https(call, profile, each)) for each in endpoints_of(paths, profile)
    )


def _identity(
    call: Call, paths: Paths, name: str, profile: Profile, tier: int = 0
) -> tuple[Auth, str]:
    """What proves us, and how our tasks are signed."""
    if profile.user:
        from pveops.cli.login import ask_password

        return ask_password(call, profile.user), profile.user
    from pveops.api.auth import Secret, TokenAuth
    from pveops.config.secrets import load_token

    if profile.identity_file:
        paths = paths._replace(identity_file=Path(profile.identity_file))
    token = load_token(paths, name, profile, call.clock.now(), tier)
    return TokenAuth(token.token_id, Secret(token.secret)), token.token_id


def _on_node(call: Call, paths: Paths, name: str, profile: Profile) -> Connection:
    from pveops.api.pvesh import PveshTransport

    return Connection(
        profile=name,
        cluster=binding_of(paths, profile),
        auth_id=_ROOT,
        transport=_traced(call, PveshTransport(profile.pvesh)),
        consent=profile.consent,
        monitor=profile.monitor,
        actor=profile.actor,
        tells_runs=profile.tell.runs,
    )


def endpoints_of(paths: Paths, profile: Profile) -> tuple[Endpoint, ...]:
    """The profile's endpoints with what proves each. Raises ConfigError."""
    from pveops.api.endpoint import Endpoint, parse_address

    found = []
    for each in profile.endpoints:
        try:
            host, port = parse_address(each.address)
            trust = _trust(paths, profile, each)
        except UsageError as error:
            raise ConfigError(
                f"the endpoint {each.address!r} of the configuration: {error.message}",
                hint=error.hint or "run `pve init` again",
            ) from error
        found.append(Endpoint(host, port, trust, each.server_name))
    return tuple(found)


def _trust(paths: Paths, profile: Profile, endpoint: EndpointConfig) -> Trust:
    from pveops.api.endpoint import trust_authority, trust_pin, trust_system

    if profile.trust == "ca":
        return trust_authority(read_beside(paths, profile.ca_file, "the CA file"))
    if profile.trust == "system":
        return trust_system()
    pem = ""
    if endpoint.certificate:
        pem = read_beside(paths, endpoint.certificate, "the certificate")
    return trust_pin(endpoint.pin, pem)


def _https(call: Call, profile: Profile, endpoint: Endpoint, **more: str) -> Transport:
    from pveops.api.https import HttpsTransport

    return HttpsTransport(
        endpoint,
        clock=call.clock,
        connect_timeout_s=profile.timeouts.connect_s,
        read_timeout_s=profile.timeouts.read_s,
        **more,
    )


def _over(
    call: Call, wiring: Wiring, name: str, transports: tuple[tuple[str, Transport], ...]
) -> Transport:
    if len(transports) == 1:
        return transports[0][1]
    from pveops.api.decorators import Failover

    file = wiring.paths.config_cache_file.with_name(f"endpoint-{name}")
    return Failover(
        transports,
        call.clock,
        last_good=_recall(file) or transports[0][0],
        remember=lambda authority: _remember(file, authority),
    )


def _recall(file: Path) -> str:
    """The endpoint that answered last. One small file, so that a read need not open the store."""
    try:
        return file.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError):
        return ""


def _remember(file: Path, authority: str) -> None:
    """A convenience: where it cannot be kept, the order of the configuration holds."""
    from pveops.config.paths import write_private_file

    try:
        write_private_file(file, f"{authority}\n".encode())
    except ConfigError:
        return


def _traced(call: Call, transport: Transport) -> Transport:
    if not call.options.has_trace:
        return transport
    from pveops.api.decorators import Trace
    from pveops.redact import redact

    def emit(line: str) -> None:
        call.stderr.write(f"{redact(line)}\n")

    return Trace(transport, call.clock, emit)
