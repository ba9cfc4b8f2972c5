"""A certificate authority and a certificate for each node, made when the cluster starts.

As PVE makes them (pve-cluster Setup.pm): one CA a cluster, a leaf a node with the node's names and
addresses. X.509 v3 in DER, written by hand: no package and no program is needed.
"""

from __future__ import annotations

import base64
import hashlib
import ipaddress
import secrets
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from pveops.sim.p256 import Key, make_key, sign

_EC = bytes.fromhex("06072a8648ce3d0201")
_P256 = bytes.fromhex("06082a8648ce3d030107")
_ECDSA_SHA256 = bytes.fromhex("06082a8648ce3d040302")
_COMMON_NAME = bytes.fromhex("0603550403")
_EXTENSIONS = {
    "subject-key": "0603551d0e",
    "key-usage": "0603551d0f",
    "alternative-names": "0603551d11",
    "basic-constraints": "0603551d13",
    "authority-key": "0603551d23",
    "extended-key-usage": "0603551d25",
}
_SERVER_AUTH = bytes.fromhex("06082b06010505070301")
_YEARS = 2


class Certificate(NamedTuple):
    """A certificate and its key, both as PEM."""

    certificate: str
    key: str

    @property
    def der(self) -> bytes:
        """The certificate as bytes."""
        return base64.b64decode("".join(self.certificate.splitlines()[1:-1]))

    @property
    def fingerprint(self) -> str:
        """SHA-256 in PVE's form."""
        digest = hashlib.sha256(self.der).hexdigest().upper()
        return ":".join(digest[i : i + 2] for i in range(0, len(digest), 2))


class Authority:
    """A cluster's CA."""

    def __init__(self, name: str = "Proxmox Virtual Environment") -> None:
        self._name = name
        self._key = make_key()
        extensions = [
            _extension("basic-constraints", _sequence(b"\x01\x01\xff"), critical=True),
            _extension("key-usage", b"\x03\x02\x01\x06", critical=True),
            _extension("subject-key", _octets(_key_id(self._key))),
        ]
        self.pem = _pem("CERTIFICATE", self._certify(name, self._key, extensions))

    def issue(self, name: str, names: Sequence[str], addresses: Sequence[str]) -> Certificate:
        """A server's certificate for these names and addresses."""
        key = make_key()
        extensions = [
            _extension("basic-constraints", _sequence(b"")),
            _extension("key-usage", b"\x03\x02\x07\x80", critical=True),
            _extension("extended-key-usage", _sequence(_SERVER_AUTH)),
            _extension("subject-key", _octets(_key_id(key))),
            _extension("authority-key", _sequence(_tagged(0x80, _key_id(self._key)))),
            _extension("alternative-names", _alternatives(names, addresses)),
        ]
        der = self._certify(name, key, extensions)
        return Certificate(_pem("CERTIFICATE", der), _pem("EC PRIVATE KEY", _private_key(key)))

    def _certify(self, subject: str, key: Key, extensions: list[bytes]) -> bytes:
        now = datetime.now(UTC)
        validity = _sequence(
            _time(now - timedelta(days=1)) + _time(now + timedelta(days=365 * _YEARS))
        )
        body = _sequence(
            _tagged(0xA0, _integer(2))
            + _integer(secrets.randbits(120) | 1)
            + _sequence(_ECDSA_SHA256)
            + _distinguished_name(self._name)
            + validity
            + _distinguished_name(subject)
            + _public_key(key)
            + _tagged(0xA3, _sequence(b"".join(extensions)))
        )
        r, s = sign(self._key, body)
        signature = _sequence(_integer(r) + _integer(s))
        return _sequence(body + _sequence(_ECDSA_SHA256) + _bits(signature))


# -- DER ---------------------------------------------------------------------------


def _tagged(tag: int, content: bytes) -> bytes:
    length = len(content)
    if length < 0x80:
        return bytes((tag, length)) + content
    size = (length.bit_length() + 7) // 8
    return bytes((tag, 0x80 | size)) + length.to_bytes(size, "big") + content


def _sequence(content: bytes) -> bytes:
    return _tagged(0x30, content)


def _octets(content: bytes) -> bytes:
    return _tagged(0x04, content)


def _bits(content: bytes) -> bytes:
    return _tagged(0x03, b"\x00" + content)


def _integer(number: int) -> bytes:
    return _tagged(0x02, number.to_bytes(number.bit_length() // 8 + 1, "big"))


def _time(moment: datetime) -> bytes:
    return _tagged(0x17, moment.strftime("%y%m%d%H%M%SZ").encode())


def _distinguished_name(name: str) -> bytes:
    value = _sequence(_COMMON_NAME + _tagged(0x0C, name.encode()))
    return _sequence(_tagged(0x31, value))


def _public_key(key: Key) -> bytes:
    return _sequence(_sequence(_EC + _P256) + _bits(key.public_bytes))


def _private_key(key: Key) -> bytes:
    return _sequence(
        _integer(1)
        + _octets(key.secret.to_bytes(32, "big"))
        + _tagged(0xA0, _P256)
        + _tagged(0xA1, _bits(key.public_bytes))
    )


def _key_id(key: Key) -> bytes:
    return hashlib.sha1(key.public_bytes, usedforsecurity=False).digest()


def _extension(name: str, value: bytes, *, critical: bool = False) -> bytes:
    flag = b"\x01\x01\xff" if critical else b""
    return _sequence(bytes.fromhex(_EXTENSIONS[name]) + flag + _octets(value))


def _alternatives(names: Sequence[str], addresses: Sequence[str]) -> bytes:
    parts = [_tagged(0x82, name.encode()) for name in names]
    parts += [_tagged(0x87, ipaddress.ip_address(address).packed) for address in addresses]
    return _sequence(b"".join(parts))


def _pem(label: str, der: bytes) -> str:
    text = base64.b64encode(der).decode()
    lines = [text[i : i + 64] for i in range(0, len(text), 64)]
    return "\n".join((f"-----BEGIN {label}-----", *lines, f"-----END {label}-----", ""))
