"""The pvesh transport against a small stand-in that behaves as the command does.

The stand-in's manners are those of pve-common (CLIHandler.pm, RESTEnvironment.pm): a task's log
goes to stdout before the id, a failed task leaves the exit status 0, refusals are on stderr.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from pveops.api.client import Client
from pveops.api.port import Request
from pveops.api.pvesh import PveshTransport
from pveops.api.tasks import OutcomeKind, wait_for_task
from pveops.clock import VirtualClock
from pveops.errors import (
    LockedError,
    NodeUnreachableError,
    NotFoundError,
    NotImplementedByServerError,
    OutcomeUnknownError,
    ParameterError,
    PermissionDeniedError,
    UnreachableError,
    UsageError,
)

STAND_IN = """
import json, os, signal, sys
verb, path, *options = sys.argv[1:]
with open(os.path.join(os.path.dirname(__file__), "calls"), "a") as calls:
    calls.write(json.dumps(sys.argv[1:]) + chr(10))
UPID = "UPID:pve1:0000ABCD:0001C525:6B04699E:qmstart:101:root@pam:"

def refuse(text, status=255):
    sys.stderr.write(text)
    sys.exit(status)

if (verb, path) == ("get", "/version"):
    print(json.dumps({"version": "9.2.11", "release": "9.2", "repoid": "x"}))
elif (verb, path) == ("create", "/nodes/pve1/qemu/100/status/start"):
    print("generating cloud-init ISO")
    print("{ not json")
    print(json.dumps(UPID))
elif (verb, path) == ("create", "/nodes/pve1/qemu/101/status/start"):
    print("trying to acquire lock...")
    sys.stderr.write("TASK ERROR: VM is locked (backup)" + chr(10))
    print(json.dumps(UPID))
elif (verb, path) == ("get", f"/nodes/pve1/tasks/{UPID}/status"):
    print(json.dumps({"status": "stopped", "exitstatus": "VM is locked (backup)", "upid": UPID}))
elif (verb, path) == ("get", f"/nodes/pve1/tasks/{UPID}/log"):
    print(json.dumps([{"n": 1, "t": "TASK ERROR: VM is locked (backup)"}]))
elif (verb, path) == ("set", "/nodes/pve1/qemu/100/config"):
    pass
elif path == "/params":
    refuse("400 Parameter verification failed.\\ncores: value must have a minimum value of 1\\n"
           "pvesh set <api_path> [OPTIONS]\\n", 2)
elif path == "/forbidden":
    refuse("403 Permission check failed (/vms/100, VM.Audit)\\n")
elif path == "/locked":
    refuse("VM is locked (backup)\\n")
elif path == "/missing":
    refuse("Configuration file 'nodes/pve1/qemu-server/999.conf' does not exist\\n", 2)
elif path == "/nodes/pve2/qemu":
    refuse("ssh: connect to host 192.0.2.9 port 22: No route to host\\n"
           "proxy handler failed: command '/usr/bin/ssh ...' failed: exit code 255\\n")
elif path == "/killed":
    os.kill(os.getpid(), signal.SIGKILL)
elif path == "/slow":
    signal.pause()
elif path == "/babble":
    print("perl: warning: Setting locale failed.")
else:
    refuse(f"No '{verb}' handler defined for '{path}'\\n")
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "pvesh.py").write_text(STAND_IN)
    return tmp_path


@pytest.fixture
def transport(folder: Path) -> PveshTransport:
    return PveshTransport((sys.executable, "-I", str(folder / "pvesh.py")))


@pytest.fixture
def client(transport: PveshTransport) -> Client:
    return Client(transport, VirtualClock())


def calls(folder: Path) -> list[list[str]]:
    return [json.loads(line) for line in (folder / "calls").read_text().splitlines()]


def test_a_read_gives_data(client: Client) -> None:
    assert client.version().major == 9


def test_a_task_is_the_last_line_whatever_was_printed_before(client: Client) -> None:
    upid = client.write("POST", "/nodes/pve1/qemu/100/status/start")
    assert str(upid).startswith("UPID:pve1:")


def test_a_task_that_failed_is_found_out_by_reading_it(client: Client) -> None:
    """The exit status is 0, and the text on stderr is not relied on."""
    upid = str(client.write("POST", "/nodes/pve1/qemu/101/status/start"))
    outcome = wait_for_task(client, upid, VirtualClock())
    assert outcome.kind is OutcomeKind.FAILED
    assert outcome.log_tail == ("TASK ERROR: VM is locked (backup)",)


def test_no_output_is_null(client: Client) -> None:
    assert client.write("PUT", "/nodes/pve1/qemu/100/config", {"cores": 2}) is None


def test_parameters_are_options_that_no_value_can_leave(client: Client, folder: Path) -> None:
    params = {"description": "--output-format yaml", "delete": ["a", "b"], "onboot": True}
    client.write("PUT", "/nodes/pve1/qemu/100/config", params)
    assert calls(folder) == [
        [
            "set",
            "/nodes/pve1/qemu/100/config",
            "--description=--output-format yaml",
            "--delete=a",
            "--delete=b",
            "--onboot=1",
            "--output-format=json",
        ]
    ]


@pytest.mark.parametrize(
    "name", ["password", "cipassword", "secret", "otp", "tfa-challenge", "encryption-key", "key"]
)
def test_a_secret_is_not_put_on_the_command_line(
    transport: PveshTransport, folder: Path, name: str
) -> None:
    with pytest.raises(UsageError):
        transport.send(Request("POST", "/access/users", ((name, "x"),)))
    assert not (folder / "calls").exists()


@pytest.mark.parametrize(
    ("path", "error"),
    [
        ("/params", ParameterError),
        ("/forbidden", PermissionDeniedError),
        ("/locked", LockedError),
        ("/missing", NotFoundError),
        ("/nosuch", NotImplementedByServerError),
        ("/nodes/pve2/qemu", NodeUnreachableError),
        ("/killed", OutcomeUnknownError),
        ("/babble", OutcomeUnknownError),
    ],
)
def test_a_refusal_is_the_error_that_https_would_give(
    client: Client, path: str, error: type[Exception]
) -> None:
    with pytest.raises(error):
        client.write("PUT", path, {"cores": 0})


def test_a_refused_parameter_is_named(client: Client) -> None:
    with pytest.raises(ParameterError) as caught:
        client.write("PUT", "/params", {"cores": 0})
    assert caught.value.details["errors"] == {"cores": "value must have a minimum value of 1"}


def test_a_read_that_was_killed_may_be_repeated(client: Client) -> None:
    with pytest.raises(UnreachableError):
        client.get("/killed")


def test_a_read_that_takes_too_long_is_ended(transport: PveshTransport) -> None:
    with pytest.raises(UnreachableError) as caught:
        transport.send(Request("GET", "/slow", read_timeout_s=0.5))
    assert caught.value.details["sent"] is True


def test_a_machine_without_the_command_was_sent_nothing(tmp_path: Path) -> None:
    with pytest.raises(UnreachableError) as caught:
        PveshTransport((str(tmp_path / "pvesh"),)).send(Request("POST", "/x"))
    assert caught.value.details["sent"] is False


def test_other_methods_are_refused(transport: PveshTransport) -> None:
    with pytest.raises(UsageError):
        transport.send(Request("PATCH", "/x"))
