"""Who is trusted, and that nobody else is told anything.

The certificates are made as PVE makes them: a CA of the cluster, leaves with the node's names.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest

from pveops.api.endpoint import (
    Endpoint,
    Trust,
    parse_address,
    parse_fingerprint,
    trust_authority,
    trust_pin,
    trust_system,
)
from pveops.api.https import HttpsTransport
from pveops.api.port import Request
from pveops.api.tls import fetch_certificate
from pveops.errors import TlsError, UnreachableError, UsageError

if TYPE_CHECKING:
    from .conftest import Certificate, Mint, Server

WITH_CREDENTIAL = Request("GET", "/version", headers=(("Authorization", "PVEAPIToken=a"),))


def ask(server: Server, trust: Trust, server_hostname: str = "") -> int:
    transport = HttpsTransport(server.endpoint(trust, server_hostname))
    try:
        return transport.send(WITH_CREDENTIAL).status
    finally:
        transport.close()


def test_the_clusters_ca_is_enough(server: Server, authority: Certificate) -> None:
    assert ask(server, trust_authority(authority.pem)) == 200


def test_another_ca_is_refused_and_told_nothing(server: Server, mint: Mint) -> None:
    other = mint.authority("other-ca")
    with pytest.raises(TlsError) as caught:
        ask(server, trust_authority(other.pem))
    assert server.seen == []
    assert caught.value.details["sent"] is False


def test_a_name_that_is_not_in_the_certificate_is_refused(
    server: Server, authority: Certificate
) -> None:
    with pytest.raises(TlsError, match="pve2"):
        ask(server, trust_authority(authority.pem), "pve2")
    assert server.seen == []


def test_a_node_may_be_known_by_another_name_than_its_address(
    serve: Callable[[Certificate], Server], mint: Mint, authority: Certificate
) -> None:
    server = serve(mint.leaf("named", authority, "DNS:pve7"))
    with pytest.raises(TlsError):
        ask(server, trust_authority(authority.pem))
    assert ask(server, trust_authority(authority.pem), "pve7") == 200


def test_a_pinned_certificate_is_trusted_without_its_ca(server: Server, leaf: Certificate) -> None:
    assert ask(server, trust_pin(leaf.fingerprint, leaf.pem)) == 200


def test_a_fingerprint_alone_is_enough_for_a_pin(server: Server, leaf: Certificate) -> None:
    assert ask(server, trust_pin(leaf.fingerprint)) == 200


def test_a_pin_holds_for_any_address_of_the_node(
    serve: Callable[[Certificate], Server], mint: Mint, authority: Certificate
) -> None:
    certificate = mint.leaf("elsewhere", authority, "DNS:pve9.lan")
    server = serve(certificate)
    assert ask(server, trust_pin(certificate.fingerprint, certificate.pem)) == 200


@pytest.mark.parametrize("is_stored", [True, False])
def test_another_certificate_than_the_pinned_one_gets_no_credential(
    serve: Callable[[Certificate], Server],
    mint: Mint,
    authority: Certificate,
    leaf: Certificate,
    is_stored: bool,
) -> None:
    """The other certificate is good in every way but one: it is not the pinned one."""
    impostor = mint.leaf("impostor", authority, "IP:127.0.0.1,DNS:pve1")
    server = serve(impostor)
    with pytest.raises(TlsError) as caught:
        ask(server, trust_pin(leaf.fingerprint, leaf.pem if is_stored else ""))
    assert server.seen == []
    assert leaf.fingerprint in caught.value.message
    assert impostor.fingerprint in caught.value.message
    assert "pvenode cert info" in caught.value.hint


def test_a_renewed_certificate_is_refused_and_said_to_have_the_same_key(
    serve: Callable[[Certificate], Server], mint: Mint, authority: Certificate, leaf: Certificate
) -> None:
    """PVE renews a leaf with the key that it had (pve-cluster Setup.pm)."""
    renewed = mint.leaf("renewed", authority, "IP:127.0.0.1,DNS:pve1", leaf.key_file)
    with pytest.raises(TlsError, match="routine renewal") as caught:
        ask(serve(renewed), trust_pin(leaf.fingerprint, leaf.pem))
    assert caught.value.details["is_same_key"] is True


def test_a_stored_certificate_of_another_pin_is_refused(
    server: Server, authority: Certificate, leaf: Certificate
) -> None:
    with pytest.raises(TlsError):
        ask(server, trust_pin(leaf.fingerprint, authority.pem))
    assert server.seen == []


def test_the_system_store_does_not_follow_the_environment(
    server: Server, authority: Certificate, monkeypatch: pytest.MonkeyPatch
) -> None:
    """OpenSSL itself would read SSL_CERT_FILE."""
    for name in ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
        monkeypatch.setenv(name, str(authority.pem_file))
    with pytest.raises(TlsError):
        ask(server, trust_system())
    assert server.seen == []


@pytest.mark.parametrize("pem", ["", "no certificate", "-----BEGIN CERTIFICATE-----\nAAAA"])
def test_a_broken_anchor_is_a_clear_error(server: Server, pem: str) -> None:
    with pytest.raises(TlsError):
        ask(server, trust_authority(pem))


def test_first_contact_shows_the_certificate_and_sends_nothing(
    server: Server, leaf: Certificate
) -> None:
    shown = fetch_certificate("127.0.0.1", server.server_port)
    assert shown.facts.fingerprint == leaf.fingerprint
    assert shown.facts.names == ("127.0.0.1", "localhost", "pve1", "pve1.lan")
    assert shown.facts.common_name == "pve1.lan"
    assert shown.facts.not_before < shown.facts.not_after
    assert shown.facts.not_after.endswith("Z")
    assert server.seen == []


def test_first_contact_with_nobody_is_unreachable() -> None:
    with pytest.raises(UnreachableError) as caught:
        fetch_certificate("127.0.0.1", 1, 1.0)
    assert "right address" in caught.value.hint


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("pve1", ("pve1", 8006)),
        ("pve1.lan:443", ("pve1.lan", 443)),
        ("https://192.0.2.1:8006/", ("192.0.2.1", 8006)),
        ("[fd00::1]:8006", ("fd00::1", 8006)),
        ("fd00::1", ("fd00::1", 8006)),
    ],
)
def test_an_address_is_read_in_each_of_its_forms(text: str, address: tuple[str, int]) -> None:
    assert parse_address(text) == address


@pytest.mark.parametrize(
    "text", ["", "http://pve1:8006", "pve1:0", "pve1:99999", "a b", "user@pve1", "pve1/x"]
)
def test_what_is_no_address_is_refused(text: str) -> None:
    with pytest.raises(UsageError):
        parse_address(text)


def test_a_fingerprint_is_read_in_each_of_its_forms() -> None:
    plain = "ab" * 32
    assert parse_fingerprint(plain) == parse_fingerprint(":".join(["AB"] * 32))
    with pytest.raises(UsageError):
        parse_fingerprint("ab" * 20)


def test_an_endpoint_writes_an_ipv6_address_as_urls_do() -> None:
    assert Endpoint("fd00::1", 8006, trust_system()).authority == "[fd00::1]:8006"
