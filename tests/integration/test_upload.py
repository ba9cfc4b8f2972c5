"""A large file through the real commands and TLS: it never lies in memory as a whole."""

from __future__ import annotations

import shlex
import subprocess
from pathlib import Path

import pytest

from pveops.api.endpoint import Endpoint, parse_address, trust_authority
from pveops.api.https import HttpsTransport
from pveops.api.port import Request
from pveops.api.upload import Upload
from pveops.errors import UnreachableError
from tests.integration.conftest import Home
from tests.served import BIN

SIZE_BYTES = 400 << 20
MOST_BYTES = 120 << 20


def test_memory_stays_flat_whatever_the_size(home: Home) -> None:
    """With less memory than the file has, enforced by the kernel."""
    path = home.cluster.folder / "large.iso"
    with path.open("wb") as file:
        file.truncate(SIZE_BYTES)
    line = f"pve storage upload {path} local --node pve1 --wait 300"
    program, *words = shlex.split(line)
    limited = ["prlimit", f"--data={MOST_BYTES}", str(BIN / program), *words]
    done = subprocess.run(limited, env=home.environ, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    _, out = home.run("pve storage content local --node pve1 --content iso --json")
    assert f'"size_bytes":{SIZE_BYTES}' in out.replace(" ", "")


def test_an_upload_that_is_cut_short_is_no_upload(home: Home) -> None:
    """The file became shorter while it was sent: PVE executes nothing until all has come."""
    path = home.cluster.folder / "large.iso"
    path.write_bytes(b"x" * 100_000)
    trust = trust_authority(Path(home.cluster.ready["ca_file"]).read_text())
    transport = HttpsTransport(Endpoint(*parse_address(home.cluster.host), trust))
    params = (("content", "iso"), ("filename", "large.iso"))
    request = Request(
        "POST",
        "/nodes/pve1/storage/local/upload",
        params,
        upload=Upload(str(path), 5_000_000),
    )
    with pytest.raises(UnreachableError, match="cut short, and nothing came of it"):
        transport.send(request)
    assert home.cluster.effects() == []
