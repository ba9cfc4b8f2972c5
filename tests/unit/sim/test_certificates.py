"""Certificates of the simulated cluster: good enough for a strict verifier, and only for it."""

from __future__ import annotations

import shutil
import socket
import ssl
import subprocess
import threading
from pathlib import Path

import pytest

from pveops.sim.certificates import Authority, Certificate


def handshake(leaf: Certificate, folder: Path, trusted: str, name: str) -> str:
    """The fingerprint that a strict client sees, trusting `trusted` alone."""
    pem = folder / "leaf.pem"
    pem.write_text(leaf.certificate + leaf.key)
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(pem)
    client = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    client.load_verify_locations(cadata=trusted)
    client.verify_flags |= ssl.VERIFY_X509_STRICT
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def answer() -> None:
            connection, _ = listener.accept()
            try:
                server.wrap_socket(connection, server_side=True).close()
            except (ssl.SSLError, OSError):
                connection.close()

        thread = threading.Thread(target=answer)
        thread.start()
        try:
            with (
                socket.create_connection(listener.getsockname()) as plain,
                client.wrap_socket(plain, server_hostname=name) as secure,
            ):
                der = secure.getpeercert(binary_form=True)
        finally:
            thread.join()
    assert der == leaf.der
    return leaf.fingerprint


@pytest.mark.parametrize("name", ["pve1", "localhost", "127.0.0.1"])
def test_a_strict_client_takes_it_by_each_of_its_names(name: str, tmp_path: Path) -> None:
    authority = Authority()
    leaf = authority.issue("pve1", ["pve1", "localhost"], ["127.0.0.1"])
    assert len(handshake(leaf, tmp_path, authority.pem, name).split(":")) == 32


def test_another_name_is_refused(tmp_path: Path) -> None:
    authority = Authority()
    leaf = authority.issue("pve1", ["pve1"], ["127.0.0.1"])
    with pytest.raises(ssl.SSLCertVerificationError):
        handshake(leaf, tmp_path, authority.pem, "pve2")


def test_another_authority_is_refused(tmp_path: Path) -> None:
    leaf = Authority().issue("pve1", ["pve1"], ["127.0.0.1"])
    with pytest.raises(ssl.SSLCertVerificationError):
        handshake(leaf, tmp_path, Authority().pem, "pve1")


@pytest.mark.skipif(shutil.which("openssl") is None, reason="there is no openssl here")
def test_openssl_takes_it_strictly(tmp_path: Path) -> None:
    authority = Authority()
    (tmp_path / "ca.pem").write_text(authority.pem)
    (tmp_path / "leaf.pem").write_text(authority.issue("pve1", ["pve1"], []).certificate)
    words = ["openssl", "verify", "-x509_strict", "-CAfile", "ca.pem", "leaf.pem"]
    done = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
