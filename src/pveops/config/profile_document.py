"""`config.yaml` as people write it: checked, and brought to one form."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Any

import msgspec

from pveops.config.documents import parse_document, read_document
from pveops.config.profiles import (
    ActorDefault,
    Config,
    ConsentConfig,
    EndpointConfig,
    MonitorConfig,
    Profile,
    TellConfig,
    TierToken,
    Timeouts,
    TrustKind,
    canonical_address,
    canonical_pin,
)

_HEADER = b"# Profiles of pveops. `pve init` writes this file; you may edit it.\n"
_MAX_PORT = 65_535
_ADDRESS = re.compile(
    r"(?:\[[0-9A-Fa-f:.]+(?:%[A-Za-z0-9._\-]+)?\]|[A-Za-z0-9](?:[A-Za-z0-9.\-]*[A-Za-z0-9])?)"
    r"(?::(?P<port>[0-9]{1,5}))?"
)
_PIN = re.compile(r"[0-9A-Fa-f]{64}|[0-9A-Fa-f]{2}(?::[0-9A-Fa-f]{2}){31}")

ProfileName = Annotated[str, msgspec.Meta(pattern=r"^[a-z0-9][a-z0-9_\-]{0,31}$")]
Host = Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z0-9]([A-Za-z0-9.\-:]*[A-Za-z0-9])?$")]
FileName = Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.\-]*$")]
User = Annotated[str, msgspec.Meta(pattern=r"^[^\s:/!]+@[A-Za-z][A-Za-z0-9.\-_]+$")]
AbsolutePath = Annotated[str, msgspec.Meta(pattern=r"^[~/]")]
Word = Annotated[str, msgspec.Meta(min_length=1)]


class _Strict(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    pass


class _Endpoint(_Strict, frozen=True):
    address: str
    server_name: Host | None = None
    pin: str | None = None
    certificate: Word | None = None

    def __post_init__(self) -> None:
        match = _ADDRESS.fullmatch(self.address.strip())
        if match is None or not 0 < int(match["port"] or 1) <= _MAX_PORT:
            raise ValueError(f"{self.address!r} is no address; it looks like pve1.lan:8006")
        if self.pin is not None and not _PIN.fullmatch(self.pin.strip()):
            raise ValueError("a pin is the SHA-256 fingerprint that `pvenode cert info` shows")
        if self.certificate is not None and self.pin is None:
            raise ValueError("certificate goes with a pin")


class _OpenClaw(_Strict, frozen=True):
    channel: Word
    target: Word


class _Consent(_Strict, frozen=True):
    sender: tuple[Word, ...] = ()
    openclaw: _OpenClaw | None = None
    apprise_file: AbsolutePath | None = None

    def __post_init__(self) -> None:
        if sum(map(bool, (self.sender, self.openclaw, self.apprise_file))) > 1:
            raise ValueError("sender, openclaw and apprise_file are three ways; one of them")

    def plain(self) -> ConsentConfig:
        return ConsentConfig(
            self.sender,
            self.openclaw.channel if self.openclaw else "",
            self.openclaw.target if self.openclaw else "",
            self.apprise_file or "",
        )


Percent = Annotated[int, msgspec.Meta(ge=1, le=100)]
Seconds = Annotated[int, msgspec.Meta(ge=0, le=86_400)]
Days = Annotated[int, msgspec.Meta(ge=0, le=3650)]
Skew = Annotated[int, msgspec.Meta(ge=1, le=3600)]


class _Monitor(_Strict, frozen=True):
    nearly_full: Percent = MonitorConfig().nearly_full
    full: Percent = MonitorConfig().full
    memory: Percent = MonitorConfig().memory
    cpu: Percent = MonitorConfig().cpu
    pressure: Percent = MonitorConfig().pressure
    filling_days: Days = MonitorConfig().filling_days
    certificate_days: Days = MonitorConfig().certificate_days
    snapshot_days: Days = MonitorConfig().snapshot_days
    backup_days: Days = MonitorConfig().backup_days
    clock_s: Skew = MonitorConfig().clock_s
    lock_s: Seconds = MonitorConfig().lock_s
    raise_after_s: Seconds = MonitorConfig().raise_after_s
    clear_after_s: Seconds = MonitorConfig().clear_after_s

    def __post_init__(self) -> None:
        if self.nearly_full > self.full:
            raise ValueError("nearly_full is above full")

    def plain(self) -> MonitorConfig:
        return MonitorConfig(*(getattr(self, name) for name in MonitorConfig._fields))


class _Tell(_Strict, frozen=True):
    runs: bool = TellConfig().runs


class _Timeouts(_Strict, frozen=True):
    connect_s: Annotated[float, msgspec.Meta(ge=0.5, le=60)] = 5.0
    read_s: Annotated[float, msgspec.Meta(ge=5, le=600)] = 35.0


class _SecretCommand(_Strict, frozen=True):
    command: Annotated[tuple[Word, ...], msgspec.Meta(min_length=1)]


class _TierToken(_Strict, frozen=True):
    token_file: FileName | None = None
    secret: _SecretCommand | None = None

    def __post_init__(self) -> None:
        if (self.token_file is None) == (self.secret is None):
            raise ValueError("a tier's token has a token_file or a secret; one of the two")


class _Profile(_Strict, frozen=True):
    endpoints: Annotated[tuple[_Endpoint, ...], msgspec.Meta(max_length=64)] = ()
    trust: TrustKind = "ca"
    ca_file: Word | None = None
    token_file: FileName | None = None
    pvesh: tuple[Word, ...] = ()
    consent: _Consent = _Consent()
    user: User | None = None
    identity_file: AbsolutePath | None = None
    timeouts: _Timeouts = _Timeouts()
    monitor: _Monitor = _Monitor()
    tell: _Tell = _Tell()
    proxy: bool = False
    actor: ActorDefault = "auto"
    broker: AbsolutePath | None = None
    secret: _SecretCommand | None = None
    tokens: dict[Annotated[int, msgspec.Meta(ge=1, le=3)], _TierToken] = {}

    def __post_init__(self) -> None:
        if bool(self.endpoints) == bool(self.pvesh):
            raise ValueError("a profile has endpoints or, on a node, pvesh; one of the two")
        self._check_trust()
        if self.token_file is not None and self.user is not None:
            raise ValueError("a profile has a token_file or a user, not both")
        self._check_tokens()
        if self.proxy:
            raise ValueError("proxy: true is not possible; connections go straight to the node")

    def _check_tokens(self) -> None:
        if self.secret is not None and (self.token_file is not None or self.user is not None):
            raise ValueError("secret takes the place of token_file and user; one of the three")
        if (self.secret is not None or self.tokens) and self.pvesh:
            raise ValueError("with pvesh there is no token")
        if self.tokens and self.user is not None:
            raise ValueError("a profile has tokens or a user, not both")
        files = [each.token_file for each in self.tokens.values() if each.token_file]
        if self.secret is None:
            files.append(self.token_file or Profile().token_file)
        if len(set(files)) < len(files):
            raise ValueError("two tokens would lie in one token_file")

    def _check_trust(self) -> None:
        if (self.trust == "ca" and bool(self.endpoints)) != (self.ca_file is not None):
            raise ValueError("trust: ca needs ca_file, and no other trust has one")
        for endpoint in self.endpoints:
            if (self.trust == "pin") != (endpoint.pin is not None):
                raise ValueError(
                    "trust: pin needs a pin for each endpoint, and no other trust has one"
                )
        addresses = {canonical_address(endpoint.address) for endpoint in self.endpoints}
        if len(addresses) < len(self.endpoints):
            raise ValueError("an endpoint stands here twice")


class _Document(_Strict, frozen=True):
    profiles: Annotated[dict[ProfileName, _Profile], msgspec.Meta(min_length=1)]
    default: str | None = None

    def __post_init__(self) -> None:
        if self.default is not None and self.default not in self.profiles:
            names = ", ".join(self.profiles)
            raise ValueError(f"default is {self.default!r}, but the profiles are {names}")


def read_config(file: Path) -> bytes | None:
    """The document's bytes; None when there is none. Raises ConfigError."""
    return read_document(file, "the configuration")


