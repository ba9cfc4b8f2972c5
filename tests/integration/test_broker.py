"""Level G3: the broker under an account of its own, against everything that its client can do.

Run as root, since it takes two real accounts; elsewhere the tests that need them say so. The
accounts are numbers that nobody has; the broker and its client are processes of theirs.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import socket
import sys
from pathlib import Path

import pytest

from pveops.cli.broker_message import Asked, pack_asked, receive_message, send_message
from tests.integration.accounts import (
    BROKER,
    CLIENT,
    NEEDS_ROOT,
    STRANGER,
    Accounts,
    accounts,
    call_over_mcp,
)

__all__ = ["accounts"]


# -- what it is for ------------------------------------------------------------------


@NEEDS_ROOT
def test_the_client_looks_by_itself_and_the_broker_acts_after_consent(accounts: Accounts) -> None:
    code, out = accounts.run("pve guest show web01")
    assert code == 0, out
    code, out = accounts.run("pve guest stop web02 --reason hangs")
    assert code == 3, out
    plan, secret = accounts.newest()
    assert secret not in out
    assert f"agent:{CLIENT}" in out
    assert accounts.cluster.effects() == []
    code, out = accounts.run(f"pve-apply {plan} --code {secret}")
    assert code == 0, out
    assert "done: web02" in out
    code, out = accounts.run("pve audit verify")
    assert code == 0, out
    code, out = accounts.run("pve run list --json")
    assert plan in out
    code, out = accounts.run("pve-broker check", BROKER)
    assert (code, out.split(":")[0]) == (0, "level G3")


@NEEDS_ROOT
def test_a_tier_1_change_is_done_at_once_and_long_work_goes_on(accounts: Accounts) -> None:
    code, out = accounts.run("pve --json guest start windows-lab")
    assert code == 0, out
    assert json.loads(out)["ok"] is True
    code, out = accounts.run("pve backup run web02 --wait 0")
    assert code in {0, 8}, out
    run = re.findall(r"run_[0-9a-f]+", out)[0]
    code, out = accounts.run(f"pve run wait {run} --wait 60")
    assert code == 0, out


@NEEDS_ROOT
def test_what_is_asked_over_mcp_goes_to_the_broker_and_no_further(accounts: Accounts) -> None:
    """Which tool a command goes through is decided before it goes to the broker."""
    code, out = call_over_mcp(accounts, "pve_read", {"command": "guest stop web02"})
    assert (code, accounts.inbox.read_text()) == (2, ""), out
    code, out = call_over_mcp(
        accounts, "pve_plan", {"command": "guest stop web02", "reason": "hangs"}
    )
    assert code == 3, out
    plan, secret = accounts.newest()
    envelope = json.loads(out.splitlines()[-1])
    assert (envelope["plan"]["id"], envelope["changed"]) == (plan, False)
    assert envelope["plan"]["actor"] == f"mcp:{CLIENT}"
    for command in ("policy unfreeze", "plan approval-key", "run close run_1a2b"):
        assert call_over_mcp(accounts, "pve_plan", {"command": command, "reason": "x"})[0] == 4
    code, out = call_over_mcp(accounts, "pve_apply", {"plan": plan, "code": secret})
    assert code == 0, out


@NEEDS_ROOT
def test_input_goes_along_and_files_do_not(accounts: Accounts) -> None:
    code, out = accounts.run("pve guest note windows-lab --text -", stdin="rack 3\n")
    assert code in {0, 3}, out
    code, out = accounts.run("pve guest set windows-lab --ssh-keys /etc/shadow")
    assert code == 2
    assert "reads and writes no files of its callers" in out
    code, out = accounts.run("pve storage upload /etc/hostname local --node pve1")
    assert code == 2
    assert "reads no files of its callers" in out


# -- what it stops -------------------------------------------------------------------


@NEEDS_ROOT
def test_nothing_of_the_broker_can_be_read_written_or_signalled(accounts: Accounts) -> None:
    target = accounts.folder / str(BROKER)
    for path in (target / "pve", target / "pve" / "secrets", target / "pve" / "store.sqlite3"):
        said = accounts.script(f"import os; os.listdir({str(path)!r})")
        assert "PermissionError" in said or "NotADirectoryError" in said, said
    said = accounts.script(f"open({str(target / 'pve/policy.yaml')!r}, 'w')")
    assert "PermissionError" in said
    said = accounts.script(f"open({str(accounts.inbox)!r}).read()")
    assert "PermissionError" in said
    pid = broker_pid(accounts)
    assert "PermissionError" in accounts.script(f"import os; os.kill({pid}, 9)")
    assert "PermissionError" in accounts.script(f"open('/proc/{pid}/environ').read()")
    assert "PermissionError" in accounts.script(f"open('/proc/{pid}/mem', 'rb').read(1)")
    unlink = f"import os; os.unlink({str(accounts.socket)!r})"
    assert "PermissionError" in accounts.script(unlink)


def broker_pid(accounts: Accounts) -> int:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.connect(str(accounts.socket))
        raw = probe.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12)
    return int.from_bytes(raw[:4], sys.byteorder)


@NEEDS_ROOT
@pytest.mark.parametrize(
    "line",
    [
        "pve guest purge windows-lab",
        "pve backup delete VOLID",
        "pve node reboot pve3 --with-guests",
    ],
)
def test_a_tier_3_plan_is_not_carried_out_without_the_code(line: str, accounts: Accounts) -> None:
    if "VOLID" in line:
        _, listed = accounts.run("pve api get /nodes/pve1/storage/backups/content --json")
        found = re.findall(r"backups:backup/vzdump-qemu-102[^\"]+", listed)
        line = line.replace("VOLID", found[0] if found else "backups:backup/vzdump-qemu-102.vma")
    code, out = accounts.run(line)
    if "purge" in line:
        # It is not in the trash yet: refused before anybody is asked.
        assert code in {3, 4}, out
    if code == 3:
        plan = re.findall(r"pl_[0-9a-f]+", out)[0]
        for words in ("", "--code AAAA-2222", "--code ''", "--yes"):
            assert accounts.run(f"pve-apply {plan} {words}")[0] in {2, 3, 4}, words
    assert accounts.cluster.effects() == []


@NEEDS_ROOT
def test_the_clients_own_token_changes_nothing(accounts: Accounts) -> None:
    code = (
        "import os; os.environ['PVE_HOME'] += '2'; from pveops.cli.main import pve; import sys; "
        "sys.argv = ['pve', 'guest', 'stop', 'web02']; sys.exit(pve())"
    )
    own = accounts.folder / str(CLIENT)
    shutil.copytree(own / "pve", own / "pve2")
    config = own / "pve2" / "config.yaml"
    config.write_text(re.sub(r"(?m)^\s+broker:.*\n", "", config.read_text()))
    (own / "pve2" / "policy.yaml").write_text("actors:\n  agent:\n    tier2: at_once\n")
    for path in (own / "pve2", *(own / "pve2").rglob("*")):
        os.chown(path, CLIENT, CLIENT)
        path.chmod(0o700 if path.is_dir() else 0o600)
    said = accounts.script(code)
    assert "E_PERMISSION" in said, said
    assert accounts.cluster.effects() == []


@NEEDS_ROOT
def test_what_the_client_says_of_itself_makes_no_person_of_it(accounts: Accounts) -> None:
    for value in (
        {"actor": "person"},
        {"actor": {"kind": "person"}, "uid": 0},
        {"asserted": {"kind": "person", "OPENCLAW_AGENT_ID": "root"}},
        {"environ": {"PVE_HOME": "/tmp"}, "PVE_HOME": "/tmp"},
    ):
        asked = pack_asked(Asked("pve", ("guest", "stop", "web02"))) | value
        told = ask_as(accounts, asked, CLIENT)
        assert told["code"] == 3, told
    assert accounts.cluster.effects() == []


@NEEDS_ROOT
def test_that_nobody_waits_for_a_turn_is_told_to_the_broker(accounts: Accounts) -> None:
    cron = {"OPENCLAW_SHELL": "plugin", "OPENCLAW_SESSION_KEY": "agent:main:cron:1f2e"}
    code, out = accounts.run("pve guest start windows-lab", environ=cron)
    assert code == 3, out
    code, out = accounts.run("pve plan list --json")
    assert [row["actor"].partition(":")[0] for row in json.loads(out)["data"]["items"]] == [
        "unattended"
    ]
    assert accounts.cluster.effects() == []


@NEEDS_ROOT
def test_the_broker_is_no_deputy_for_anything_else(accounts: Accounts) -> None:
    for line in (
        "secrets add",
        "secrets status",
        "init pve1",
        "demo use /etc/shadow",
        "skill install /tmp",
        "api get /access/users",
        "guest list",
        "doctor",
        "--profile x demo serve",
        "completion bash",
    ):
        told = ask_as(accounts, pack_asked(Asked("pve", tuple(shlex.split(line)))), CLIENT)
        assert told["code"] == 2, (line, told)
        assert "root:" not in told["stdout"] + told["stderr"]
    told = ask_as(
        accounts,
        pack_asked(Asked("pve", ("guest", "set", "web02", "--ssh-keys", "/etc/shadow"))),
        CLIENT,
    )
    assert told["code"] == 2


@NEEDS_ROOT
def test_strangers_garbage_and_floods_get_nothing(accounts: Accounts) -> None:
    told = ask_as(accounts, pack_asked(Asked("pve", ("plan", "list"))), STRANGER)
    assert told["code"] == 4
    assert "does not know the account" in told["stdout"]
    for raw in (b"", b"GET / HTTP/1.1\r\n\r\n", b"\xff\xff\xff\xff", b"\x00\x00\x00\x02[]"):
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
            connection.connect(str(accounts.socket))
            connection.sendall(raw)
    for broken in (
        {"version": 1},
        {"version": 9, "program": "pve", "arguments": []},
        {"version": 1, "program": "sh", "arguments": ["-c", "id"]},
        {"version": 1, "program": "pve", "arguments": ["x\0y"]},
    ):
        refused = ask_as(accounts, broken, CLIENT)
        assert refused["code"] == 2
        assert "the broker does not understand it" in str(refused["stdout"])
    code, out = accounts.run("pve plan list")
    assert code == 0, out


def ask_as(accounts: Accounts, value: dict[str, object], uid: int) -> dict[str, object]:
    """One message, sent by a process of that account."""
    said = ask_raw(accounts, value, uid)
    found: dict[str, object] = json.loads(said)
    return found


def ask_raw(accounts: Accounts, value: dict[str, object], uid: int) -> str:
    code = (
        "import json, socket\n"
        "from pveops.cli.broker_message import receive_message, send_message\n"
        "from pveops.errors import ProtocolError\n"
        "s = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)\n"
        f"s.connect({str(accounts.socket)!r})\n"
        f"value = json.loads({json.dumps(value)!r})\n"
        "try: send_message(s, value)\n"
        "except BrokenPipeError: pass  # refused already; the reply is there\n"
        "try: print(json.dumps(receive_message(s)))\n"
        "except (OSError, ProtocolError): print('no reply')\n"
    )
    return accounts.script(code, uid)


@NEEDS_ROOT
def test_only_root_lifts_the_freeze(accounts: Accounts) -> None:
    assert accounts.run("pve policy freeze")[0] == 0
    code, out = accounts.run("pve guest start windows-lab")
    assert code == 4, out
    assert accounts.run("pve policy unfreeze")[0] != 0
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.connect(str(accounts.socket))
        send_message(connection, pack_asked(Asked("pve", ("policy", "unfreeze"))))
        assert receive_message(connection)["code"] == 0
    assert accounts.run("pve guest start windows-lab")[0] == 0


# -- without a second account --------------------------------------------------------


def test_under_one_account_it_says_that_it_is_no_boundary(tmp_path: Path) -> None:
    from pveops.broker.boundary import find_flaws
    from pveops.broker.settings import load_settings

    (tmp_path / "broker.yaml").write_text(f"clients: [{os.geteuid()}]\n")
    (tmp_path / "broker.yaml").chmod(0o600)
    tmp_path.chmod(0o755)
    texts = [flaw.text for flaw in find_flaws(tmp_path, load_settings(tmp_path))]
    assert any("no boundary, only order" in text for text in texts)
    assert any("is open to other accounts" in text for text in texts)
