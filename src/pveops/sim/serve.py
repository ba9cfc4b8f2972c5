"""The simulated cluster as a running service: a listener a node, a control port, a ready file."""

from __future__ import annotations

import json
import os
import shutil
import signal
import ssl
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from pveops.errors import UsageError
from pveops.sim.certificates import Authority
from pveops.sim.control import ControlServer
from pveops.sim.http.server import NodeServer
from pveops.sim.model import Cluster, Node
from pveops.sim.seeds import build
from pveops.sim.seeds.accounts import AGENT, READER, READER_NAME
from pveops.sim.timeline import Timeline
from pveops.sim.version import VERSIONS


class Served(NamedTuple):
    """A running cluster, and how to get in."""

    cluster: Cluster
    endpoints: tuple[str, ...]
    control: str
    ca_file: str
    root_password: str
    token_id: str
    token_secret: str

    def ready(self) -> dict[str, Any]:
        """What the ready file holds."""
        return {
            "endpoints": list(self.endpoints),
            "control": self.control,
            "ca_file": self.ca_file,
            "ca_pem": self.cluster.ca_certificate,
            "root_password": self.root_password,
            "token": {"id": self.token_id, "secret": self.token_secret},
            "reader": self._reader(),
        }

    def _reader(self) -> dict[str, str]:
        """The token that only reads; empty where the seed has none."""
        user = self.cluster.access.users.get(AGENT)
        token = user.tokens.get(READER_NAME) if user else None
        return {"id": READER, "secret": token.secret} if token else {"id": "", "secret": ""}


@contextmanager
def running(
    seed: str,
    version: str = "9.2",
    *,
    port: int = 0,
    scale: float = 1.0,
    auth_delay_s: float = 3.0,
) -> Iterator[Served]:
    """A cluster that answers as long as the context lasts.

    port: the first node's; 0: chosen by the kernel, as the others' always are. Raises UsageError
    for an unknown seed or version.
    """
    if version not in VERSIONS:
        known = ", ".join(VERSIONS)
        raise UsageError(f"PVE {version!r} is not simulated", hint=f"known versions: {known}")
    built = build(seed, Timeline(time.time(), scale), VERSIONS[version])
    cluster = built.cluster
    cluster.auth_delay_s = auth_delay_s
    folder = Path(tempfile.mkdtemp(prefix="pveops-sim-"))
    servers: list[NodeServer] = []
    control = ControlServer(cluster)
    try:
        authority = Authority()
        cluster.ca_certificate = authority.pem
        ca_file = folder / "pve-root-ca.pem"
        ca_file.write_text(authority.pem)
        for node in cluster.nodes.values():
            context = _context(folder, authority, node)
            wanted = port if not servers else 0
            servers.append(NodeServer(cluster, node, context, port=wanted))
        for server in servers:
            server.start()
        control.start()
        yield Served(
            cluster,
            tuple(f"https://127.0.0.1:{server.port}" for server in servers),
            control.url,
            str(ca_file),
            built.root_password,
            built.token_id,
            built.token_secret,
        )
    finally:
        for server in servers:
            server.close()
        control.close()
        shutil.rmtree(folder, ignore_errors=True)


def _context(folder: Path, authority: Authority, node: Node) -> ssl.SSLContext:
    name = node.name
    names = (name, f"{name}.example.test", "localhost")
    leaf = authority.issue(name, names, ("127.0.0.1", "::1"))
    files = node.hardware.certificates
    for filename, pem in (("pve-root-ca.pem", authority.pem), ("pve-ssl.pem", leaf.certificate)):
        if filename in files:
            files[filename].pem = pem
    path = folder / f"{name}.pem"
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(leaf.certificate + leaf.key)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.load_cert_chain(path)
    return context


def serve(
    seed: str,
    version: str,
    port: int,
    ready_file: Path | None,
    *,
    scale: float = 1.0,
    auth_delay_s: float = 3.0,
) -> None:
    """Serve until SIGTERM or SIGINT; the ready file appears once everything answers."""
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    with running(seed, version, port=port, scale=scale, auth_delay_s=auth_delay_s) as served:
        if ready_file is not None:
            _write_ready(ready_file, served.ready())
        stop.wait()
    if ready_file is not None:
        ready_file.unlink(missing_ok=True)


def _write_ready(path: Path, content: dict[str, Any]) -> None:
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as file:
        json.dump(content, file)
    temporary.replace(path)