def parse_config(content: bytes, label: str) -> Config:
    """The configuration in `content`. Raises ConfigError with the line of the mistake."""
    document = parse_document(content, _Document, label)
    profiles = {name: _to_profile(item) for name, item in document.profiles.items()}
    return Config(document.default or "", profiles)


def format_config(config: Config) -> bytes:
    """The document that says `config`."""
    import yaml

    document: dict[str, Any] = {"default": config.default} if config.default else {}
    document["profiles"] = {name: _plain_profile(item) for name, item in config.profiles.items()}
    text = yaml.safe_dump(document, sort_keys=False, allow_unicode=True, width=99)
    return _HEADER + text.encode()


def _to_profile(item: _Profile) -> Profile:
    return Profile(
        endpoints=tuple(
            EndpointConfig(
                canonical_address(each.address),
                each.server_name or "",
                canonical_pin(each.pin) if each.pin else "",
                each.certificate or "",
            )
            for each in item.endpoints
        ),
        trust=item.trust,
        ca_file=item.ca_file or "",
        token_file=item.token_file or Profile().token_file,
        pvesh=item.pvesh,
        consent=item.consent.plain(),
        user=item.user or "",
        identity_file=item.identity_file or "",
        timeouts=Timeouts(item.timeouts.connect_s, item.timeouts.read_s),
        monitor=item.monitor.plain(),
        actor=item.actor,
        broker=item.broker or "",
        token_command=item.secret.command if item.secret else (),
        tier_tokens=tuple(
            TierToken(tier, each.token_file or "", each.secret.command if each.secret else ())
            for tier, each in sorted(item.tokens.items())
        ),
        tell=TellConfig(item.tell.runs),
    )


def _plain_profile(profile: Profile) -> dict[str, Any]:
    document: dict[str, Any] = _plain(profile._replace(token_command=(), tier_tokens=()))
    if profile.token_command:
        document["secret"] = {"command": list(profile.token_command)}
    if profile.tier_tokens:
        document["tokens"] = {each.tier: _plain_token(each) for each in profile.tier_tokens}
    return document


def _plain_token(token: TierToken) -> dict[str, Any]:
    if token.command:
        return {"secret": {"command": list(token.command)}}
    return {"token_file": token.token_file}


def _plain(values: Any) -> Any:
    """A value as YAML shows it: what differs from the default, tuples as lists."""
    if isinstance(values, ConsentConfig):
        return _plain_consent(values)
    if hasattr(values, "_field_defaults"):
        return {
            name: _plain(value)
            for name, value in values._asdict().items()
            if value != values._field_defaults.get(name)
        }
    return [_plain(item) for item in values] if isinstance(values, tuple) else values


def _plain_consent(config: ConsentConfig) -> dict[str, Any]:
    if config.openclaw_target:
        return {"openclaw": {"channel": config.openclaw_channel, "target": config.openclaw_target}}
    if config.apprise_file:
        return {"apprise_file": config.apprise_file}
    return {"sender": list(config.sender)}
