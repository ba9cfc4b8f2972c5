"""The profiles of `config.yaml`: which cluster, by which endpoints, trusted how, in whose name.

Plain values that are quick to make. The document itself is read by `profile_document`, which
needs libraries that take longer to import than a request takes; what it read is kept as JSON
and used for as long as the document is the same file with the same times.
"""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from pveops import __version__
from pveops.errors import ConfigError

if TYPE_CHECKING:
    from pveops.config.paths import Paths

TrustKind = Literal["ca", "pin", "system"]
ActorDefault = Literal["auto", "agent", "unattended"]

_DEFAULT_PORT = 8006
_SETTLED_NS = 2_000_000_000
"""A file changed this recently may change again without its times telling."""
_FINGERPRINT_CHARS = 16


class EndpointConfig(NamedTuple):
    """One node's API."""

    address: str
    """`host:port`; the port may be left out. An IPv6 address stands in brackets."""
    server_name: str = ""
    """The name in the certificate, where it is not the host."""
    pin: str = ""
    """SHA-256 of the certificate, `AB:CD:...`, for `trust: pin`."""
    certificate: str = ""
    """File with that certificate, relative to the configuration folder."""


class ConsentConfig(NamedTuple):
    """How a consent code reaches a person."""

    sender: tuple[str, ...] = ()
    """A command that gets the message on its standard input; never a shell's line."""
    openclaw_channel: str = ""
    openclaw_target: str = ""
    """Whom OpenClaw's message command sends it to, and over which channel."""
    apprise_file: str = ""
    """A private file with Apprise URLs, one a line."""

    @property
    def is_set(self) -> bool:
        """Whether any way is named."""
        return bool(self.sender or self.openclaw_target or self.apprise_file)


class Timeouts(NamedTuple):
    """How long a server is waited for."""

    connect_s: float = 5.0
    read_s: float = 35.0
    """PVE's own proxy gives a node 30 s."""


class MonitorConfig(NamedTuple):
    """From when on the monitor tells something."""

    nearly_full: int = 85
    full: int = 95
    """Percent of a storage."""
    memory: int = 95
    """Percent of a node's memory."""
    raise_after_s: int = 60
    """How long a warning has to last; what stands still is told at once."""
    clear_after_s: int = 60
    """How long it has to be gone."""
    cpu: int = 90
    """Percent of a node's CPUs, for a quarter of an hour."""
    pressure: int = 40
    """Percent of a quarter of an hour that a node's work waited for CPU, disks or memory."""
    filling_days: int = 7
    """A storage that will be full sooner; as all days, 0 switches it off."""
    certificate_days: int = 14
    snapshot_days: int = 14
    backup_days: int = 2
    clock_s: int = 5
    lock_s: int = 1800
    """How long a guest may be locked without a task that works on it."""


class TellConfig(NamedTuple):
    """What a person is told of unasked, over the way that `ConsentConfig` names."""

    runs: bool = True
    """The end of a run that took longer than its caller waited."""


class TierToken(NamedTuple):
    """The token that plans up to a tier are carried out with."""

    tier: int
    token_file: str = ""
    """Below the secrets folder; or"""
    command: tuple[str, ...] = ()
    """what gives it, as `Profile.token_command`."""


