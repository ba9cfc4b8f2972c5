"""TLS connections to servers that have proved themselves, and to no other.

Verification is never switched off. A pinned certificate is its own trust anchor
(`VERIFY_X509_PARTIAL_CHAIN`), so OpenSSL refuses any other server before this code sees the
connection, and the fingerprint is compared on the connected socket again. The environment's
certificate variables (`SSL_CERT_FILE`, `SSL_CERT_DIR`, `SSLKEYLOGFILE`) are not read.
"""

from __future__ import annotations

import socket
import ssl
from typing import TYPE_CHECKING, NamedTuple

from pveops.api.endpoint import Endpoint, Trust, TrustMode
from pveops.errors import TlsError, UnreachableError

if TYPE_CHECKING:
    from pveops.api.x509 import CertificateFacts

CONNECT_TIMEOUT_S = 5.0

_REPIN_HINT = (
    "compare with `pvenode cert info` on the node; if it is right, a person runs "
    "`pve init HOST --replace`"
)
_BUNDLES = (
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/cert.pem",
)


class CertificateInfo(NamedTuple):
    """The certificate that a server shows, not yet trusted."""

    pem: str
    facts: CertificateFacts


def fetch_certificate(
    host: str, port: int, timeout_s: float = CONNECT_TIMEOUT_S
) -> CertificateInfo:
    """What a server shows to anybody. Nothing is sent to it but the handshake.

    Raises UnreachableError.
    """
    try:
        pem = ssl.get_server_certificate((host, port), timeout=timeout_s)
    except OSError as error:
        raise _unreachable(f"{host}:{port}", error) from error
    return CertificateInfo(pem, _facts_of(pem))


