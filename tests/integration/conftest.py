"""A simulated cluster in a process of its own, and the product's commands on it as processes."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shlex
import signal
import ssl
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.secrets_scan import leak_in, note_secret

BIN = Path(sys.executable).parent
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


@dataclass(frozen=True)
class Home:
    """Where an agent's account keeps its things; consent codes arrive in `inbox`."""

    cluster: Cluster
    environ: dict[str, str]
    inbox: Path

    def start(self, line: str) -> subprocess.Popen[str]:
        """A command as a process."""
        program, *arguments = shlex.split(line)
        return subprocess.Popen(
            [str(BIN / program), *arguments],
            env=self.environ,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def run(self, line: str) -> tuple[int, str]:
        """(exit code, standard output) of a command."""
        process = self.start(line)
        out, err = process.communicate(timeout=60)
        assert "Traceback" not in out + err, err
        assert not leak_in((out + err).encode()), "a secret was shown"
        return process.returncode, out

    def plan_a_stop(self, guest: str = "web01") -> tuple[str, str]:
        """(plan, code) of a hard stop that an agent asked for."""
        code, out = self.run(f"pve guest stop {guest} --reason hangs")
        assert code == 3, out
        plan = re.search(r"pl_[0-9a-f]+", out)
        sent = re.findall(r"code: (\S+)", self.inbox.read_text())
        assert plan is not None
        return plan[0], sent[-1]


@contextlib.contextmanager
def _serving(folder: Path, *words: str) -> Iterator[Cluster]:
    ready = folder / "ready.json"
    command = [sys.executable, "-m", "pveops.sim", "--ready-file", str(ready), *words]
    process = subprocess.Popen(command)
    try:
        while not ready.exists():
            with contextlib.suppress(subprocess.TimeoutExpired):
                raise AssertionError(f"the cluster ended with {process.wait(0.05)}")
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
    return _serving(folder, "--seed", "homelab", "--scale", "20", "--auth-delay", "0")


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    """A cluster of the test's own."""
    with serve_homelab(tmp_path) as served:
        yield served


@pytest.fixture
def home(cluster: Cluster) -> Home:
    """A home of the test's own."""
    return make_home(cluster)


def make_home(cluster: Cluster) -> Home:
    """A profile for the cluster, made by the product itself."""
    folder = cluster.folder
    environ = {
        "PATH": os.environ["PATH"],
        "HOME": str(folder),
        "PVE_HOME": str(folder / "pve"),
        "XDG_CONFIG_HOME": str(folder / "config"),
    }
    inbox = folder / "inbox.txt"
    deliver = ("sh", "-c", f"cat >> {shlex.quote(str(inbox))}")
    senders = [word for part in deliver for word in ("--sender", part)]
    words = [str(BIN / "pve"), "demo", "use", str(folder / "ready.json"), *senders]
    subprocess.run(words, env=environ, check=True, stdout=subprocess.DEVNULL)
    return Home(cluster, environ, inbox)
