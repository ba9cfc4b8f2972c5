"""The few facts of a certificate that a person decides by, read from its DER (RFC 5280).

The standard library decodes a peer's certificate only once it is trusted, and first contact
is about one that is not yet.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import NamedTuple

from pveops.errors import TlsError
from pveops.sanitize import sanitize_text

_EXTENSIONS = 0xA3
_VERSION = 0xA0
_GENERALIZED_TIME = 0x18
_DNS_NAME = 0x82
_IP_ADDRESS = 0x87
_LONG_FORM = 0x80
_SUBJECT_ALT_NAME = bytes.fromhex("0603551d11")
_COMMON_NAME = bytes.fromhex("0603550403")
_MAX_NAME = 253
"""As long as a name in DNS can be."""


class CertificateFacts(NamedTuple):
    """What a certificate says of itself, unverified."""

    fingerprint: str
    """SHA-256 in PVE's form, `AB:CD:..`."""
    key_fingerprint: str
    """SHA-256 of the public key; PVE renews a node's certificate with the same key."""
    common_name: str
    names: tuple[str, ...]
    """Host names and addresses that it is for (subjectAltName)."""
    not_before: str
    """`2026-01-31T10:00:00Z`."""
    not_after: str


class _Element(NamedTuple):
    tag: int
    whole: bytes
    content: bytes


def read_certificate(der: bytes) -> CertificateFacts:
    """The facts of a certificate. Raises TlsError for what is none."""
    try:
        return _read(der)
    except (IndexError, ValueError) as error:
        raise TlsError("the server sent something that is no certificate") from error


def format_fingerprint(data: bytes) -> str:
    """The SHA-256 of `data` in PVE's form."""
    return hashlib.sha256(data).digest().hex(":").upper()


def _read(der: bytes) -> CertificateFacts:
    certificate = _first(der)
    body = _first(certificate.content)
    fields = [field for field in _elements(body.content) if field.tag != _VERSION]
    _serial, _algorithm, _issuer, validity, subject, key = fields[:6]
    not_before, not_after = (_time(moment) for moment in _elements(validity.content))
    return CertificateFacts(
        fingerprint=format_fingerprint(der),
        key_fingerprint=format_fingerprint(key.whole),
        common_name=_common_name(subject),
        names=tuple(_names(fields[6:])),
        not_before=not_before,
        not_after=not_after,
    )


def _elements(data: bytes) -> Iterator[_Element]:
    """The elements that stand one after another in `data`."""
    at = 0
    while at < len(data):
        tag, length, head = data[at], data[at + 1], 2
        if length & _LONG_FORM:
            count = length & ~_LONG_FORM
            length = int.from_bytes(data[at + 2 : at + 2 + count], "big")
            head += count
        end = at + head + length
        if end > len(data):
            raise ValueError("an element is longer than what holds it")
        yield _Element(tag, data[at:end], data[at + head : end])
        at = end


def _first(data: bytes) -> _Element:
    for element in _elements(data):
        return element
    raise ValueError("an element is missing")


def _time(moment: _Element) -> str:
    """UTCTime has two digits for the year, GeneralizedTime four."""
    text = moment.content.decode("ascii").rstrip("Z")
    if moment.tag != _GENERALIZED_TIME:
        text = ("19" if text >= "50" else "20") + text
    day, clock = text[:8], text[8:14]
    return f"{day[:4]}-{day[4:6]}-{day[6:]}T{clock[:2]}:{clock[2:4]}:{clock[4:]}Z"


def _common_name(subject: _Element) -> str:
    for relative in _elements(subject.content):
        for attribute in _elements(relative.content):
            if attribute.content.startswith(_COMMON_NAME):
                *_, value = _elements(attribute.content)
                return sanitize_text(value.content.decode("utf-8", "replace"), _MAX_NAME)
    return ""


def _names(fields: list[_Element]) -> Iterator[str]:
    for field in fields:
        if field.tag != _EXTENSIONS:
            continue
        for extension in _elements(_first(field.content).content):
            if extension.content.startswith(_SUBJECT_ALT_NAME):
                *_, octets = _elements(extension.content)
                yield from _general_names(octets.content)


def _general_names(data: bytes) -> Iterator[str]:
    import ipaddress

    for name in _elements(_first(data).content):
        if name.tag == _DNS_NAME:
            yield sanitize_text(name.content.decode("ascii", "replace"), _MAX_NAME)
        elif name.tag == _IP_ADDRESS:
            yield str(ipaddress.ip_address(name.content))