class Profile(NamedTuple):
    """One cluster, and how this machine deals with it."""

    endpoints: tuple[EndpointConfig, ...] = ()
    trust: TrustKind = "ca"
    ca_file: str = ""
    """The cluster's CA, relative to the configuration folder, for `trust: ca`."""
    token_file: str = "pve-token.txt"  # noqa: S105 - the name of a file
    """Below the secrets folder."""
    pvesh: tuple[str, ...] = ()
    """Run on a node as root instead: the command, usually `[pvesh]`. Needs no token."""
    consent: ConsentConfig = ConsentConfig()
    user: str = ""
    """Log in as this user, asking for the password each time, instead of using a token."""
    identity_file: str = ""
    """What decrypts the token; empty: where `Paths` says."""
    timeouts: Timeouts = Timeouts()
    monitor: MonitorConfig = MonitorConfig()
    actor: ActorDefault = "auto"
    """What every caller of this profile counts as; `auto`: as far as can be told."""
    broker: str = ""
    """The socket of the broker that changes things; empty: we do ourselves."""
    token_command: tuple[str, ...] = ()
    """What gives the token instead of a file, as `config.resolver` asks it."""
    tier_tokens: tuple[TierToken, ...] = ()
    """Tokens for changes, the lowest tier first; none: the one token does everything."""
    tell: TellConfig = TellConfig()

    @property
    def broker_socket(self) -> str:
        """`broker` with the home folder spelled out."""
        return os.path.expanduser(self.broker)  # noqa: PTH111 - empty stays empty

    def token_for(self, tier: int) -> TierToken | None:
        """The token that a plan of this tier is carried out with.

        That of the lowest tier that is high enough; None: the profile has none, on purpose.
        """
        own = TierToken(0, self.token_file, self.token_command)
        if tier == 0 or not self.tier_tokens:
            return own
        return next((each for each in self.tier_tokens if each.tier >= tier), None)

    def of_token(self, token: TierToken) -> Profile:
        """The same profile with that token as its only one."""
        file = token.token_file or self.token_file
        return self._replace(token_file=file, token_command=token.command, tier_tokens=())

    def list_tokens(self) -> tuple[TierToken, ...]:
        """All of them, the one for reading first."""
        return (TierToken(0, self.token_file, self.token_command), *self.tier_tokens)


class Config(NamedTuple):
    """Everything in `config.yaml`."""

    default: str = ""
    profiles: Mapping[str, Profile] = {}


def load_config(paths: Paths) -> Config | None:
    """What `config.yaml` says; None before `pve init`. Raises ConfigError with the line."""
    try:
        before = paths.config_file.stat()
    except OSError:
        before = None
    kept = _read_kept(paths.config_cache_file, before) if before else None
    if kept is not None:
        return kept
    from pveops.config.profile_document import parse_config, read_config

    content = read_config(paths.config_file)
    if content is None:
        return None
    config = parse_config(content, f"the configuration {paths.config_file}")
    if before is not None:
        _keep(paths.config_cache_file, before, config)
    return config


def choose_profile(paths: Paths, name: str = "") -> tuple[str, Profile]:
    """The named profile, or the default one. Raises ConfigError that says what to do."""
    config = load_config(paths)
    if config is None:
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


def check_profile_name(name: str) -> None:
    """Raise ConfigError for a name that could not be a file's."""
    import re

    if not re.fullmatch(r"[a-z0-9][a-z0-9_-]{0,31}", name):
        raise ConfigError(
            f"{name!r} is no profile name",
            hint="use lower-case letters, digits, - and _, 32 at most",
        )


def save_config(paths: Paths, config: Config) -> None:
    """Write `config.yaml` anew; what it was before stays beside it as `config.yaml.prev`.

    Raises ConfigError, also for a configuration that could not be read back.
    """
    from pveops.config.paths import write_private_file
    from pveops.config.profile_document import format_config, parse_config, read_config

    file = paths.config_file
    content = format_config(config)
    parse_config(content, "the new configuration")
    before = read_config(file)
    if before is not None and before != content:
        write_private_file(file.with_name(f"{file.name}.prev"), before)
    write_private_file(file, content)


def read_beside(paths: Paths, name: str, what: str) -> str:
    """The text of a file that the configuration names, relative to its folder."""
    path = paths.config_dir / Path(name).expanduser()
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is no text"
        raise ConfigError(
            f"{what} {path} cannot be read: {reason}", hint="run `pve init` again"
        ) from error


def canonical_address(text: str) -> str:
    """`host:port` in lower case, with PVE's port where none is named."""
    host = text.strip().lower()
    has_port = ":" in host.rpartition("]")[2]
    return host if has_port else f"{host}:{_DEFAULT_PORT}"


