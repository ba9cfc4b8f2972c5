"""A simulated cluster in a process of its own, and the product's commands on it as processes."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.secrets_scan import leak_in
from tests.served import BIN, Cluster, serve_homelab


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
