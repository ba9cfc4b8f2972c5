"""Where a PVE API is, and by what we know that it is the right one."""

from __future__ import annotations

import re
from enum import StrEnum
from typing import NamedTuple

from pveops.errors import UsageError

DEFAULT_PORT = 8006

_HOST = r"[A-Za-z0-9]([A-Za-z0-9.\-]*[A-Za-z0-9])?|[0-9A-Fa-f:.]+(%[A-Za-z0-9._\-]+)?"
_HEX = frozenset("0123456789ABCDEF")
_SHA256_DIGITS = 64
_MAX_PORT = 65_535


class TrustMode(StrEnum):
    """What stands for the server."""

    CA = "ca"
    """The cluster's own CA, and no other."""
    PIN = "pin"
    """The server's own certificate, by its SHA-256."""
    SYSTEM = "system"
    """The certificate authorities of this machine."""


class Trust(NamedTuple):
    """How a server proves itself. Made by `trust_authority`, `trust_pin`, `trust_system`."""

    mode: TrustMode
    pem: str = ""
    """CA: the anchor. Pin: the certificate itself, where it was stored."""
    fingerprint: str = ""
    """Pin: SHA-256 in PVE's form, `AB:CD:..`."""


class Endpoint(NamedTuple):
    """One server."""

    host: str
    port: int
    trust: Trust
    server_hostname: str = ""
    """The name to find in the certificate, where it is not the host that is connected to."""

    @property
    def authority(self) -> str:
        """`host:port` as in a URL."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @property
    def is_loopback(self) -> bool:
        """Whether the server is on this machine."""
        return self.host in ("localhost", "::1") or self.host.startswith("127.")


def trust_authority(pem: str) -> Trust:
    """Trust what the CA in `pem` (`/etc/pve/pve-root-ca.pem`) has signed, and nothing else."""
    return Trust(TrustMode.CA, pem=pem)


def trust_pin(fingerprint: str, pem: str = "") -> Trust:
    """Trust one certificate. Raises UsageError for what is no SHA-256 fingerprint."""
    return Trust(TrustMode.PIN, pem=pem, fingerprint=parse_fingerprint(fingerprint))


def trust_system() -> Trust:
    """Trust what this machine's certificate authorities have signed."""
    return Trust(TrustMode.SYSTEM)


def parse_fingerprint(text: str) -> str:
    """A SHA-256 in PVE's form, from that form in either case or from 64 plain hex digits."""
    plain = text.strip().upper().replace(":", "")
    if len(plain) != _SHA256_DIGITS or not _HEX.issuperset(plain):
        raise UsageError(
            "this is no SHA-256 fingerprint: 32 pairs of hex digits are wanted",
            hint="on the node: `pvenode cert info` shows it",
        )
    return ":".join(plain[at : at + 2] for at in range(0, len(plain), 2))


def parse_address(text: str) -> tuple[str, int]:
    """Host and port from `pve1`, `pve1:8006`, `[fd00::1]:8006` or `https://pve1:8006/`.

    Raises UsageError for anything else; plain http in particular.
    """
    rest = text.strip().removeprefix("https://").rstrip("/")
    match = re.fullmatch(
        r"\[(?P<v6>[^\]]+)\](?::(?P<p6>\d+))?|(?P<host>[^:]+)(?::(?P<port>\d+))?", rest
    )
    if match is None and rest.count(":") > 1:
        host, port = rest, DEFAULT_PORT
    elif match is None:
        raise UsageError(f"{text!r} is no address of a PVE server")
    else:
        host = match["v6"] or match["host"]
        port = int(match["p6"] or match["port"] or DEFAULT_PORT)
    if re.fullmatch(_HOST, host) is None or not 0 < port <= _MAX_PORT:
        raise UsageError(
            f"{text!r} is no address of a PVE server", hint="it looks like `pve1.lan:8006`"
        )
    return host, port
