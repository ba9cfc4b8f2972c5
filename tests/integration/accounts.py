"""Two accounts for tests of the broker: its own and a client's, with a broker that runs.

It takes root to become them; they are numbers that nobody has.
"""

from __future__ import annotations

import importlib.util
import json
import os
import re
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.served import Cluster, patiently

BROKER, CLIENT, STRANGER = 64_101, 64_102, 64_103
NEEDS_ROOT = pytest.mark.skipif(os.geteuid() != 0, reason="two accounts take root to become them")
_WAIT_S = 30
_PACKAGES = (
    "click",
    "msgspec",
    "yaml",
    "pyrage",
    "rich",
    "pygments",
    "markdown_it",
    "mdurl",
)


@dataclass(frozen=True)
class Accounts:
    """A broker that runs, and the homes of both accounts below one folder."""

    folder: Path
    python: tuple[str, ...]
    environ: dict[str, str]
    cluster: Cluster
    inbox: Path

    @property
    def socket(self) -> Path:
        return self.folder / "run" / "socket"

    def run(
        self,
        line: str,
        uid: int = CLIENT,
        stdin: str = "",
        environ: dict[str, str] | None = None,
        *,
        is_terminal: bool = False,
    ) -> tuple[int, str]:
        """A command of an account; is_terminal: it says of its streams that they are one."""
        done = self.start(line, uid, stdin, environ or {}, is_terminal=is_terminal)
        assert "Traceback" not in done.stderr, done.stderr
        return done.returncode, done.stdout + done.stderr

    def start(
        self,
        line: str,
        uid: int,
        stdin: str,
        environ: dict[str, str],
        *,
        is_terminal: bool = False,
    ) -> subprocess.CompletedProcess[str]:
        program, *words = shlex.split(line)
        pretends = "import pveops.cli.call as c; c._is_terminal = lambda s: True; "
        module = "broker.main:main" if program == "pve-broker" else f"cli.main:{_entry(program)}"
        name, _, function = module.partition(":")
        code = (
            f"import sys; sys.argv[0] = {program!r}; {pretends if is_terminal else ''}"
            f"from pveops.{name} import {function}; sys.exit({function}())"
        )
        return subprocess.run(
            [*self.python, "-c", code, *words],
            env=self.environ | home_of(self.folder, uid) | environ,
            user=uid,
            group=uid,
            extra_groups=[],
            cwd="/",
            input=stdin,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )

    def script(self, code: str, uid: int = CLIENT) -> str:
        """What a program of the account's own says."""
        done = subprocess.run(
            [*self.python, "-c", code],
            env=self.environ | home_of(self.folder, uid),
            user=uid,
            group=uid,
            extra_groups=[],
            cwd="/",
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        return done.stdout + done.stderr

    def newest(self) -> tuple[str, str]:
        """(plan, code) of the newest message to the person."""
        text = self.inbox.read_text()
        return re.findall(r"pl_[0-9a-f]+", text)[-1], re.findall(r"code: (\S+)", text)[-1]


def _entry(program: str) -> str:
    return program.replace("-", "_")


def home_of(folder: Path, uid: int) -> dict[str, str]:
    """Where an account keeps its things."""
    own = folder / str(uid)
    return {"HOME": str(own / "account"), "PVE_HOME": str(own / "pve")}


def interpreter(folder: Path) -> tuple[tuple[str, ...], dict[str, str]]:
    """A Python with our packages that every account may run."""
    library = folder / "lib"
    library.mkdir()
    for name in _PACKAGES:
        found = importlib.util.find_spec(name)
        assert found is not None
        shutil.copytree(Path(str(found.origin)).parent, library / name)
    import pveops

    shutil.copytree(Path(pveops.__file__).parent, library / "pveops")
    if not Path("/usr/bin/python3.11").exists():
        pytest.skip("no Python that other accounts may run")
    for path in library.rglob("*"):
        path.chmod(0o755 if path.is_dir() else 0o644)
    environ = {"PATH": "/usr/bin:/bin", "PYTHONPATH": str(library), "PYTHONDONTWRITEBYTECODE": "1"}
    return ("/usr/bin/python3.11",), environ


def make_home(folder: Path, uid: int, ready: Path, *words: str) -> None:
    """A profile for the simulated cluster, handed over to the account."""
    environ = {"PATH": os.environ["PATH"], **home_of(folder, uid)}
    own = folder / str(uid)
    (own / "account").mkdir(parents=True)
    command = [str(Path(sys.executable).parent / "pve"), "demo", "use", str(ready), *words]
    subprocess.run(command, env=environ, check=True, stdout=subprocess.DEVNULL)
    for path in (own, *own.rglob("*")):
        os.chown(path, uid, uid)
    own.chmod(0o700)


def call_over_mcp(accounts: Accounts, tool: str, arguments: dict[str, object]) -> tuple[int, str]:
    """(exit code, text) of what a process of the client's MCP server does for a tool's call."""
    code = (
        "import json, os\n"
        "from pveops.cli.broker_message import pack_asked\n"
        "from pveops.errors import UsageError\n"
        "from pveops.mcp.processes import carry_out_for_client\n"
        "from pveops.mcp.request import make_asked\n"
        f"tool, arguments = {tool!r}, json.loads({json.dumps(arguments)!r})\n"
        "try: message = {**pack_asked(make_asked(tool, arguments)), 'tool': tool}\n"
        "except UsageError as error: print(json.dumps([error.exit_code, error.message]))\n"
        "else:\n"
        "    told = carry_out_for_client(message, os.environ)\n"
        "    print(json.dumps([told.code, told.stdout + told.envelope]))\n"
    )
    said = accounts.script(code)
    assert "Traceback" not in said, said
    exit_code, text = json.loads(said)
    return int(exit_code), str(text)


@pytest.fixture
def accounts(cluster: Cluster) -> Iterator[Accounts]:
    """A broker under its own account, and a client that has the token which only reads."""
    folder = Path(tempfile.mkdtemp(prefix="pveops-broker-"))
    folder.chmod(0o755)
    process: subprocess.Popen[bytes] | None = None
    try:
        python, environ = interpreter(folder)
        ready = cluster.folder / "ready.json"
        run = folder / "run"
        run.mkdir()
        os.chown(run, BROKER, BROKER)
        inbox = folder / "inbox.txt"
        inbox.touch()
        os.chown(inbox, BROKER, BROKER)
        inbox.chmod(0o600)
        deliver = ("sh", "-c", f"cat >> {shlex.quote(str(inbox))}")
        senders = [word for part in deliver for word in ("--sender", part)]
        make_home(folder, BROKER, ready, *senders)
        settings = folder / str(BROKER) / "pve" / "broker.yaml"
        settings.write_text(f"clients: [{CLIENT}]\n")
        os.chown(settings, BROKER, BROKER)
        settings.chmod(0o600)
        make_home(folder, CLIENT, ready, "--read-only", "--broker", str(run / "socket"))
        made = Accounts(folder, python, environ, cluster, inbox)
        process = start_broker(made)
        yield made
    finally:
        if process is not None:
            process.send_signal(signal.SIGTERM)
            process.wait(_WAIT_S)
        shutil.rmtree(folder, ignore_errors=True)


def start_broker(accounts: Accounts) -> subprocess.Popen[bytes]:
    code = (
        "import sys; from pveops.broker.main import main; "
        f"sys.argv = ['pve-broker', 'serve', '--socket', {str(accounts.socket)!r}]; main()"
    )
    process = subprocess.Popen(
        [*accounts.python, "-c", code],
        env=accounts.environ | home_of(accounts.folder, BROKER),
        user=BROKER,
        group=BROKER,
        extra_groups=[],
        cwd="/",
    )
    patiently(lambda: is_listening(accounts.socket), process)
    return process


def is_listening(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        return probe.connect_ex(str(path)) == 0
