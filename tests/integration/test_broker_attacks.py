"""Every attack of `tests/attack` against a broker that runs, made by another account."""

from __future__ import annotations

import os
import re
import socket
from pathlib import Path

from pveops.cli.broker_message import Asked, pack_asked, receive_message, send_message
from tests.attack.attacks import ATTACKS
from tests.attack.levels import Level
from tests.integration.accounts import (
    BROKER,
    CLIENT,
    NEEDS_ROOT,
    Accounts,
    accounts,
    call_over_mcp,
)

__all__ = ["accounts"]


def level_of(accounts: Accounts) -> Level:
    """The same attacks, but every step is a process of the client's account."""
    kept = accounts.folder / str(BROKER) / "pve"

    def run(
        line: str, stdin: str = "", environ: dict[str, str] | None = None, terminal: bool = False
    ) -> tuple[int, str]:
        return accounts.run(line, CLIENT, stdin, environ or {}, is_terminal=terminal)

    def over_mcp(tool: str, **arguments: object) -> tuple[int, str]:
        return call_over_mcp(accounts, tool, arguments)

    def is_gone() -> bool:
        return any(
            "snapshot/old" in e["path"] and e["method"] == "DELETE"
            for e in accounts.cluster.effects()
        )

    def may_write(path: Path) -> bool:
        said = accounts.script(f"open({str(path)!r}, 'a').close(); print('open')")
        return "open" in said and "Error" not in said

    def change_directly() -> bool:
        """With the client's own token, since no other can be read."""
        code = (
            "from pveops.cli.call import Call\n"
            "call = Call.of_process('pve', [])\n"
            "from pveops.api.client import Client\n"
            "client = Client(call.wiring.connection.transport, call.clock)\n"
            "client.write('DELETE', '/nodes/pve1/qemu/102/snapshot/old')\n"
        )
        return "Permission" not in accounts.script(code)

    return Level(
        "G3",
        accounts.folder,
        run,
        is_gone,
        change_directly,
        kept,
        may_write,
        accounts.inbox,
        over_mcp,
    )


@NEEDS_ROOT
def test_the_broker_stops_every_one_of_them(accounts: Accounts) -> None:
    level = level_of(accounts)
    allow_many_requests(level.kept)
    take_snapshot(accounts)
    for attack in ATTACKS:
        attack.run(level)
        assert not level.is_gone(), attack.name
        lift_freeze(accounts)
    # And the person's way works.
    plan = level.plan()
    code, out = accounts.run(f"pve-apply {plan} --code {level.newest_code()}")
    assert code == 0, out
    assert level.is_gone()


def allow_many_requests(folder: Path) -> None:
    """All attacks together ask for more than the limits on requests let one caller ask."""
    policy = folder / "policy.yaml"
    policy.write_text("consent: {max_open: 500, max_messages_per_hour: 500}\n")
    policy.chmod(0o600)
    os.chown(policy, BROKER, BROKER)


def take_snapshot(accounts: Accounts) -> None:
    code, out = accounts.run("pve snapshot create web02 --snapname old --wait 60")
    assert code == 0, out


def lift_freeze(accounts: Accounts) -> None:
    """As root does."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.connect(str(accounts.socket))
        send_message(connection, pack_asked(Asked("pve", ("policy", "unfreeze"))))
        assert receive_message(connection)["code"] == 0


@NEEDS_ROOT
def test_the_audit_log_cannot_be_rewritten_unnoticed(accounts: Accounts) -> None:
    take_snapshot(accounts)
    log = accounts.folder / str(BROKER) / "pve" / "logs" / "audit.jsonl"
    before = log.read_bytes()
    for code in (
        f"open({str(log)!r}, 'a')",
        f"open({str(log)!r}, 'w')",
        f"import os; os.rename({str(log)!r}, {str(log) + '.old'!r})",
        f"import os; os.unlink({str(log)!r})",
        f"import os; os.chmod({str(log.parent)!r}, 0o777)",
        f"import os; os.symlink('/etc/passwd', {str(log.parent / 'x')!r})",
    ):
        assert "PermissionError" in accounts.script(code)
    assert log.read_bytes() == before
    # Whoever could write it would be found out.
    edited = re.sub(rb"agent:64102", b"agent:someone", before)
    log.write_bytes(edited)
    code, out = accounts.run("pve audit verify")
    assert code != 0, out
