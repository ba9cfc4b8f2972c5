"""`pve init`: make the configuration, trust a server, store a token."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from pveops.cli.answer import Answer, Facts
from pveops.cli.call import Call
from pveops.cli.commands import Command
from pveops.errors import ConfigError, PolicyRefusedError, UsageError

if TYPE_CHECKING:
    from pveops.api.tls import CertificateInfo
    from pveops.config.paths import Paths
    from pveops.config.profiles import Config, EndpointConfig, Profile

_PROMPT = "type the last four pairs of the fingerprint to trust it, or nothing to stop"


@click.command(
    "init",
    cls=Command,
    operation="init",
    examples=(
        "pve init pve1.example.lan --name home",
        "pve init pve1.example.lan --ca-file pve-root-ca.pem",
        "pve init pve1.example.lan --fingerprint AB:CD:...",
        "pve init pve1 pve2 --fingerprint AB:CD:... --fingerprint EF:01:...",
    ),
)
@click.argument("address", metavar="HOST[:PORT]...", nargs=-1, required=True)
@click.option("--name", default="home", show_default=True, help="What the profile is called.")
@click.option("--ca-file", type=click.Path(exists=True, dir_okay=False), help="The cluster's CA.")
@click.option("--system", "is_system", is_flag=True, help="Trust this machine's authorities.")
@click.option(
    "--fingerprint",
    "fingerprints",
    multiple=True,
    help="SHA-256 of a server's certificate; once for each HOST, in their order.",
)
@click.option("--server-name", default="", help="The name in the certificate, if another.")
@click.option("--replace", is_flag=True, help="Replace a profile of that name.")
@click.pass_obj
def command(
    call: Call,
    address: tuple[str, ...],
    name: str,
    ca_file: str | None,
    is_system: bool,
    fingerprints: tuple[str, ...],
    server_name: str,
    replace: bool,
) -> Answer:
    """Make or extend the configuration: one profile for one cluster.

    A server is trusted by the cluster's CA (--ca-file, /etc/pve/pve-root-ca.pem on any node), by
    the fingerprint of its certificate (shown, and asked about), or by this machine's
    authorities (--system). Nothing is sent to it before that. The token comes next, with
    `pve secrets add`.
    """
    from pveops.config.profiles import Config, check_profile_name, load_config, save_config

    paths = call.wiring.paths
    check_profile_name(name)
    config = load_config(paths) or Config()
    if name in config.profiles and not replace:
        raise UsageError(
            f"there is a profile {name!r} already", hint="another --name, or --replace it"
        )
    if ca_file and (is_system or fingerprints):
        raise UsageError("trust a server in one way: --ca-file, --fingerprint or --system")
    if ca_file:
        profile = _by_authority(paths, name, address, ca_file, server_name)
    elif is_system:
        profile = _by_system(address, server_name)
    else:
        profile = _by_pin(call, paths, address, fingerprints, server_name)
    save_config(paths, _with(config, name, profile))
    return Answer(
        f"profile {name!r} is written; store its token next",
        changed=False,
        data={"profile": name, "trust": profile.trust, "file": str(paths.config_file)},
        blocks=(
            Facts(
                (
                    ("file", str(paths.config_file)),
                    ("endpoints", ", ".join(each.address for each in profile.endpoints)),
                    ("trust", profile.trust),
                )
            ),
        ),
        next=(f"pve secrets add --profile {name}", "pve doctor"),
    )


def _with(config: Config, name: str, profile: Profile) -> Config:
    return config._replace(
        default=config.default or name, profiles={**config.profiles, name: profile}
    )


def _checked(address: tuple[str, ...]) -> tuple[str, ...]:
    """Addresses as the configuration keeps them. Raises UsageError for what is none."""
    from pveops.api.endpoint import parse_address
    from pveops.config.profiles import canonical_address

    for each in address:
        parse_address(each)
    return tuple(canonical_address(each) for each in address)


def _by_authority(
    paths: Paths, name: str, address: tuple[str, ...], ca_file: str, server_name: str
) -> Profile:
    from pathlib import Path

    from pveops.config.paths import write_private_file
    from pveops.config.profiles import EndpointConfig, Profile

    pem = Path(ca_file).read_bytes()
    if b"-----BEGIN CERTIFICATE-----" not in pem:
        raise UsageError(f"{ca_file} holds no PEM certificate")
    kept = f"{name}-ca.pem"
    write_private_file(paths.config_dir / kept, pem)
    endpoints = tuple(EndpointConfig(each, server_name) for each in _checked(address))
    return Profile(endpoints=endpoints, trust="ca", ca_file=kept)


def _by_system(address: tuple[str, ...], server_name: str) -> Profile:
    from pveops.config.profiles import EndpointConfig, Profile

    endpoints = tuple(EndpointConfig(each, server_name) for each in _checked(address))
    return Profile(endpoints=endpoints, trust="system")


def _by_pin(
    call: Call,
    paths: Paths,
    address: tuple[str, ...],
    fingerprints: tuple[str, ...],
    server_name: str,
) -> Profile:
    from itertools import zip_longest

    from pveops.config.profiles import Profile

    if len(fingerprints) > len(address):
        raise UsageError(f"{len(fingerprints)} fingerprints for {len(address)} servers")
    endpoints = [
        _pin(call, paths, each, given, server_name)
        for each, given in zip_longest(_checked(address), fingerprints, fillvalue="")
    ]
    return Profile(endpoints=tuple(endpoints), trust="pin")


def _pin(
    call: Call, paths: Paths, address: str, fingerprint: str, server_name: str
) -> EndpointConfig:
    from pveops.api.endpoint import parse_address, parse_fingerprint
    from pveops.api.tls import fetch_certificate
    from pveops.config.paths import write_private_file
    from pveops.config.profiles import EndpointConfig
    from pveops.errors import TlsError

    host, port = parse_address(address)
    info = fetch_certificate(host, port)
    shown = info.facts.fingerprint
    if fingerprint:
        if parse_fingerprint(fingerprint) != shown:
            raise TlsError(
                f"{address} shows another certificate: {shown}, not {fingerprint}",
                hint="compare with `pvenode cert info` on the node",
            )
    else:
        _confirm(call, address, info)
    kept = f"{host.replace(':', '_')}-{port}.pem"
    write_private_file(paths.config_dir / kept, info.pem.encode())
    name = server_name or _name_for(host, info)
    return EndpointConfig(address, name if name != host else "", shown, kept)


def _name_for(host: str, info: CertificateInfo) -> str:
    """A name that the certificate holds: the host itself where it can be."""
    names = info.facts.names
    return host if host in names or not names else names[0]


def _confirm(call: Call, address: str, info: CertificateInfo) -> None:
    """Only a person can say that a fingerprint is the right one."""
    shown = info.facts.fingerprint
    if not call.is_person:
        # Not told here: whoever reads it from us has not compared it with the node.
        raise PolicyRefusedError(
            f"a person has to compare the certificate of {address} with the node's own",
            hint="on the node: `pvenode cert info`; then a person gives it with --fingerprint, "
            "once for each HOST, in their order",
            details={"address": address},
        )
    call.stderr.write(
        f"{address} shows this certificate for {', '.join(info.facts.names[:4])}:\n"
        f"  {shown}\nCompare it on the node: pvenode cert info\n"
    )
    if call.ask(_PROMPT).upper() != shown[-11:]:
        raise ConfigError("not confirmed; nothing was written")
