"""A real TLS server on loopback, with certificates made as PVE makes them: a CA, and a leaf."""

from __future__ import annotations

import json
import ssl
import subprocess
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from pveops.api.endpoint import Endpoint, Trust, parse_fingerprint, trust_authority


class Certificate(NamedTuple):
    """A certificate with its key, as files and as text."""

    pem: str
    pem_file: Path
    key_file: Path
    fingerprint: str


class Seen(NamedTuple):
    """One request as the server saw it."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes
    connection: int


Script = Callable[["Handler"], None]


class Handler(BaseHTTPRequestHandler):
    """Hands each request to the server's script."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: Server

    def setup(self) -> None:
        super().setup()
        self.timeout = 10
        with self.server.lock:
            self.server.connections += 1
            self.number = self.server.connections

    def handle_one_request(self) -> None:
        try:
            super().handle_one_request()
        except (OSError, ValueError):
            self.close_connection = True

    def _any(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        headers = {name.lower(): text for name, text in self.headers.items()}
        with self.server.lock:
            self.server.seen.append(Seen(self.command, self.path, headers, body, self.number))
        self.server.script(self)

    do_GET = do_POST = do_PUT = do_DELETE = _any  # noqa: N815

    def answer(
        self, status: int = 200, body: bytes = b'{"data":null}', **headers: str | list[str]
    ) -> None:
        self.send_response(status)
        for name, text in headers.items():
            for one in [text] if isinstance(text, str) else text:
                self.send_header(name.replace("_", "-"), one)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def answer_data(self, data: Any) -> None:
        self.answer(200, json.dumps({"data": data}).encode())

    def hang_up(self) -> None:
        self.close_connection = True

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
        pass


class Server(ThreadingHTTPServer):
    """Listens on a port of the kernel's choice."""

    daemon_threads = True

    def __init__(self, certificate: Certificate) -> None:
        self.lock = threading.Lock()
        self.connections = 0
        self.seen: list[Seen] = []
        self.script: Script = lambda handler: handler.answer()
        super().__init__(("127.0.0.1", 0), Handler)
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.load_cert_chain(certificate.pem_file, certificate.key_file)

    def get_request(self) -> tuple[ssl.SSLSocket, Any]:
        plain, address = super().get_request()
        plain.settimeout(10)
        return self.context.wrap_socket(
            plain, server_side=True, do_handshake_on_connect=False
        ), address

    def handle_error(self, request: Any, client_address: Any) -> None:
        pass

    def endpoint(self, trust: Trust, server_hostname: str = "") -> Endpoint:
        return Endpoint("127.0.0.1", self.server_port, trust, server_hostname)


def _run(*command: str | Path) -> str:
    return subprocess.run(
        ["openssl", *map(str, command)], check=True, capture_output=True, text=True
    ).stdout


def _finish(folder: Path, name: str) -> Certificate:
    pem_file, key_file = folder / f"{name}.pem", folder / f"{name}.key"
    text = _run("x509", "-in", pem_file, "-noout", "-fingerprint", "-sha256")
    fingerprint = parse_fingerprint(text.strip().split("=", 1)[1])
    return Certificate(pem_file.read_text(), pem_file, key_file, fingerprint)


class Mint:
    """Makes certificates with the `openssl` command."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def authority(self, name: str, days: int = 30) -> Certificate:
        key, pem = self.folder / f"{name}.key", self.folder / f"{name}.pem"
        _run("ecparam", "-genkey", "-name", "prime256v1", "-noout", "-out", key)
        _run("req", "-x509", "-key", key, "-out", pem, "-days", str(days), "-subj", f"/CN={name}")
        return _finish(self.folder, name)

    def leaf(self, name: str, authority: Certificate, names: str, key: Path | None = None) -> Any:
        """A certificate for `names` (openssl's SAN form), with a new key or the given one."""
        own_key, pem = self.folder / f"{name}.key", self.folder / f"{name}.pem"
        request, extensions = self.folder / f"{name}.csr", self.folder / f"{name}.ext"
        if key is None:
            _run("ecparam", "-genkey", "-name", "prime256v1", "-noout", "-out", own_key)
        else:
            own_key.write_bytes(key.read_bytes())
        _run("req", "-new", "-key", own_key, "-out", request, "-subj", f"/CN={name}.lan")
        extensions.write_text(f"basicConstraints=CA:FALSE\nsubjectAltName={names}\n")
        _run(
            *("x509", "-req", "-in", request, "-CA", authority.pem_file),
            *("-CAkey", authority.key_file, "-CAcreateserial", "-days", "10"),
            *("-extfile", extensions, "-out", pem),
        )
        return _finish(self.folder, name)


@pytest.fixture(scope="session")
def mint(tmp_path_factory: pytest.TempPathFactory) -> Mint:
    return Mint(tmp_path_factory.mktemp("certificates"))


@pytest.fixture(scope="session")
def authority(mint: Mint) -> Certificate:
    return mint.authority("cluster-ca")


@pytest.fixture(scope="session")
def leaf(mint: Mint, authority: Certificate) -> Certificate:
    names = "IP:127.0.0.1,DNS:localhost,DNS:pve1,DNS:pve1.lan"
    return mint.leaf("pve1", authority, names)  # type: ignore[no-any-return]


@pytest.fixture
def serve() -> Iterator[Callable[[Certificate], Server]]:
    """Starts servers, and stops them all at the end."""
    running: list[tuple[Server, threading.Thread]] = []

    def start(certificate: Certificate) -> Server:
        server = Server(certificate)
        thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        running.append((server, thread))
        return server

    yield start
    for server, thread in running:
        server.shutdown()
        server.server_close()
        thread.join(5)


@pytest.fixture
def server(serve: Callable[[Certificate], Server], leaf: Certificate) -> Server:
    return serve(leaf)


@pytest.fixture
def endpoint(server: Server, authority: Certificate) -> Endpoint:
    return server.endpoint(trust_authority(authority.pem))
