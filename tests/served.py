"""A simulated cluster in a process of its own, for tests that need real processes."""

from __future__ import annotations

import contextlib
import json
import select
import signal
import ssl
import subprocess
import sys
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.secrets_scan import note_secret

BIN = Path(sys.executable).parent
"""Where `pve` lies."""
_END_S = 30


@dataclass(frozen=True)
class Cluster:
    """A served cluster. `folder` is the home of whoever operates it."""

    ready: dict[str, Any]
    folder: Path

    @property
    def host(self) -> str:
        """`127.0.0.1:PORT` of the first node."""
        return str(self.ready["endpoints"][0]).removeprefix("https://")

    @property
    def context(self) -> ssl.SSLContext:
        """What trusts the cluster's own authority and nothing else."""
        return ssl.create_default_context(cafile=self.ready["ca_file"])

    def control(self, path: str, body: dict[str, Any] | None = None) -> Any:
        """One call of the control port."""
        data = json.dumps(body).encode() if body is not None else None
        with urllib.request.urlopen(f"{self.ready['control']}{path}", data) as answer:
            return json.loads(answer.read() or b"null")

    def journal(self) -> list[dict[str, Any]]:
        """Every request that the cluster got."""
        found = self.control("/journal")
        rows: list[dict[str, Any]] = found["journal"] if isinstance(found, dict) else found
        return rows

    def effects(self) -> list[dict[str, Any]]:
        """The writes that were carried out."""
        return [row for row in self.journal() if row.get("is_effective")]


def patiently(
    look: Callable[[], Any], process: subprocess.Popen[Any] | None = None, attempts: int = 3000
) -> Any:
    """What `look` finds, once it finds something; for a minute, and as long as a process lives."""
    for _ in range(attempts):
        if found := look():
            return found
        assert process is None or process.poll() is None, f"it ended with {process.returncode}"
        select.select([], [], [], 0.02)
    raise AssertionError("it never came")


@contextlib.contextmanager
def serving(folder: Path, *words: str) -> Iterator[Cluster]:
    """Serve a cluster, its ready file in `folder`; words: as `python -m pveops.sim` takes them."""
    ready = folder / "ready.json"
    command = [sys.executable, "-m", "pveops.sim", "--ready-file", str(ready), *words]
    process = subprocess.Popen(command)
    try:
        patiently(ready.exists, process)
        content = json.loads(ready.read_text())
        note_secret(
            content["token"]["secret"], content["reader"]["secret"], content["root_password"]
        )
        yield Cluster(content, folder)
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(_END_S)


def serve_homelab(folder: Path) -> contextlib.AbstractContextManager[Cluster]:
    """The homelab, its time running twenty times as fast."""
    return serving(folder, "--seed", "homelab", "--scale", "20", "--auth-delay", "0")