def make_context(trust: Trust) -> ssl.SSLContext:
    """A context that accepts what `trust` says and nothing else; it verifies the name too.

    A pin has to have its certificate in `pem`. Raises TlsError when `pem` is none.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    # The CAs that PVE made before 2026 have no keyUsage, which strict checking wants.
    context.verify_flags &= ~ssl.VERIFY_X509_STRICT
    if trust.mode is TrustMode.SYSTEM:
        _load_system_store(context)
        return context
    try:
        context.load_verify_locations(cadata=trust.pem)
    except (ssl.SSLError, ValueError) as error:
        raise TlsError(
            "the stored certificate cannot be read", hint="run `pve init` again"
        ) from error
    if trust.mode is TrustMode.PIN:
        context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    return context


class Dialer:
    """Opens verified connections to one endpoint. Safe to share between threads."""

    def __init__(self, endpoint: Endpoint, timeout_s: float = CONNECT_TIMEOUT_S) -> None:
        self._endpoint = endpoint
        self._timeout_s = timeout_s
        self._prepared: tuple[ssl.SSLContext, str] | None = None

    def connect(self) -> ssl.SSLSocket:
        """A connection to the trusted server, on which nothing has been sent.

        Raises UnreachableError (`sent` False) and TlsError.
        """
        endpoint = self._endpoint
        plain = self._open_socket()
        try:
            context, name = self._prepare()
            plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            connection = context.wrap_socket(plain, server_hostname=name)
        except ssl.SSLCertVerificationError as error:
            plain.close()
            raise self._refuse(error.verify_message) from error
        except OSError as error:
            plain.close()
            raise _unreachable(endpoint.authority, error) from error
        except BaseException:
            plain.close()
            raise
        try:
            self._check_pin(connection)
        except TlsError:
            connection.close()
            raise
        return connection

    def _open_socket(self) -> socket.socket:
        endpoint = self._endpoint
        try:
            return socket.create_connection((endpoint.host, endpoint.port), self._timeout_s)
        except (OSError, UnicodeError) as error:
            raise _unreachable(endpoint.authority, error) from error

    def _prepare(self) -> tuple[ssl.SSLContext, str]:
        """The context, and the name to find in the certificate.

        A pin says which certificate; the name is then one that stands in it, so that a node can
        be reached by any address. Where only the fingerprint was stored, the certificate is
        fetched first, without sending anything, and taken only if it is the pinned one.
        """
        if self._prepared is None:
            endpoint = self._endpoint
            trust, name = endpoint.trust, endpoint.server_hostname or endpoint.host
            if trust.mode is TrustMode.PIN:
                trust, facts = self._complete_pin(trust)
                if not endpoint.server_hostname:
                    name = _name_in(facts, endpoint.host)
            self._prepared = (make_context(trust), name)
        return self._prepared

    def _complete_pin(self, trust: Trust) -> tuple[Trust, CertificateFacts]:
        if trust.pem:
            facts = _facts_of(trust.pem)
        else:
            shown = fetch_certificate(self._endpoint.host, self._endpoint.port, self._timeout_s)
            trust, facts = trust._replace(pem=shown.pem), shown.facts
        if facts.fingerprint != trust.fingerprint:
            raise self._mismatch(facts)
        return trust, facts

    def _check_pin(self, connection: ssl.SSLSocket) -> None:
        if self._endpoint.trust.mode is not TrustMode.PIN:
            return
        from pveops.api.x509 import format_fingerprint, read_certificate

        shown = connection.getpeercert(binary_form=True) or b""
        if format_fingerprint(shown) != self._endpoint.trust.fingerprint:
            raise self._mismatch(read_certificate(shown))

    def _refuse(self, reason: str) -> TlsError:
        """OpenSSL refused; say what was shown instead, so that a person can judge."""
        endpoint = self._endpoint
        try:
            shown = fetch_certificate(endpoint.host, endpoint.port, self._timeout_s).facts
        except UnreachableError:
            return TlsError(f"{endpoint.authority} is not trusted: {reason}")
        if endpoint.trust.mode is TrustMode.PIN and (
            shown.fingerprint != endpoint.trust.fingerprint
        ):
            return self._mismatch(shown)
        return TlsError(
            f"{endpoint.authority} is not trusted: {reason}",
            hint=f"it shows {shown.fingerprint}, valid until {shown.not_after},"
            f" for {', '.join(shown.names) or shown.common_name or 'no name'}",
            details=_shown_details(endpoint, shown),
        )

    def _mismatch(self, shown: CertificateFacts) -> TlsError:
        endpoint = self._endpoint
        pinned = endpoint.trust.fingerprint
        same_key = bool(endpoint.trust.pem) and (
            _facts_of(endpoint.trust.pem).key_fingerprint == shown.key_fingerprint
        )
        remark = "; the key is unchanged, as after PVE's routine renewal" if same_key else ""
        return TlsError(
            f"{endpoint.authority} shows another certificate than the pinned one{remark}:"
            f" pinned {pinned}, shown {shown.fingerprint}",
            hint=_REPIN_HINT,
            details={
                **_shown_details(endpoint, shown),
                "pinned": pinned,
                "is_same_key": same_key,
            },
        )


def _shown_details(endpoint: Endpoint, shown: CertificateFacts) -> dict[str, object]:
    return {
        "endpoint": endpoint.authority,
        "sent": False,
        "shown": shown.fingerprint,
        "names": list(shown.names),
        "not_after": shown.not_after,
    }


def _facts_of(pem: str) -> CertificateFacts:
    from pveops.api.x509 import read_certificate

    try:
        return read_certificate(ssl.PEM_cert_to_DER_cert(pem))
    except ValueError as error:
        raise TlsError("a certificate cannot be read", hint="run `pve init` again") from error


def _name_in(facts: CertificateFacts, host: str) -> str:
    """A name that the pinned certificate is for: the host itself where it is one."""
    if host in facts.names:
        return host
    name = facts.names[0] if facts.names else facts.common_name or host
    return name.replace("*", "any", 1)


def _load_system_store(context: ssl.SSLContext) -> None:
    """Where OpenSSL was built to look, whatever the environment says."""
    from pathlib import Path

    paths = ssl.get_default_verify_paths()
    capath = paths.openssl_capath if Path(paths.openssl_capath).is_dir() else None
    candidates = (paths.openssl_cafile, *(() if capath else _BUNDLES))
    cafile = next((path for path in candidates if Path(path).is_file()), None)
    if cafile is None and capath is None:
        raise TlsError(
            "this machine has no store of certificate authorities",
            hint="pin the server's certificate or name its CA: `pve init`",
        )
    context.load_verify_locations(cafile=cafile, capath=capath)


def _unreachable(authority: str, error: Exception) -> UnreachableError:
    reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return UnreachableError(
        f"{authority} cannot be reached: {reason}",
        hint="is that the right address, and is its port open to this machine?",
        details={"endpoint": authority, "sent": False},
    )