def canonical_pin(text: str) -> str:
    """A fingerprint as PVE writes it, `AB:CD:...`, from any common way of writing one."""
    digits = text.strip().upper().replace(":", "")
    return ":".join(digits[at : at + 2] for at in range(0, len(digits), 2))


def describe_binding(paths: Paths, profile: Profile) -> tuple[str, ...]:
    """Where the profile's credential may go, and what proves that place: one phrase each.

    Raises ConfigError when the CA cannot be read.
    """
    if profile.pvesh:
        return (f"command {' '.join(profile.pvesh)}",)
    phrases = [f"trust {profile.trust}"]
    if profile.trust == "ca":
        phrases.append(f"CA {_digest(read_beside(paths, profile.ca_file, 'the CA file'))}")
    for endpoint in profile.endpoints:
        name = f" as {endpoint.server_name.lower()}" if endpoint.server_name else ""
        pin = f" with certificate {canonical_pin(endpoint.pin)}" if endpoint.pin else ""
        phrases.append(f"endpoint {canonical_address(endpoint.address)}{name}{pin}")
    return tuple(sorted(phrases))


def binding_of(paths: Paths, profile: Profile) -> str:
    """Endpoints and trust as one short fingerprint: what tokens and plans are bound to.

    Whoever edits an address, a pin or the CA gets another fingerprint.
    """
    return fingerprint_binding(describe_binding(paths, profile))


def fingerprint_binding(phrases: tuple[str, ...]) -> str:
    """The fingerprint of what `describe_binding` gave."""
    return _digest("\n".join(phrases))[:_FINGERPRINT_CHARS]


def _digest(text: str) -> str:
    import hashlib

    return hashlib.sha256(text.strip().encode()).hexdigest()


def _key(facts: os.stat_result) -> list[object]:
    return [__version__, facts.st_ino, facts.st_size, facts.st_mtime_ns, facts.st_ctime_ns]


def _read_kept(file: Path, source: os.stat_result) -> Config | None:
    """What was kept of exactly this document; None when it has to be read.

    Only for a document of our own: one that we may not write must not be spoken for by a file
    that we may.
    """
    if source.st_uid != os.geteuid() or source.st_mode & stat.S_IWOTH:
        return None
    try:
        descriptor = os.open(file, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        with os.fdopen(descriptor, "rb") as stream:
            facts = os.fstat(descriptor)
            if facts.st_uid != os.geteuid() or facts.st_mode & 0o077:
                return None
            kept = json.load(stream)
        return _restore(kept["config"]) if kept["key"] == _key(source) else None
    except (OSError, ValueError, TypeError, KeyError):
        return None


def _keep(file: Path, source: os.stat_result, config: Config) -> None:
    """Keep what was read; where that is not possible, it is read again next time."""
    from pveops.config.paths import write_private_file

    if source.st_uid != os.geteuid() or not file.parent.parent.is_dir():
        return
    try:
        write_private_file(file, json.dumps({"key": _key(source), "config": config}).encode())
        if file.stat().st_mtime_ns - source.st_mtime_ns < _SETTLED_NS:
            file.unlink()
    except (ConfigError, OSError):
        return


def _restore(values: Any) -> Config:
    """A Config from its JSON form, in which every tuple is a list."""
    default, profiles = values
    return Config(default, {name: _restore_profile(item) for name, item in profiles.items()})


def _restore_profile(values: list[Any]) -> Profile:
    raw = Profile(*values)
    return raw._replace(
        endpoints=tuple(EndpointConfig(*item) for item in raw.endpoints),
        pvesh=tuple(raw.pvesh),
        consent=ConsentConfig(tuple(raw.consent[0]), *raw.consent[1:]),
        timeouts=Timeouts(*raw.timeouts),
        monitor=MonitorConfig(*raw.monitor),
        token_command=tuple(raw.token_command),
        tier_tokens=tuple(TierToken(t, file, tuple(c)) for t, file, c in raw.tier_tokens),
        tell=TellConfig(*raw.tell),
    )
