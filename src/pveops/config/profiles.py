"""Profiles: which cluster, by which endpoints, trusted how, asked in whose name."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path
from typing import Any, Literal

import msgspec

from pveops.config.documents import load_document
from pveops.config.paths import Paths, write_private_file
from pveops.errors import ConfigError

TrustKind = Literal["ca", "pin", "system"]

_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,31}")
_FINGERPRINT_CHARS = 16


class EndpointConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """One node's API."""

    address: str
    """`host:port`; the port may be left out."""
    server_name: str = ""
    """The name in the certificate, where it is not the host."""
    pin: str = ""
    """SHA-256 of the certificate, for `trust: pin`."""
    certificate: str = ""
    """File with that certificate, relative to the configuration folder."""


class ConsentConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """How a consent code reaches a person."""

    sender: tuple[str, ...] = ()
    """A command that gets the message on its standard input; never a shell's line."""


class Profile(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """One cluster."""

    endpoints: tuple[EndpointConfig, ...] = ()
    trust: TrustKind = "ca"
    ca_file: str = ""
    """The cluster's CA, relative to the configuration folder, for `trust: ca`."""
    token_file: str = "pve-token.txt"  # noqa: S105
    """Below the secrets folder."""
    pvesh: tuple[str, ...] = ()
    """Run on a node as root instead: the command, usually `[pvesh]`. Needs no token."""
    consent: ConsentConfig = ConsentConfig()

    def __post_init__(self) -> None:
        if not self.endpoints and not self.pvesh:
            raise ValueError("a profile needs at least one endpoint (or pvesh)")
        if self.trust == "ca" and self.endpoints and not self.ca_file:
            raise ValueError("trust: ca needs ca_file")
        if self.trust == "pin" and any(not endpoint.pin for endpoint in self.endpoints):
            raise ValueError("trust: pin needs a pin for each endpoint")
        if "/" in self.token_file or self.token_file.startswith("."):
            raise ValueError("token_file is a file's name, without a folder")


class Config(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """The file config.yaml."""

    default: str = ""
    profiles: dict[str, Profile] = {}


def load_config(paths: Paths) -> Config | None:
    """The configuration, or None before `pve init`. Raises ConfigError with the line."""
    config = load_document(paths.config_file, Config, "the configuration")
    if config is None:
        return None
    for name in config.profiles:
        check_profile_name(name)
    if config.default and config.default not in config.profiles:
        raise ConfigError(
            f"the configuration {paths.config_file} has no profile {config.default!r}, "
            "which it names as default",
            hint=f"profiles: {', '.join(config.profiles) or 'none'}",
        )
    return config


def check_profile_name(name: str) -> None:
    """Raises ConfigError for a name that could not be a file's."""
    if not _NAME.fullmatch(name):
        raise ConfigError(
            f"{name!r} is no profile name",
            hint="use lower-case letters, digits, - and _, 32 at most",
        )


def choose_profile(paths: Paths, name: str = "") -> tuple[str, Profile]:
    """The named profile, or the default one. Raises ConfigError that says what to do."""
    config = load_config(paths)
    if config is None or not config.profiles:
        raise ConfigError(
            f"nothing is configured yet ({paths.config_file} does not exist)",
            hint="`pve init HOST` for a cluster, or `pve demo` to try without one",
        )
    chosen = name or config.default
    if not chosen and len(config.profiles) == 1:
        chosen = next(iter(config.profiles))
    if chosen not in config.profiles:
        what = f"there is no profile {chosen!r}" if chosen else "no default profile is set"
        raise ConfigError(what, hint=f"choose one: --profile {'|'.join(config.profiles)}")
    return chosen, config.profiles[chosen]


def save_config(paths: Paths, config: Config) -> None:
    """Write the configuration, replacing the file at once."""
    import yaml

    data: Any = msgspec.to_builtins(config)
    text = "# Written by `pve init`; see docs/reference/files.md.\n" + yaml.safe_dump(
        data, sort_keys=False, allow_unicode=True
    )
    write_private_file(paths.config_file, text.encode())


def read_beside(paths: Paths, name: str, what: str) -> str:
    """The text of a file that the configuration names, relative to its folder."""
    path = Path(name)
    path = path if path.is_absolute() else paths.config_dir / path
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(
            f"{what} {path} cannot be read: {error}", hint="run `pve init` again"
        ) from error


def binding_of(paths: Paths, profile: Profile) -> str:
    """Endpoints and trust as one short fingerprint: what tokens and plans are bound to.

    Whoever edits an address, a pin or the CA gets another fingerprint.
    """
    parts = [profile.trust, *profile.pvesh]
    for endpoint in profile.endpoints:
        parts += [endpoint.address, endpoint.server_name, endpoint.pin]
    if profile.trust == "ca" and profile.ca_file:
        parts.append(read_beside(paths, profile.ca_file, "the CA file"))
    text = "\0".join(parts)
    return hashlib.sha256(text.encode()).hexdigest()[:_FINGERPRINT_CHARS]
