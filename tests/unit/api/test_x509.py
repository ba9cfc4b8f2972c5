"""A certificate's facts, read before it is trusted: whatever comes must do no harm."""

from __future__ import annotations

import ssl
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pveops.api.x509 import read_certificate
from pveops.errors import TlsError

if TYPE_CHECKING:
    from .conftest import Certificate, Mint


def test_a_date_after_2049_has_four_digits_for_its_year(mint: Mint) -> None:
    """RFC 5280 takes another form for it."""
    facts = read_certificate(ssl.PEM_cert_to_DER_cert(mint.authority("old", 20_000).pem))
    assert facts.not_after > "2075"
    assert facts.common_name == "old"
    assert facts.names == ()


def test_escapes_in_a_name_do_not_reach_the_reader(mint: Mint) -> None:
    name = "evil\x1b[2Jca"
    facts = read_certificate(ssl.PEM_cert_to_DER_cert(mint.authority(name).pem))
    assert facts.common_name == "evilca"


def test_two_certificates_with_one_key_tell_it(
    mint: Mint, authority: Certificate, leaf: Certificate
) -> None:
    again = mint.leaf("again", authority, "DNS:pve1", leaf.key_file)
    first, second = (
        read_certificate(ssl.PEM_cert_to_DER_cert(each.pem)) for each in (leaf, again)
    )
    assert first.key_fingerprint == second.key_fingerprint
    assert first.fingerprint != second.fingerprint


@given(st.binary(max_size=200))
def test_what_is_no_certificate_is_told_so(data: bytes) -> None:
    with pytest.raises(TlsError):
        read_certificate(data)


@pytest.mark.parametrize("value", [0, 1, 0x7F, 0x80, 0x84, 0xFF])
def test_a_damaged_certificate_does_no_harm(value: int, leaf: Certificate) -> None:
    whole = ssl.PEM_cert_to_DER_cert(leaf.pem)
    for at in range(len(whole)):
        der = bytearray(whole)
        der[at] = value
        try:
            facts = read_certificate(bytes(der))
        except TlsError:
            continue
        assert len(facts.fingerprint) == 95
