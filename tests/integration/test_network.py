"""Nobody is spoken to but the profile's endpoints: no telemetry, no update, no name looked up."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from tests.integration.conftest import Home

WATCHED = """
import json, sys
seen = []
def note(event, args):
    if event in ("socket.connect", "socket.getaddrinfo", "socket.gethostbyname", "socket.sendto"):
        place = args[1] if event in ("socket.connect", "socket.sendto") else args[:2]
        seen.append([event, place if isinstance(place, str) else list(map(str, place))])
sys.addaudithook(note)
program, out, *words = sys.argv[1:]
from pveops.cli.process import run_call
from pveops.cli.call import Call
call = Call.of_process(program, words)
call.may_detach = False
code = run_call(call)
open(out, "w").write(json.dumps(seen))
sys.exit(code)
"""
LINES = (
    "pve status --deep",
    "pve guest list",
    "pve guest show web01",
    "pve guest doctor 105",
    "pve guest start windows-lab",
    "pve guest stop web02",
    "pve backup audit",
    "pve node evacuate pve3",
    "pve doctor",
    "pve api get /version",
    "pve audit verify",
    "pve skill check",
    "pve schema refresh",
)


def test_every_connection_goes_to_an_endpoint_of_the_profile(home: Home, tmp_path: Path) -> None:
    allowed = {
        endpoint.removeprefix("https://").rpartition(":")[2]
        for endpoint in home.cluster.ready["endpoints"]
    }
    met: set[str] = set()
    for number, line in enumerate(LINES):
        program, *words = line.split()
        out = tmp_path / f"seen-{number}.json"
        command = [sys.executable, "-c", WATCHED, program, str(out), *words]
        subprocess.run(command, env=home.environ, stdout=subprocess.DEVNULL, check=False)
        for event, place in json.loads(out.read_text()):
            host, port = place[0], place[1]
            assert event in {"socket.connect", "socket.getaddrinfo"}, (line, event, place)
            assert host.strip("b'") == "127.0.0.1", (line, event, place)
            assert str(port).strip("b'") in allowed, (line, event, place)
            met.add(str(port).strip("b'"))
    assert met, "nothing was watched"
